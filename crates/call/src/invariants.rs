//! What must hold for every call, whatever happens to it. Used by the tests over arbitrary events and by the
//! running session's debug assertions.

use std::{collections::BTreeSet, time::Instant};

use crate::{Call, Command, Notice, PlaybackId, SayId, State, mouth::STOP_WAIT};

/// Watches the commands of one call.
#[derive(Debug, Default)]
pub struct Invariants {
    on: Option<PlaybackId>,
    stopped_at: Option<Instant>,
    last_turn: u32,
    said: BTreeSet<SayId>,
    is_over: bool,
}

impl Invariants {
    /// Notes that the call was told of the end of a playback.
    pub fn playback_over(&mut self, playback: PlaybackId) {
        if self.on == Some(playback) {
            self.on = None;
            self.stopped_at = None;
        }
    }

    /// Whether a new playback may begin: none is on, or the confirmation of its stop was lost.
    fn is_free(&self, now: Instant) -> bool {
        self.on.is_none() || self.stopped_at.is_some_and(|at| now >= at + STOP_WAIT)
    }

    /// Checks a command against those before it.
    ///
    /// # Errors
    /// With the broken rule.
    pub fn check_command(&mut self, now: Instant, command: &Command) -> Result<(), &'static str> {
        if self.is_over && !matches!(command, Command::Report(_) | Command::CancelTurn { .. }) {
            return Err("a command that acts on a call after its end");
        }
        match command {
            Command::Play { playback, items, .. } => {
                if !self.is_free(now) {
                    return Err("two playbacks at once");
                }
                self.on = Some(*playback);
                self.stopped_at = None;
                if items.is_empty() {
                    return Err("a playback of nothing");
                }
            }
            Command::StopPlayback { playback } => {
                if self.on != Some(*playback) {
                    return Err("a stop of a playback that is not on");
                }
                self.stopped_at = Some(now);
            }
            // A playback whose end was lost is over when the call says so.
            Command::Report(Notice::PlaybackFinished { playback, .. }) => self.playback_over(*playback),
            Command::Report(Notice::SayEnded { say, .. }) => {
                if !self.said.insert(*say) {
                    return Err("something said that ends twice");
                }
            }
            Command::StartTurn(request) => {
                if request.turn.0 <= self.last_turn {
                    return Err("turn ids that do not count up");
                }
                if request.utterances.is_empty() && request.earlier_text.is_empty() {
                    return Err("a turn in which nothing was said");
                }
                self.last_turn = request.turn.0;
            }
            Command::Answer
            | Command::Dial
            | Command::Screen
            | Command::SendDigits { .. }
            | Command::Listen
            | Command::EndUtterance
            | Command::DropUtterance
            | Command::Transcribe { .. }
            | Command::CancelTurn { .. }
            | Command::Synthesize { .. }
            | Command::ForgetClips { .. }
            | Command::Transfer { .. }
            | Command::HangUp
            | Command::Report(_) => {}
        }
        Ok(())
    }

    /// Checks a call once its commands have been taken and what was due at `now` has been handled.
    ///
    /// # Errors
    /// With the broken rule.
    pub fn check_call(&mut self, call: &Call, now: Instant) -> Result<(), &'static str> {
        self.is_over = matches!(call.state(), State::Ended { .. });
        match call.next_timeout() {
            Some(deadline) if deadline <= now => Err("a deadline that does not lie ahead"),
            None if !self.is_over => Err("a live call that waits for ever"),
            Some(_) if self.is_over => Err("an ended call that waits"),
            Some(_) | None => Ok(()),
        }
    }
}
