//! What must hold for every call, whatever happens to it. Used by the tests over arbitrary events and by the
//! running session's debug assertions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    Call, ClipId, Command, Item, Notice, PlaybackId, PlaybackKind, SayId, SpeculationOutcome, State, TurnId,
    TurnRequest, UtteranceId,
    call::speculation::{ATTEMPTS, affords},
    mouth::STOP_WAIT,
};

/// Watches the commands of one call.
#[derive(Debug, Default)]
pub struct Invariants {
    on: Option<PlaybackId>,
    stopped_at: Option<Instant>,
    last_turn: u32,
    said: BTreeSet<SayId>,
    is_over: bool,
    /// Clips that were asked for and not forgotten, and those of them that are being played.
    clips: BTreeMap<ClipId, PlaybackKind>,
    played: Vec<ClipId>,
    /// Playbacks that were broken off and have not gone on.
    broken: BTreeSet<PlaybackId>,
    early: Early,
    /// What the language model asked for and is not over with.
    tools: Vec<(TurnId, String)>,
    /// How far somebody is to whom the call is to be handed.
    target: Option<Target>,
}

/// Somebody to whom the call is to be handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Called,
    Told,
    Joined,
}

/// Turns that were begun before their utterance was over.
#[derive(Debug, Default)]
struct Early {
    open: Option<TurnId>,
    /// Whether that one answers the words of the line's own recogniser, beside the turn that they are confirmed by.
    is_draft: bool,
    /// How often in the newest utterance.
    attempts: Option<(UtteranceId, u32)>,
    dropped: u32,
    /// All other turns.
    turns: u32,
}

impl Invariants {
    /// Notes that the call was told of the end of a playback.
    pub fn playback_over(&mut self, playback: PlaybackId) {
        if self.on == Some(playback) {
            self.on = None;
            self.stopped_at = None;
            self.played.clear();
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
                if self.target == Some(Target::Joined) {
                    return Err("something said into what caller and colleague say to each other");
                }
                self.check_items(items)?;
            }
            Command::Synthesize { clip, kind, .. } => {
                self.clips.insert(*clip, *kind);
            }
            Command::ForgetClips { clips } => {
                if clips.iter().any(|clip| self.played.contains(clip)) {
                    return Err("a clip that is forgotten while it is played");
                }
                if clips.iter().any(|clip| self.clips.remove(clip).is_none()) {
                    return Err("a clip that is forgotten twice");
                }
            }
            Command::StopPlayback { playback } => {
                if self.on != Some(*playback) {
                    return Err("a stop of a playback that is not on");
                }
                self.stopped_at = Some(now);
                self.played.clear();
            }
            // A playback whose end was lost is over when the call says so.
            Command::Report(Notice::PlaybackFinished { playback, .. }) => self.playback_over(*playback),
            Command::Report(Notice::SayEnded { say, .. }) => {
                if !self.said.insert(*say) {
                    return Err("something said that ends twice");
                }
            }
            Command::StartTurn(request) => {
                if request.round > 0 {
                    return if request.turn.0 <= self.last_turn {
                        Ok(())
                    } else {
                        Err("a turn without a beginning")
                    };
                }
                if request.turn.0 <= self.last_turn {
                    return Err("turn ids that do not count up");
                }
                if request.utterances.is_empty() && request.earlier_text.is_empty() {
                    return Err("a turn in which nothing was said");
                }
                self.last_turn = request.turn.0;
                self.early.begun(request)?;
            }
            Command::Report(Notice::SpeculationSettled { turn, outcome }) => {
                self.early.settled(*turn, *outcome)?;
            }
            Command::Report(Notice::Transcript { turn, .. } | Notice::ReplyDelta { turn, .. }) => {
                if self.early.open == Some(*turn) {
                    return Err("a turn that is told of before its utterance is over");
                }
            }
            Command::Report(Notice::PlaybackInterrupted { playback, .. }) => {
                self.broken.insert(*playback);
            }
            Command::Report(Notice::InterruptionRepaired { playback, .. }) => {
                if !self.broken.remove(playback) {
                    return Err("a playback that goes on though it was not broken off");
                }
            }
            Command::Report(Notice::TurnTimings { parts, won, .. }) => {
                if *won > parts.iter().map(|part| part.duration).sum::<Duration>() {
                    return Err("more time won than a turn took");
                }
            }
            Command::Report(Notice::ToolCalled { turn, tool_call, .. }) => {
                if self.early.open == Some(*turn) {
                    return Err("something that is done before the utterance is over that asks for it");
                }
                self.tools.push((*turn, tool_call.clone()));
            }
            Command::Report(Notice::ToolEnded { turn, tool_call, .. }) => {
                let open = self.tools.iter().position(|open| (&open.0, &open.1) == (turn, tool_call));
                let Some(open) = open else { return Err("a tool that ends though it was not called") };
                self.tools.remove(open);
            }
            Command::CallTarget { .. } => self.step(None, Target::Called)?,
            Command::TellTarget { .. } => self.step(Some(Target::Called), Target::Told)?,
            Command::JoinTarget => self.step(Some(Target::Told), Target::Joined)?,
            Command::DropTarget if self.target.is_none() => {
                return Err("somebody hung up on who was not called");
            }
            // He is gone, or has the call.
            Command::DropTarget
            | Command::Report(Notice::TransferFailed { .. } | Notice::TransferConnected) => {
                self.target = None;
            }
            // Whatever is on ends with the call.
            Command::HangUp => self.played.clear(),
            Command::Answer
            | Command::Dial
            | Command::Screen
            | Command::SendDigits { .. }
            | Command::Listen
            | Command::EndUtterance
            | Command::DropUtterance
            | Command::Transcribe { .. }
            | Command::CancelTurn { .. }
            | Command::CallTool { .. }
            | Command::CancelTool { .. }
            | Command::ExpectDigits { .. }
            | Command::TakeMessage
            | Command::KeepMessage { .. }
            | Command::Transfer { .. }
            | Command::Report(_) => {}
        }
        Ok(())
    }

    fn step(&mut self, from: Option<Target>, to: Target) -> Result<(), &'static str> {
        if self.target.replace(to) == from { Ok(()) } else { Err("a call that is handed over out of order") }
    }

    fn check_items(&mut self, items: &[Item]) -> Result<(), &'static str> {
        if items.is_empty() {
            return Err("a playback of nothing");
        }
        self.played.clear();
        for item in items {
            let Item::Clip(clip) = item else { continue };
            let Some(kind) = self.clips.get(clip) else {
                return Err("a clip that is played after it was forgotten");
            };
            if *kind == PlaybackKind::Reply && self.early.open.is_some() {
                return Err("a reply that is heard before its utterance is over");
            }
            self.played.push(*clip);
        }
        Ok(())
    }

    /// Checks a call once its commands have been taken and what was due at `now` has been handled.
    ///
    /// # Errors
    /// With the broken rule.
    pub fn check_call(&mut self, call: &Call, now: Instant) -> Result<(), &'static str> {
        self.is_over = matches!(call.state(), State::Ended { .. });
        if let Some(rule) = call.broken_rule() {
            return Err(rule);
        }
        if self.is_over && !self.tools.is_empty() {
            return Err("a tool that outlives its call");
        }
        if self.is_over && self.target.is_some() {
            return Err("somebody who is still called for a call that is over");
        }
        match call.next_timeout() {
            Some(deadline) if deadline <= now => Err("a deadline that does not lie ahead"),
            None if !self.is_over => Err("a live call that waits for ever"),
            Some(_) if self.is_over => Err("an ended call that waits"),
            Some(_) | None => Ok(()),
        }
    }
}

// === impl Early ===

impl Early {
    fn begun(&mut self, request: &TurnRequest) -> Result<(), &'static str> {
        if self.open.is_some() && (request.is_speculative || !self.is_draft) {
            return Err("a turn that is begun while it is not known whether another one was begun rightly");
        }
        if !request.is_speculative {
            self.turns += 1;
            return Ok(());
        }
        let newest = request.utterances.last().copied();
        self.is_draft = newest.is_none();
        self.open = Some(request.turn);
        if !affords(self.dropped, self.turns) {
            return Err("more turns that are begun early than may be wasted");
        }
        let Some(newest) = newest else { return Ok(()) };
        let before =
            self.attempts.filter(|(utterance, _)| *utterance == newest).map_or(0, |(_, count)| count);
        self.attempts = Some((newest, before + 1));
        if before >= ATTEMPTS {
            return Err("more turns that are begun early than an utterance may cost");
        }
        Ok(())
    }

    fn settled(&mut self, turn: TurnId, outcome: SpeculationOutcome) -> Result<(), &'static str> {
        if self.open.take() != Some(turn) {
            return Err("a turn that is settled though it was not begun early");
        }
        // A draft stands for a turn that has been counted.
        self.turns += u32::from(outcome == SpeculationOutcome::Kept && !self.is_draft);
        self.dropped += outcome.waste();
        Ok(())
    }
}
