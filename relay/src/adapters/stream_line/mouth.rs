//! What the assistant says, as 20 ms frames on a deadline clock: at most 180 ms ahead of the moment at which they are to
//! sound, with a mark after each clip. Marks that come back tell how far behind this clock the peer's player is; what
//! has been heard is counted by both.
//!
//! Frames go out several at a time, and the moments at which more are due lie on a grid that all calls of the process
//! share: one tick serves them all.

mod marks;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use voice_call::{Event, PlaybackId};

use self::marks::Marks;
use super::frames::{self, Frame};
use crate::{
    leg::{Outbox, Outgoing},
    sound::{AudioFormat, FRAME, LiveClip},
};

/// How far frames may be ahead.
const AHEAD: Duration = Duration::from_millis(180);

/// More go out when no more than this is ahead: four at a time.
const LOW: Duration = Duration::from_millis(100);

/// The end of a playback is told this long before its last sound, so that what follows it follows without a gap.
const EARLY: Duration = Duration::from_millis(100);

/// A peer whose player is further behind than this has audio waiting: there is time.
const LAG_IS_BUFFER: Duration = Duration::from_millis(300);

/// Frames that are remembered after they were sent, for the sake of echo and of broken connections.
const REMEMBERED: usize = 75;

/// The assistant's mouth on one leg.
#[derive(Debug)]
pub(super) struct Mouth {
    format: AudioFormat,
    playback: Option<Playback>,
    /// When the next frame is to sound.
    due: Instant,
    /// By how much the peer's player is behind that.
    lag: Duration,
    marks: Marks,
    sent: VecDeque<(Instant, Bytes)>,
    /// Frames that were lost with a connection.
    again: VecDeque<Bytes>,
    is_connected: bool,
}

#[derive(Debug)]
struct Playback {
    id: PlaybackId,
    clips: VecDeque<LiveClip>,
    /// Bytes of the first clip that were sent.
    at: usize,
    /// Playing time of what was sent.
    sent: Duration,
    started_at: Option<Instant>,
    is_started: bool,
    /// Whether it waits for audio that is still being made.
    is_starved: bool,
}

// === impl Mouth ===

impl Mouth {
    pub(super) fn new(format: AudioFormat, answers_marks: bool, now: Instant) -> Self {
        Self {
            format,
            playback: None,
            due: now,
            lag: Duration::ZERO,
            marks: Marks::new(answers_marks),
            sent: VecDeque::new(),
            again: VecDeque::new(),
            is_connected: true,
        }
    }

    /// Begins to play, after what was sent already.
    pub(super) fn play(&mut self, id: PlaybackId, clips: Vec<LiveClip>, skip: Duration) {
        let at = self.format.bytes_of(skip);
        self.playback = Some(Playback {
            id,
            clips: clips.into(),
            at,
            sent: Duration::ZERO,
            started_at: None,
            is_started: false,
            is_starved: false,
        });
    }

    /// Whether there is something that has not been sent in full.
    pub(super) fn is_playing(&self) -> bool {
        self.playback.is_some()
    }

    /// Falls silent at once.
    pub(super) fn cut(&mut self, now: Instant, outbox: Option<&Outbox>) {
        self.playback = None;
        if let Some(outbox) = outbox {
            outbox.clear();
        }
        self.marks.forget();
        self.sent.clear();
        self.again.clear();
        self.lag = self.marks.least_lag();
        self.due = now;
    }

    /// The clip whose next audio is waited for.
    pub(super) fn awaited(&self) -> Option<LiveClip> {
        let playback = self.playback.as_ref().filter(|playback| playback.is_starved)?;
        playback.clips.front().cloned()
    }

    /// Sends what is due, and tells what has come of it.
    pub(super) fn pump(&mut self, now: Instant, outbox: &Outbox, mut tell: impl FnMut(Event)) {
        if self.marks.are_lost(now, self.lag) {
            tracing::info!("marks are not answered; playback is counted by the clock");
        }
        let room = if self.marks.is_stalled(now, self.lag) { 0 } else { outbox.room() };
        let mut outgoing = Vec::new();
        if room > 0 && self.is_connected && self.is_low(now) {
            self.fill(now, room, &mut outgoing, &mut tell);
        }
        if !outgoing.is_empty() {
            outbox.send(outgoing);
        }
        self.settle(now, &mut tell);
    }

    /// Whether more is to be sent; what was waited for is sent as soon as it is there.
    fn is_low(&self, now: Instant) -> bool {
        self.due <= now + LOW || self.playback.as_ref().is_some_and(|playback| playback.is_starved)
    }

    fn fill(
        &mut self,
        now: Instant,
        mut room: usize,
        outgoing: &mut Vec<Outgoing>,
        tell: &mut impl FnMut(Event),
    ) {
        let size = self.format.frame_bytes();
        while room > 0 && self.due < now + AHEAD {
            if !self.again.is_empty() {
                self.catch_up(now, tell);
            }
            if let Some(frame) = self.again.pop_front() {
                self.send(frame, outgoing);
                room -= 1;
                continue;
            }
            let Some(playback) = &mut self.playback else { return };
            let Some(clip) = playback.clips.front() else { return };
            let frames = frames_until(self.due.max(now), now + AHEAD).min(room);
            let stretch = clip.read(playback.at, frames * size);
            let whole = stretch.audio.len() / size * size;
            let is_end = stretch.is_end;
            playback.is_starved = stretch.audio.len() < size && !is_end;
            if playback.is_starved {
                return;
            }
            let used = if is_end { stretch.audio.len() } else { whole };
            playback.at += used;
            if used > 0 {
                self.catch_up(now, tell);
            }
            let mut audio = stretch.audio.slice(..used);
            while !audio.is_empty() {
                let frame = if audio.len() >= size {
                    audio.split_to(size)
                } else {
                    self.padded(&std::mem::take(&mut audio))
                };
                if let Some(playback) = &mut self.playback {
                    playback.started_at.get_or_insert(self.due);
                    playback.sent += FRAME;
                }
                self.send(frame, outgoing);
                room = room.saturating_sub(1);
            }
            if is_end && let Some(playback) = &mut self.playback {
                playback.clips.pop_front();
                playback.at = 0;
                outgoing.push(Outgoing::Mark(self.marks.set(playback.id, playback.sent, self.due)));
            }
        }
    }

    fn send(&mut self, frame: Bytes, outgoing: &mut Vec<Outgoing>) {
        self.sent.push_back((self.due, frame.clone()));
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
        self.due += FRAME;
        outgoing.push(Outgoing::Audio(frame));
    }

    /// The last frame of a clip is filled with silence.
    fn padded(&self, audio: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(self.format.frame_bytes());
        frame.extend_from_slice(audio);
        frame.resize(self.format.frame_bytes(), self.format.silence());
        frame.freeze()
    }

    /// Moves the clock on if the player has nothing more: what is sent now sounds now, or after what it still has.
    fn catch_up(&mut self, now: Instant, tell: &mut impl FnMut(Event)) {
        if self.due >= now {
            return;
        }
        let left = (self.due + self.lag).saturating_duration_since(now);
        self.lag = left.max(self.marks.least_lag());
        self.due = now;
        if let Some(Playback { id, sent, is_started: true, .. }) = &self.playback {
            let position = sent.saturating_sub(FRAME * self.again.len() as u32);
            tell(Event::PlaybackReached { playback: *id, position });
        }
    }

    /// Tells what has begun and what has ended by now.
    fn settle(&mut self, now: Instant, tell: &mut impl FnMut(Event)) {
        let (lag, ends_at) = (self.lag, self.ends_at());
        let Some(playback) = &mut self.playback else { return };
        let id = playback.id;
        if playback.started_at.is_some_and(|at| at + lag <= now) && !playback.is_started {
            playback.is_started = true;
            tell(Event::PlaybackStarted { playback: id });
        }
        if ends_at.is_some_and(|at| at <= now) {
            if !playback.is_started {
                tell(Event::PlaybackStarted { playback: id });
            }
            self.playback = None;
            tell(Event::PlaybackFinished { playback: id });
        }
    }

    /// When the end of a playback that was sent in full is told.
    fn ends_at(&self) -> Option<Instant> {
        let playback = self.playback.as_ref()?;
        let is_sent = playback.clips.is_empty() && self.again.is_empty() && self.is_connected;
        is_sent.then(|| before(self.due + self.lag.saturating_sub(LAG_IS_BUFFER), EARLY))
    }

    /// The peer has played what came before a mark.
    pub(super) fn mark_answered(&mut self, name: &str, now: Instant, tell: impl FnOnce(Event)) {
        let Some(mark) = self.marks.answered(name, now) else { return };
        self.lag = mark.lag;
        let is_on = self
            .playback
            .as_ref()
            .is_some_and(|playback| playback.id == mark.playback && playback.is_started);
        if is_on {
            tell(Event::PlaybackReached { playback: mark.playback, position: mark.position });
        }
    }

    /// How much of the playback that is on has been heard.
    pub(super) fn position(&self, now: Instant) -> Option<Event> {
        let playback = self.playback.as_ref().filter(|playback| playback.is_started)?;
        let unheard = (self.due + self.lag).saturating_duration_since(now);
        let again = FRAME * self.again.len() as u32;
        let position = playback.sent.saturating_sub(unheard + again);
        Some(Event::PlaybackReached { playback: playback.id, position })
    }

    /// What is heard of the assistant at this moment.
    pub(super) fn sounding(&mut self, now: Instant) -> Option<Frame> {
        let lag = self.lag;
        while self.sent.front().is_some_and(|(at, _)| *at + lag + FRAME <= now) {
            self.sent.pop_front();
        }
        let (at, frame) = self.sent.front()?;
        (*at + lag <= now).then(|| frames::samples(self.format, frame))
    }

    /// When all that was sent has been heard.
    pub(super) fn silent_at(&self) -> Instant {
        self.due + self.lag
    }

    /// The connection broke: what was not heard will be said again on the next one.
    pub(super) fn disconnected(&mut self, now: Instant) {
        let lag = self.lag;
        let lost = self.sent.drain(..).filter(|(at, _)| *at + lag + FRAME > now).map(|(_, frame)| frame);
        let before = std::mem::take(&mut self.again);
        self.again = if self.playback.is_some() { lost.chain(before).collect() } else { VecDeque::new() };
        self.marks.forget();
        self.is_connected = false;
    }

    /// There is another connection.
    pub(super) fn connected(&mut self, answers_marks: bool, now: Instant) {
        self.marks = Marks::new(answers_marks);
        self.lag = Duration::ZERO;
        self.due = now;
        self.is_connected = true;
    }

    /// When there is something to be done next, on the grid that starts at `origin`.
    pub(super) fn wake_at(&self, now: Instant, origin: Instant) -> Option<Instant> {
        let playback = self.playback.as_ref()?;
        let has_more = !(playback.is_starved || playback.clips.is_empty() && self.again.is_empty());
        let refill = (has_more && self.is_connected).then(|| before(self.due, LOW).max(now + FRAME / 2));
        let started = playback.started_at.filter(|_| !playback.is_started).map(|at| at + self.lag);
        let first = [refill, started, self.ends_at()].into_iter().flatten().min()?;
        Some(on_grid(first, origin))
    }
}

/// `span` before `at`, as far as a clock goes back.
fn before(at: Instant, span: Duration) -> Instant {
    at.checked_sub(span).unwrap_or(at)
}

fn frames_until(from: Instant, to: Instant) -> usize {
    to.saturating_duration_since(from).as_nanos().div_ceil(FRAME.as_nanos()) as usize
}

/// The first tick of the grid that is not before `at`.
fn on_grid(at: Instant, origin: Instant) -> Instant {
    let since = at.saturating_duration_since(origin).as_nanos();
    let ticks = since.div_ceil(FRAME.as_nanos());
    origin + FRAME * ticks as u32
}

#[cfg(test)]
mod tests;
