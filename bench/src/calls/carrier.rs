//! The carrier's play-out buffer: what has been sent to the caller and when it sounds. Time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use voice_audio::FRAME_SAMPLES;

/// One frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// The assistant's frame that sounds, as mu-law.
pub type Frame = [u8; FRAME_SAMPLES];

/// The buffer of one call.
#[derive(Debug)]
pub struct Carrier {
    /// Frames that wait, with the moment at which each begins to sound.
    frames: VecDeque<(Instant, Frame)>,
    /// When everything that was sent has been played.
    played_at: Option<Instant>,
    /// Marks, each with the moment at which what came before it has been played.
    marks: VecDeque<(Instant, String)>,
    /// Whether the last thing that came was a mark: what comes next is another clause, and a gap before it is none.
    is_between: bool,
    /// Gaps within a clause, and the longest.
    pub underruns: u32,
    /// The most that was ever waiting.
    pub most_ahead: Duration,
}

impl Default for Carrier {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            played_at: None,
            marks: VecDeque::new(),
            is_between: true,
            underruns: 0,
            most_ahead: Duration::ZERO,
        }
    }
}

impl Carrier {
    /// Takes audio that has arrived.
    pub fn audio(&mut self, now: Instant, bytes: &[u8]) {
        let end = match self.played_at {
            Some(end) if end >= now => end,
            Some(_) if !self.is_between => {
                self.underruns += 1;
                now
            }
            Some(_) | None => now,
        };
        self.is_between = false;
        let (frames, _) = bytes.as_chunks::<FRAME_SAMPLES>();
        for (n, frame) in frames.iter().enumerate() {
            self.frames.push_back((end + FRAME * n as u32, *frame));
        }
        let end = end + FRAME * frames.len() as u32;
        self.played_at = Some(end);
        self.most_ahead = self.most_ahead.max(end.saturating_duration_since(now));
    }

    /// Takes a mark that has arrived.
    pub fn mark(&mut self, now: Instant, name: String) {
        self.is_between = true;
        self.marks.push_back((self.played_at.map_or(now, |end| end.max(now)), name));
    }

    /// Throws away what waits; gives the marks that are to be answered at once.
    pub fn clear(&mut self, now: Instant) -> Vec<String> {
        self.frames.clear();
        self.played_at = Some(now);
        self.is_between = true;
        self.marks.drain(..).map(|(_, name)| name).collect()
    }

    /// Marks that have been reached.
    pub fn reached(&mut self, now: Instant) -> Vec<String> {
        let reached = self.marks.iter().take_while(|(at, _)| *at <= now).count();
        self.marks.drain(..reached).map(|(_, name)| name).collect()
    }

    /// The frame that sounds now.
    pub fn sounding(&mut self, now: Instant) -> Option<Frame> {
        while self.frames.front().is_some_and(|(at, _)| *at + FRAME <= now) {
            self.frames.pop_front();
        }
        self.frames.front().filter(|(at, _)| *at <= now).map(|(_, frame)| *frame)
    }

    /// Whether nothing sounds, and nothing is going to.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.played_at.is_none_or(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_sounds_frame_after_frame_and_a_mark_is_reached_behind_it() {
        let begin = Instant::now();
        let mut carrier = Carrier::default();
        carrier.audio(begin, &[[1; FRAME_SAMPLES], [2; FRAME_SAMPLES]].concat());
        carrier.mark(begin, "one".to_owned());
        assert_eq!(carrier.sounding(begin), Some([1; FRAME_SAMPLES]));
        assert_eq!(carrier.reached(begin + FRAME), Vec::<String>::new());
        assert_eq!(carrier.sounding(begin + FRAME), Some([2; FRAME_SAMPLES]));
        assert_eq!(carrier.reached(begin + 2 * FRAME), ["one"]);
        assert_eq!(carrier.sounding(begin + 2 * FRAME), None);
        assert!(carrier.is_silent(begin + 2 * FRAME));
        assert_eq!(carrier.most_ahead, 2 * FRAME);
    }

    #[test]
    fn a_gap_within_a_clause_is_an_underrun_and_one_behind_a_mark_is_none() {
        let begin = Instant::now();
        let mut carrier = Carrier::default();
        carrier.audio(begin, &[0; FRAME_SAMPLES]);
        carrier.audio(begin + 2 * FRAME, &[0; FRAME_SAMPLES]);
        assert_eq!(carrier.underruns, 1);
        carrier.mark(begin + 3 * FRAME, "one".to_owned());
        carrier.audio(begin + 9 * FRAME, &[0; FRAME_SAMPLES]);
        assert_eq!(carrier.underruns, 1);
    }

    #[test]
    fn clearing_throws_away_what_waits_and_answers_every_mark() {
        let begin = Instant::now();
        let mut carrier = Carrier::default();
        carrier.audio(begin, &[0; 10 * FRAME_SAMPLES]);
        carrier.mark(begin, "one".to_owned());
        assert_eq!(carrier.clear(begin + FRAME), ["one"]);
        assert!(carrier.is_silent(begin + FRAME));
        assert_eq!(carrier.sounding(begin + FRAME), None);
    }
}
