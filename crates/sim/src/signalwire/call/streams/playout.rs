//! The carrier's play-out buffer: what a client has sent is played in order and in real time, and marks come back when
//! they are reached.

use std::collections::VecDeque;

use super::codec::{Codec, RateChange};

/// Sound that may wait: nobody sends ten minutes ahead.
const LONGEST_MS: f64 = 600_000.0;

/// What a client has sent and the caller has not heard.
#[derive(Debug)]
pub(super) struct PlayOut {
    codec: Codec,
    rate: RateChange,
    queue: VecDeque<Item>,
    /// Samples in the queue, at the codec's rate.
    waiting: usize,
    /// Since the last mark or clear there has been sound: a clause is being said.
    is_in_clause: bool,
    /// When the sound began that is being played without a pause, and how much of it came.
    run: Option<Run>,
    /// The queue ran out in mid-clause, then.
    dry_since_ms: Option<f64>,
    is_sounding: bool,
    pub(super) counts: Counts,
}

/// What can be told of a play-out.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Counts {
    /// Sound that came.
    received_ms: f64,
    /// Sound that was played.
    played_ms: f64,
    /// How far ahead of the moment at which it is to be played sound came at most.
    pub(super) most_ahead_ms: f64,
    /// Times at which sound came too late in mid-clause: the caller heard a hole.
    pub(super) underruns: u32,
    /// Length of these holes together.
    pub(super) underrun_ms: f64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    began_ms: f64,
    received_ms: f64,
}

#[derive(Debug)]
enum Item {
    Sound { samples: Vec<f32>, at: usize },
    Mark(String),
}

/// What 20 ms brought about.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Played {
    /// Marks that were reached.
    pub(super) marks: Vec<String>,
    /// Sound began or ended.
    pub(super) change: Option<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Began,
    Ended,
}

impl PlayOut {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            rate: RateChange::new(codec.factor()),
            queue: VecDeque::new(),
            waiting: 0,
            is_in_clause: false,
            run: None,
            dry_since_ms: None,
            is_sounding: false,
            counts: Counts::default(),
        }
    }

    /// Takes sound. `false` if there is too much of it.
    pub(super) fn push(&mut self, samples: Vec<f32>, now_ms: f64) -> bool {
        if let Some(since) = self.dry_since_ms.take() {
            self.counts.underruns += 1;
            self.counts.underrun_ms += now_ms - since;
        }
        let millis = self.millis(samples.len());
        if self.waiting == 0 {
            self.run = None;
        }
        let run = self.run.get_or_insert(Run { began_ms: now_ms, received_ms: 0.0 });
        run.received_ms += millis;
        // By the clock, not by what waits: a late tick of ours is not the client's haste.
        let ahead_ms = run.received_ms - (now_ms - run.began_ms);
        self.counts.most_ahead_ms = self.counts.most_ahead_ms.max(ahead_ms);
        self.waiting += samples.len();
        self.counts.received_ms += millis;
        self.is_in_clause = true;
        self.queue.push_back(Item::Sound { samples, at: 0 });
        self.waiting_ms() <= LONGEST_MS
    }

    /// Takes a mark; `false` if nothing waits, so that it is reached at once.
    pub(super) fn mark(&mut self, name: &str) -> bool {
        (self.is_in_clause, self.dry_since_ms) = (false, None);
        if self.queue.is_empty() {
            return false;
        }
        self.queue.push_back(Item::Mark(name.to_owned()));
        true
    }

    /// Throws everything away; gives the sound in it, in milliseconds, and the marks.
    pub(super) fn clear(&mut self) -> (f64, Vec<String>) {
        let dropped = self.waiting_ms();
        (self.waiting, self.is_in_clause, self.dry_since_ms) = (0, false, None);
        let marks = self.queue.drain(..).filter_map(|item| match item {
            Item::Sound { .. } => None,
            Item::Mark(name) => Some(name),
        });
        (dropped, marks.collect())
    }

    /// Adds the next 20 ms to `ear`.
    pub(super) fn frame(&mut self, ear: &mut [f32], now_ms: f64) -> Played {
        let mut played = Played::default();
        let wanted = self.codec.frame_samples();
        let mut frame = Vec::with_capacity(wanted);
        while let Some(item) = self.queue.front_mut() {
            match item {
                Item::Mark(name) => {
                    played.marks.push(std::mem::take(name));
                    self.queue.pop_front();
                }
                Item::Sound { .. } if frame.len() == wanted => break,
                Item::Sound { samples, at } => {
                    let count = (samples.len() - *at).min(wanted - frame.len());
                    frame.extend_from_slice(&samples[*at..*at + count]);
                    *at += count;
                    if *at == samples.len() {
                        self.queue.pop_front();
                    }
                }
            }
        }
        self.waiting -= frame.len();
        self.counts.played_ms += self.millis(frame.len());
        if frame.len() < wanted && self.is_in_clause {
            self.dry_since_ms.get_or_insert(now_ms);
        }
        let is_sounding = !frame.is_empty();
        played.change = match (self.is_sounding, is_sounding) {
            (false, true) => Some(Change::Began),
            (true, false) => Some(Change::Ended),
            (false, false) | (true, true) => None,
        };
        self.is_sounding = is_sounding;
        frame.resize(wanted, 0.0);
        for (out, sample) in ear.iter_mut().zip(self.rate.down(&frame)) {
            *out += sample;
        }
        played
    }

    fn waiting_ms(&self) -> f64 {
        self.millis(self.waiting)
    }

    fn millis(&self, samples: usize) -> f64 {
        samples as f64 * 1e3 / f64::from(self.codec.hertz)
    }
}

#[cfg(test)]
mod tests {
    use voice_audio::FRAME_SAMPLES;

    use super::*;

    fn frames(playout: &mut PlayOut, from_ms: f64, count: usize) -> Vec<Played> {
        let mut ear = [0.0; FRAME_SAMPLES];
        (0..count).map(|n| playout.frame(&mut ear, from_ms + n as f64 * 20.0)).collect()
    }

    #[test]
    fn a_mark_is_reached_when_what_came_before_it_has_been_played() {
        let mut playout = PlayOut::new(Codec::parse(None).unwrap());
        assert!(!playout.mark("at once"));
        playout.push(vec![0.5; 400], 0.0);
        assert!(playout.mark("later"));
        let played = frames(&mut playout, 0.0, 4);
        let marks: Vec<_> = played.iter().map(|played| played.marks.len()).collect();
        assert_eq!(marks, [0, 0, 1, 0]);
        assert_eq!((played[0].change, played[3].change), (Some(Change::Began), Some(Change::Ended)));
        assert_eq!((playout.counts.played_ms, playout.counts.underruns), (50.0, 0));
    }

    #[test]
    fn a_hole_in_mid_clause_is_an_underrun_and_a_pause_between_clauses_is_not() {
        let mut playout = PlayOut::new(Codec::parse(None).unwrap());
        playout.push(vec![0.5; 160], 0.0);
        frames(&mut playout, 20.0, 3);
        playout.push(vec![0.5; 160], 70.0);
        playout.mark("clause");
        frames(&mut playout, 80.0, 9);
        playout.push(vec![0.5; 160], 300.0);
        let Counts { underruns, underrun_ms, .. } = playout.counts;
        assert_eq!((underruns, underrun_ms), (1, 30.0));
    }

    #[test]
    fn clearing_leaves_nothing_and_gives_back_the_marks() {
        let mut playout = PlayOut::new(Codec::parse(Some("L16@24000h")).unwrap());
        playout.push(vec![0.5; 4_800], 0.0);
        playout.mark("a");
        playout.push(vec![0.5; 480], 0.0);
        playout.mark("b");
        frames(&mut playout, 20.0, 1);
        assert_eq!(playout.clear(), (200.0, vec!["a".into(), "b".into()]));
        let mut ear = [0.0; FRAME_SAMPLES];
        // The filter's own history rings out within three milliseconds.
        playout.frame(&mut ear, 40.0);
        assert!(ear[24..].iter().all(|sample| sample.abs() < 1e-3), "{ear:?}");
        assert_eq!(playout.counts.underruns, 0);
    }
}
