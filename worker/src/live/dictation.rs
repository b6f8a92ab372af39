//! What is asked of the recogniser while somebody speaks, and what is told of it. Pure: audio, requests and answers go in,
//! the next step comes out.
//!
//! One pass is under way at most, and it is always over everything that there was when it began. A pass whose words are
//! those of the whole utterance, because nothing but silence has come since, answers whatever is asked then.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Transcript,
    audio::{Extent, Format, Recording},
    schedule::Schedule,
    words::Words,
};
use crate::{
    error::{Error, TurnError},
    ports::Work,
    recogniser::LEAST_VOICE,
};

/// Flushes that may wait for their answers.
const MOST_FLUSHES: usize = 16;
/// After a pass has failed nobody's words are worth asking for at once.
const REST: Duration = Duration::from_secs(2);

/// Words of one speaker, while he speaks.
#[derive(Debug)]
pub(super) struct Dictation {
    recording: Recording,
    words: Words,
    /// `None` where nobody wants words before he asks for them.
    schedule: Option<Schedule>,
    /// What the words are the words of.
    heard: Extent,
    pass: Option<Pass>,
    /// Who waits, and for the words of how much.
    flushes: VecDeque<(i32, Extent)>,
    last_flush: i32,
    is_closed: bool,
    is_over: bool,
    /// Text and stable length that were told last.
    told: (String, usize),
    failure: Option<TurnError>,
}

/// A pass that is under way.
#[derive(Clone, Copy, Debug)]
struct Pass {
    extent: Extent,
    is_awaited: bool,
    /// It began when nobody waited for it, so it was not given all that can be done.
    is_partial: bool,
}

/// What is to be done now.
#[derive(Debug)]
pub(super) enum Step {
    /// Recognise all that there is, instead of what is being recognised; nobody waits for it yet.
    TryPass,
    /// The same; somebody waits.
    Pass,
    /// Somebody waits for the pass that is under way.
    Hurry,
    /// Tell this.
    Tell(Transcript),
    /// It has failed.
    Fail(TurnError),
    /// Nothing, until something comes in.
    Wait,
    /// Nothing any more: the final words have been told.
    End,
}

impl Dictation {
    pub(super) fn new(format: Format, wants_partials: bool) -> Self {
        Self {
            recording: Recording::new(format),
            words: Words::default(),
            schedule: wants_partials.then(Schedule::default),
            heard: Extent::default(),
            pass: None,
            flushes: VecDeque::new(),
            last_flush: 0,
            is_closed: false,
            is_over: false,
            told: (String::new(), 0),
            failure: None,
        }
    }

    /// More was said.
    ///
    /// # Errors
    /// When it is not audio of the announced format, or too much.
    pub(super) fn hear(&mut self, audio: &[u8]) -> Result<(), Error> {
        self.recording.push(audio)
    }

    /// The words so far are wanted.
    ///
    /// # Errors
    /// When the flush has no number of its own, or too many wait.
    pub(super) fn flush(&mut self, id: i32) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::InvalidField { field: "flush.flush_id", message });
        if id <= self.last_flush {
            return invalid(format!("{id} does not follow {}; count up from 1", self.last_flush));
        }
        if self.flushes.len() == MOST_FLUSHES {
            return invalid(format!("{MOST_FLUSHES} flushes wait for their answers already"));
        }
        self.last_flush = id;
        self.flushes.push_back((id, self.recording.extent()));
        Ok(())
    }

    /// Nothing more will be said.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether nothing more will be said.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Playing time of all audio.
    pub(super) fn duration(&self) -> Duration {
        self.recording.extent().duration
    }

    /// All audio as a file.
    pub(super) fn to_wav(&self) -> Work<'static, Result<Bytes, TurnError>> {
        self.recording.to_wav()
    }

    /// A pass over all that there is has begun, instead of any other.
    pub(super) fn begin(&mut self) {
        let extent = self.recording.extent();
        let is_awaited = self.is_awaited();
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(extent.voiced);
        }
        self.pass = Some(Pass { extent, is_awaited, is_partial: !is_awaited });
    }

    /// No pass that nobody waits for begins before then.
    pub(super) fn put_off(&mut self, until: Instant) {
        if let Some(schedule) = &mut self.schedule {
            schedule.put_off(until);
        }
    }

    /// The pass is over.
    pub(super) fn finish(&mut self, heard: Result<String, TurnError>, now: Instant) {
        let Some(pass) = self.pass.take() else { return };
        match heard {
            Ok(text) => {
                self.words.hear(&text, !pass.extent.ends_in_pause());
                self.heard = pass.extent;
            }
            // What was not given all that can be done is asked anew by who waits for it.
            Err(error) if pass.is_partial => {
                self.put_off(now + error.retry_after.unwrap_or_default().max(REST));
            }
            Err(error) => self.failure = Some(error),
        }
    }

    /// What is to be done now. Asked again after each step until it is to wait or to end.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.is_over {
            return Step::End;
        }
        if let Some(error) = self.failure.take() {
            self.is_over = true;
            return Step::Fail(error);
        }
        let extent = self.recording.extent();
        if let Some((_, first)) = self.flushes.front()
            && self.has_words_of(first)
        {
            return self.answer();
        }
        if self.is_closed && self.flushes.is_empty() && self.has_words_of(&extent) {
            return self.answer();
        }
        if self.is_awaited() {
            let wanted =
                if self.is_closed { Some(extent) } else { self.flushes.back().map(|(_, last)| *last) };
            return match &mut self.pass {
                Some(pass) if wanted.is_some_and(|wanted| pass.extent.has_the_words_of(&wanted)) => {
                    if std::mem::replace(&mut pass.is_awaited, true) {
                        Step::Wait
                    } else {
                        Step::Hurry
                    }
                }
                Some(_) | None => Step::Pass,
            };
        }
        let Some(schedule) = &self.schedule else { return Step::Wait };
        let stable_length = self.words.stable_length();
        if (self.words.text(), stable_length) != (&self.told.0, self.told.1) {
            let transcript = self.transcript(None);
            self.told = (transcript.text.clone(), stable_length);
            return Step::Tell(transcript);
        }
        if self.pass.is_none() && schedule.is_due(extent.voiced, now) { Step::TryPass } else { Step::Wait }
    }

    /// Whether somebody waits for words.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_closed || !self.flushes.is_empty()
    }

    fn has_words_of(&self, wanted: &Extent) -> bool {
        wanted.voiced < LEAST_VOICE || self.heard.has_the_words_of(wanted)
    }

    /// Tells the words to who waits first.
    fn answer(&mut self) -> Step {
        let flush_id = self.flushes.pop_front().map(|(id, _)| id);
        self.is_over = flush_id.is_none();
        let transcript = self.transcript(flush_id);
        self.told = (transcript.text.clone(), transcript.stable_length);
        Step::Tell(transcript)
    }

    fn transcript(&self, flush_id: Option<i32>) -> Transcript {
        let text = self.words.text().to_owned();
        let (stable_length, audio_duration) = if self.is_over {
            (text.chars().count(), self.duration())
        } else {
            (self.words.stable_length(), self.heard.duration)
        };
        Transcript { text, is_final: self.is_over, stable_length, flush_id, audio_duration }
    }
}

#[cfg(test)]
mod tests;
