//! The caller's voice in a stream of frames: where utterances begin, pause and go on, and their audio as it comes.
//!
//! When an utterance ends is decided elsewhere. While it pauses its audio is held back: if nothing follows, whoever
//! transcribes it has heard all that there was, and nothing has to be transcribed again.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use voice_audio::vad::live::{Change, LiveVad};
use voice_call::UtteranceId;

use super::frames::{self, Frame};
use crate::sound::{AudioFormat, FRAME};

/// Frames before the onset that belong to an utterance: soft consonants come before the voice.
const PRE_ROLL: usize = 12;

/// The most frames that lie between an onset and its being noticed, and those before it.
const KEPT: usize = 32 + PRE_ROLL;

/// Frames that are passed on together: 100 ms.
const BATCH: usize = 5;

/// Batches that may wait to be taken; they are taken at once, so that more mean that nobody is there.
const BATCHES: usize = 128;

/// Frames without voice after which the detector reports a pause.
const PAUSE: u32 = 5;

/// The detector hears a voice, not how loud it is, and a word may fade without one: a pause is believed once this many
/// frames are this much quieter than the loudest, or after so many frames all the same, where the line itself is loud.
const QUIET: u32 = 3;
const FADED_DB: f32 = 25.0;
const BELIEVED: u32 = 10;

/// Frames of a pause that are kept: what a caller goes on with begins after them.
const HELD: usize = 25;

/// What the ear noticed.
#[derive(Debug)]
pub(super) enum Heard {
    /// The caller has begun to speak; this is what he says, as he says it.
    Started(UtteranceId, mpsc::Receiver<Bytes>),
    /// He is silent, or takes a breath.
    Paused {
        utterance: UtteranceId,
        /// For how long already.
        silent: Duration,
        /// How much voice there was before.
        voiced: Duration,
    },
    /// He goes on.
    Resumed,
}

/// Listens to one leg.
#[derive(Debug)]
pub(super) struct Ear {
    format: AudioFormat,
    vad: LiveVad,
    /// Less than a frame.
    rest: BytesMut,
    /// The last frames, of which the next utterance may need some.
    recent: Recent,
    utterance: Option<Utterance>,
    utterances: u32,
}

/// The last frames of a leg. Silence, which is most of what comes, is counted: its pieces would keep the transport's buffers, and
/// be cold by the time they are let go.
#[derive(Debug, Default)]
struct Recent {
    frames: VecDeque<Bytes>,
    /// Silent frames that came after these.
    silent: usize,
}

#[derive(Debug)]
struct Utterance {
    id: UtteranceId,
    out: mpsc::Sender<Bytes>,
    batch: BytesMut,
    frames: usize,
    loudest_db: f32,
    /// How many of the last frames were quiet.
    quiet: u32,
    doubted: Option<Doubted>,
    /// Frames of a pause that may turn out to be its end.
    held: Option<VecDeque<Bytes>>,
}

/// A pause that may be a word that fades.
#[derive(Debug)]
struct Doubted {
    voiced: Duration,
    frames: u32,
}

impl Ear {
    pub(super) fn new(format: AudioFormat) -> Self {
        Self {
            format,
            vad: LiveVad::new(),
            rest: BytesMut::new(),
            recent: Recent::default(),
            utterance: None,
            utterances: 0,
        }
    }

    /// Takes what the caller sent, of any length. `far` gives what the assistant is heard to say meanwhile.
    pub(super) fn take(
        &mut self,
        mut audio: Bytes,
        far: impl FnOnce() -> Option<Frame>,
        mut noticed: impl FnMut(Heard),
    ) {
        let size = self.format.frame_bytes();
        if !self.rest.is_empty() || audio.len() < size {
            self.rest.extend_from_slice(&audio);
            audio = self.rest.split().freeze();
        }
        let far = if audio.len() >= size { far() } else { None };
        while audio.len() >= size {
            let frame = audio.split_to(size);
            if let Some(heard) = self.take_frame(frame, far.as_ref()) {
                noticed(heard);
            }
        }
        self.rest.extend_from_slice(&audio);
    }

    fn take_frame(&mut self, frame: Bytes, far: Option<&Frame>) -> Option<Heard> {
        let near = frames::samples(self.format, &frame);
        let change = self.vad.push(&near, far);
        let mut paused = None;
        if let Some(utterance) = &mut self.utterance {
            utterance.take(frame.clone());
            utterance.weigh(frames::level_db(&near));
            paused = utterance.believe(change);
        }
        self.recent.keep(self.format, frame, self.vad.is_silent());
        match change {
            Some(Change::Started { onset_frames }) => Some(self.started(onset_frames)),
            Some(Change::Resumed) => self.utterance.as_mut().and_then(Utterance::resume),
            Some(Change::Paused { .. }) | None => paused,
        }
    }

    fn started(&mut self, onset_frames: usize) -> Heard {
        self.utterances += 1;
        let id = UtteranceId(self.utterances);
        let (out, audio) = mpsc::channel(BATCHES);
        let mut utterance = Utterance {
            id,
            out,
            batch: BytesMut::new(),
            frames: 0,
            loudest_db: f32::NEG_INFINITY,
            quiet: 0,
            doubted: None,
            held: None,
        };
        for frame in self.recent.last(self.format, onset_frames + PRE_ROLL) {
            utterance.take(frame);
        }
        self.utterance = Some(utterance);
        Heard::Started(id, audio)
    }

    /// Ends the utterance that is going on: its audio is complete.
    pub(super) fn end(&mut self) -> Option<UtteranceId> {
        let mut utterance = self.utterance.take()?;
        if utterance.held.is_none() {
            utterance.flush();
        }
        self.vad.reset();
        Some(utterance.id)
    }
}

impl Recent {
    fn keep(&mut self, format: AudioFormat, frame: Bytes, is_silent: bool) {
        if is_silent {
            if self.silent < KEPT {
                self.silent += 1;
            } else if !self.frames.is_empty() {
                self.frames = VecDeque::new();
            }
            return;
        }
        let silent = std::mem::take(&mut self.silent);
        self.frames.extend(std::iter::repeat_n(format.silent_frame(), silent));
        self.frames.push_back(frame);
        self.frames.drain(..self.frames.len().saturating_sub(KEPT));
    }

    /// So many of them, or all that there are.
    fn last(&self, format: AudioFormat, count: usize) -> impl Iterator<Item = Bytes> {
        let silent = std::iter::repeat_n(format.silent_frame(), self.silent);
        let skipped = (self.frames.len() + self.silent).saturating_sub(count);
        self.frames.iter().cloned().chain(silent).skip(skipped)
    }
}

impl Utterance {
    fn take(&mut self, frame: Bytes) {
        if let Some(held) = &mut self.held {
            if held.len() == HELD {
                held.pop_front();
            }
            held.push_back(frame);
            return;
        }
        self.batch.extend_from_slice(&frame);
        self.frames += 1;
        if self.frames == BATCH {
            self.flush();
        }
    }

    fn weigh(&mut self, level_db: f32) {
        self.loudest_db = self.loudest_db.max(level_db);
        self.quiet = if level_db < self.loudest_db - FADED_DB { self.quiet + 1 } else { 0 };
    }

    /// Gives a pause once it is one.
    fn believe(&mut self, change: Option<Change>) -> Option<Heard> {
        if let Some(Change::Paused { voiced }) = change {
            self.doubted = Some(Doubted { voiced, frames: 0 });
        }
        let doubted = self.doubted.as_mut()?;
        if self.quiet < QUIET && doubted.frames < BELIEVED {
            doubted.frames += 1;
            return None;
        }
        let Doubted { voiced, frames } = self.doubted.take()?;
        self.flush();
        self.held = Some(VecDeque::new());
        Some(Heard::Paused { utterance: self.id, silent: FRAME * (PAUSE + frames), voiced })
    }

    /// The caller goes on; a pause that was not believed was none.
    fn resume(&mut self) -> Option<Heard> {
        self.doubted = None;
        let held = self.held.take()?;
        for frame in held {
            self.take(frame);
        }
        Some(Heard::Resumed)
    }

    fn flush(&mut self) {
        self.frames = 0;
        if !self.batch.is_empty() && self.out.try_send(self.batch.split().freeze()).is_err() {
            tracing::debug!("nobody takes what a caller says");
        }
    }
}

#[cfg(test)]
mod tests;
