//! A mouth on a clock of its own, with a peer that takes what comes.

use futures::{FutureExt as _, StreamExt as _};

use super::*;
use crate::leg::{Outgoing, outbox};

const ONE: PlaybackId = PlaybackId(1);
const TWO: PlaybackId = PlaybackId(2);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A clip of that many milliseconds, every byte of which is `byte`.
fn clip(millis: usize, byte: u8) -> LiveClip {
    LiveClip::whole(AudioFormat::Mulaw, vec![byte; 8 * millis].into(), "groq")
}

struct Rig {
    mouth: Mouth,
    outbox: Outbox,
    delivery: crate::leg::Delivery,
    begun: Instant,
    now: Instant,
    told: Vec<(Duration, Event)>,
    /// Frames with when they came, marks and clears.
    got: Vec<(Duration, Outgoing)>,
    is_reading: bool,
}

impl Rig {
    fn new(answers_marks: bool) -> Self {
        let (outbox, delivery) = outbox();
        let now = Instant::now();
        Self {
            mouth: Mouth::new(AudioFormat::Mulaw, answers_marks, now),
            outbox,
            delivery,
            begun: now,
            now,
            told: Vec::new(),
            got: Vec::new(),
            is_reading: true,
        }
    }

    fn play(&mut self, id: PlaybackId, clips: Vec<LiveClip>) {
        self.mouth.play(id, clips, Duration::ZERO);
        self.pump();
    }

    fn pump(&mut self) {
        let at = self.now - self.begun;
        self.mouth.pump(self.now, &self.outbox, |event| self.told.push((at, event)));
        while self.is_reading
            && let Some(Some(Ok(item))) = self.delivery.next().now_or_never()
        {
            self.got.push((at, item));
        }
    }

    /// Lets time pass as the line does: on the grid, when the mouth wants to be woken.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.mouth.wake_at(self.now, self.begun).filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.pump();
        }
        self.now = until;
        self.pump();
    }

    fn answer(&mut self, name: &str) {
        let at = self.now - self.begun;
        self.mouth.mark_answered(name, self.now, |event| self.told.push((at, event)));
    }

    fn frames(&self) -> Vec<(Duration, &Bytes)> {
        self.got
            .iter()
            .filter_map(|(at, item)| match item {
                Outgoing::Audio(frame) => Some((*at, frame)),
                Outgoing::Clear | Outgoing::Mark(_) => None,
            })
            .collect()
    }

    fn marks(&self) -> Vec<String> {
        self.got
            .iter()
            .filter_map(|(_, item)| match item {
                Outgoing::Mark(name) => Some(name.clone()),
                Outgoing::Clear | Outgoing::Audio(_) => None,
            })
            .collect()
    }

    fn told_at(&self, event: &Event) -> Option<Duration> {
        self.told.iter().find(|(_, told)| told == event).map(|(at, _)| *at)
    }

    fn reached(&self) -> Vec<Duration> {
        self.told
            .iter()
            .filter_map(|(_, event)| match event {
                Event::PlaybackReached { position, .. } => Some(*position),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn frames_go_out_before_they_are_due_and_never_more_than_200_ms_ahead() {
    let mut rig = Rig::new(false);
    rig.play(ONE, vec![clip(1_010, 1), clip(500, 2)]);
    rig.pass(ms(3_000));
    let frames = rig.frames();
    assert_eq!(frames.len(), 51 + 25);
    for (n, (at, frame)) in frames.iter().enumerate() {
        let due = FRAME * n as u32;
        assert!(*at <= due && due < *at + AHEAD, "frame {n}, due at {due:?}, was sent at {at:?}");
        assert_eq!(frame.len(), 160);
    }
    assert_eq!(frames[50].1[79..82], [1, 0xFF, 0xFF], "the last frame of a clip is filled with silence");
    let mut distinct: Vec<_> = frames.iter().map(|(at, _)| *at).collect();
    distinct.dedup();
    assert!(distinct.len() <= 20, "several frames at a time, not one by one: {}", distinct.len());
    assert!(distinct.iter().all(|at| at.as_millis().is_multiple_of(20)), "on the grid: {distinct:?}");
}

#[test]
fn every_clip_is_followed_by_its_mark_and_the_end_is_told_in_time_for_what_follows() {
    let mut rig = Rig::new(false);
    rig.play(ONE, vec![clip(400, 1), clip(400, 2)]);
    rig.pass(ms(60));
    assert_eq!(rig.told_at(&Event::PlaybackStarted { playback: ONE }), Some(Duration::ZERO));
    rig.pass(ms(640));
    assert_eq!(rig.told_at(&Event::PlaybackFinished { playback: ONE }), Some(ms(700)));
    rig.play(TWO, vec![clip(400, 3)]);
    rig.pass(ms(2_000));
    let kinds: String = rig
        .got
        .iter()
        .map(|(_, item)| match item {
            Outgoing::Audio(frame) => char::from(b'0' + frame[0]),
            Outgoing::Mark(_) => '|',
            Outgoing::Clear => 'x',
        })
        .collect();
    assert_eq!(kinds, format!("{}|{}|{}|", "1".repeat(20), "2".repeat(20), "3".repeat(20)));
    assert_eq!(rig.told_at(&Event::PlaybackStarted { playback: TWO }), Some(ms(800)), "without a gap");
    assert_eq!(rig.told_at(&Event::PlaybackFinished { playback: TWO }), Some(ms(1_100)));
    assert!(rig.reached().is_empty());
}

#[test]
fn falling_silent_clears_at_once_and_nothing_of_it_follows() {
    let mut rig = Rig::new(false);
    rig.play(ONE, vec![clip(2_000, 1)]);
    rig.pass(ms(510));
    let Some(Event::PlaybackReached { position, .. }) = rig.mouth.position(rig.now) else { panic!() };
    assert_eq!(position, ms(510));
    let sent = rig.frames().len();
    rig.mouth.cut(rig.now, Some(&rig.outbox));
    rig.pass(ms(1_000));
    assert!(matches!(rig.got.last(), Some((at, Outgoing::Clear)) if *at == ms(510) || *at == ms(1_510)));
    assert_eq!(rig.frames().len(), sent);
    rig.play(TWO, vec![clip(100, 2)]);
    assert_eq!(rig.frames()[sent].0, ms(1_510), "what comes next comes at once");
}

#[test]
fn a_resumed_clip_begins_where_it_was_broken_off() {
    let mut rig = Rig::new(false);
    let audio: Vec<u8> = [vec![1; 800], vec![2; 800]].concat();
    let clip = LiveClip::whole(AudioFormat::Mulaw, audio.into(), "groq");
    rig.mouth.play(ONE, vec![clip], ms(100));
    rig.pass(ms(1_000));
    let frames = rig.frames();
    assert_eq!(frames.len(), 5);
    assert!(frames.iter().all(|(_, frame)| frame.iter().all(|byte| *byte == 2)));
}

#[test]
fn late_marks_tell_how_far_behind_the_peers_player_is() {
    let mut rig = Rig::new(true);
    rig.play(ONE, vec![clip(300, 1), clip(3_000, 2)]);
    rig.pass(ms(550));
    let mark = rig.marks()[0].clone();
    rig.answer(&mark);
    assert_eq!(rig.reached(), [ms(300)]);
    rig.pass(ms(450));
    let Some(Event::PlaybackReached { position, .. }) = rig.mouth.position(rig.now) else { panic!() };
    assert_eq!(position, ms(750), "250 ms behind the clock");
    rig.answer("of another call");
    rig.answer(&mark);
    assert_eq!(rig.reached().len(), 1, "a mark that was answered or cleared means nothing");
}

#[test]
fn a_player_that_stands_still_gets_no_more_until_it_goes_on() {
    let mut rig = Rig::new(true);
    rig.play(ONE, vec![clip(200, 1), clip(6_000, 2)]);
    rig.pass(ms(3_000));
    let sent = rig.frames().len();
    assert!(sent <= 70, "one second after the overdue mark at the latest: {sent}");
    rig.answer(&rig.marks()[0].clone());
    rig.pass(ms(1_000));
    let more = rig.frames().len() - sent;
    assert!((40..=60).contains(&more), "it goes on in real time and does not catch up: {more}");
}

#[test]
fn a_peer_that_never_answers_marks_is_counted_by_the_clock() {
    let mut rig = Rig::new(true);
    rig.play(ONE, vec![clip(200, 1), clip(2_000, 2)]);
    rig.pass(ms(12_000));
    assert_eq!(rig.frames().len(), 110);
    assert!(rig.told_at(&Event::PlaybackFinished { playback: ONE }).is_some());
}

#[test]
fn a_reader_that_stalls_is_not_flooded() {
    let mut rig = Rig::new(false);
    rig.is_reading = false;
    rig.play(ONE, vec![clip(5_000, 1)]);
    rig.pass(ms(4_000));
    rig.is_reading = true;
    rig.pass(ms(20));
    assert!(rig.frames().len() <= 45, "no more than may wait, and what is due now: {}", rig.frames().len());
    rig.pass(ms(10_000));
    assert_eq!(rig.frames().len(), 250, "nothing was lost");
}

#[test]
fn a_clip_in_the_making_is_played_as_it_comes_and_a_stall_moves_the_clock() {
    let mut rig = Rig::new(false);
    let clip = LiveClip::new(AudioFormat::Mulaw);
    clip.grow(&[1; 800], "groq");
    rig.play(ONE, vec![clip.clone()]);
    assert_eq!(rig.frames().len(), 5);
    assert!(rig.mouth.awaited().is_some());
    rig.pass(ms(300));
    clip.grow(&[1; 90], "groq");
    rig.pump();
    assert_eq!(rig.frames().len(), 5, "less than a frame waits for the rest of it");
    clip.grow(&[1; 800], "groq");
    clip.complete();
    rig.pump();
    assert_eq!(rig.reached(), [ms(100)]);
    rig.pass(ms(2_000));
    assert_eq!(rig.frames().len(), 11);
    assert_eq!(rig.told_at(&Event::PlaybackFinished { playback: ONE }), Some(ms(320)));
}

#[test]
fn what_was_lost_with_a_connection_is_said_again_on_the_next_one() {
    let mut rig = Rig::new(false);
    rig.play(ONE, vec![clip(1_000, 1)]);
    rig.pass(ms(400));
    rig.mouth.disconnected(rig.now);
    let heard = rig.frames().iter().filter(|(at, _)| *at <= ms(400)).count();
    rig.pass(ms(2_000));
    assert_eq!(rig.frames().len(), heard, "nobody is there to hear it");
    rig.mouth.connected(false, rig.now);
    rig.pass(ms(2_000));
    // 20 frames had been heard; the others come again.
    assert_eq!(rig.frames().len() - heard, 30);
    assert_eq!(rig.reached(), [ms(400)]);
    assert!(rig.told_at(&Event::PlaybackFinished { playback: ONE }).is_some());
}

#[test]
fn what_is_heard_of_the_assistant_is_known_for_the_sake_of_echo() {
    let mut rig = Rig::new(false);
    rig.play(ONE, vec![clip(100, 0x10), clip(100, 0x20)]);
    rig.pass(ms(90));
    let first = rig.mouth.sounding(rig.now).unwrap();
    rig.pass(ms(30));
    let second = rig.mouth.sounding(rig.now).unwrap();
    assert!(first[0] != second[0] && first.iter().all(|sample| *sample == first[0]));
    rig.pass(ms(200));
    assert_eq!(rig.mouth.sounding(rig.now), None);
}
