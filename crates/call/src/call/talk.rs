//! An active conversation: what it holds, and which event goes where.

use std::time::Instant;

use super::{
    Outbox,
    handover::Hold,
    hearing::Caller,
    interruption::Suspended,
    message::Taking,
    requests::{DigitsOut, OpenSay},
    tools::Leaving,
};
use crate::{
    Activity, ClipId, Command, Config, Destination, EndReason, Event, Handover, Notice, PlaybackId,
    PlaybackKind, TurnId, UtteranceId,
    history::History,
    mouth::{Extent, Mouth, Piece},
    notice::CancelReason,
    pace::Pace,
    tool::{ToolCall, ToolWork},
    turn::Turn,
};

/// What a decision may use: the time, the configuration, and a place for commands.
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) out: &'a mut Outbox,
}

/// What becomes of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    HangUp(EndReason),
    Transfer(Handover),
    /// Somebody has taken it over.
    Gone,
}

/// Parts of the next user message that were said before their turn was given up.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    pub(crate) utterances: Vec<UtteranceId>,
    pub(crate) text: String,
}

/// A reply that the caller spoke over, kept until it is known whether he said anything.
#[derive(Debug)]
pub(crate) struct Interrupted {
    pub(crate) turn: TurnId,
    /// What was stopped, if it was sounding just then, and whether it was a question.
    pub(crate) playback: Option<PlaybackId>,
    pub(crate) is_asking: bool,
    pub(crate) user: String,
    pub(crate) said: String,
    pub(crate) heard: String,
    /// What was heard before the piece that was broken.
    pub(crate) heard_whole: String,
    pub(crate) rest: std::collections::VecDeque<Piece>,
    /// What it had asked for beside its words.
    pub(crate) tools: ToolWork,
}

#[derive(Debug)]
pub(crate) struct Talk {
    pub(super) caller: Caller,
    pub(super) turn: Option<Turn>,
    /// An answer that waits to be confirmed.
    pub(super) draft: Option<Turn>,
    pub(super) mouth: Mouth,
    pub(super) history: History,
    pub(super) carry: Carry,
    pub(super) suspended: Option<Suspended>,
    pub(super) interrupted: Option<Interrupted>,
    /// Since when nobody has said anything and nothing is in the works.
    pub(super) quiet_since: Instant,
    pub(super) prompts: u32,
    pub(super) turns: u32,
    /// Turns that were begun early and dropped.
    pub(super) wasted: u32,
    pub(super) failures: u32,
    pub(super) pace: Pace,
    /// How many fillers there were, and which was the last one.
    pub(super) fillers: u32,
    pub(super) last_filler: Option<usize>,
    pub(super) last_turn_had_filler: bool,
    pub(super) closing: Option<EndReason>,
    pub(super) is_draining: bool,
    pub(super) limit: Instant,
    /// Whether there is somebody to hand the caller to, as far as is known.
    pub(super) can_transfer: bool,
    pub(super) says: Vec<OpenSay>,
    /// When the last of them was over.
    pub(super) last_say_at: Option<Instant>,
    pub(super) digits: Option<DigitsOut>,
    /// Keys in a row that the line expects.
    pub(super) expected_keys: usize,
    /// Set when the model has the call handed over.
    pub(super) leaving: Option<Leaving>,
    /// What the model is told if nobody takes it.
    pub(super) departed: Option<ToolCall>,
    /// A message that the caller is leaving.
    pub(super) taking: Option<Taking>,
    /// Set while somebody is called whom the caller is to be handed to.
    pub(super) hold: Option<Hold>,
}

impl Talk {
    pub(super) fn begin(cx: &mut Cx<'_>) -> Self {
        let mut talk = Self::new(cx);
        // Before the first word of ours: the caller may speak over the greeting.
        cx.out.push(Command::Listen);
        let greeting = cx.config.phrases.greeting.clone();
        talk.say(cx, PlaybackKind::Greeting, None, greeting);
        talk
    }

    /// A last word, and then the end.
    pub(super) fn last_words(cx: &mut Cx<'_>, reason: EndReason, kind: PlaybackKind, text: &str) -> Self {
        let mut talk = Self::new(cx);
        talk.closing = Some(reason);
        talk.can_transfer = false;
        talk.say(cx, kind, None, text.to_owned());
        talk
    }

    pub(super) fn new(cx: &mut Cx<'_>) -> Self {
        Self {
            caller: Caller::Quiet,
            turn: None,
            draft: None,
            mouth: Mouth::new(cx.now),
            history: History::default(),
            carry: Carry::default(),
            suspended: None,
            interrupted: None,
            quiet_since: cx.now,
            prompts: 0,
            turns: 0,
            wasted: 0,
            failures: 0,
            pace: Pace::default(),
            fillers: 0,
            last_filler: None,
            last_turn_had_filler: false,
            closing: None,
            is_draining: false,
            limit: cx.now + cx.config.max_call,
            can_transfer: cx.config.can_transfer,
            says: Vec::new(),
            last_say_at: None,
            digits: None,
            expected_keys: 1,
            leaving: None,
            departed: None,
            taking: None,
            hold: None,
        }
    }

    pub(super) fn activity(&self) -> Activity {
        if self.mouth.playing().is_some() {
            Activity::Speaking
        } else if self.turn.is_some() && !self.is_turn_held()
            || self.mouth.free().next().is_some()
            || self.hold.is_some()
        {
            Activity::Thinking
        } else {
            Activity::Listening
        }
    }

    pub(super) fn handle(&mut self, cx: &mut Cx<'_>, event: Event) -> Step {
        if self.hold.is_some() {
            return self.handle_on_hold(cx, event);
        }
        self.take(cx, event);
        self.go_on(cx)
    }

    pub(super) fn take(&mut self, cx: &mut Cx<'_>, event: Event) {
        match event {
            Event::SpeechStarted => self.speech_started(cx),
            Event::SpeechAbandoned => self.speech_abandoned(cx),
            Event::SpeechEnded => self.speech_ended(cx),
            Event::UtteranceEnded { utterance } => self.utterance_ended(cx, utterance),
            Event::SpeechPaused { utterance, silent_since, voiced } => {
                self.speech_paused(cx, utterance, silent_since, voiced);
            }
            Event::SpeechResumed => self.speech_resumed(cx),
            Event::PartialHeard { text, stable, source, completeness } => {
                self.partial_heard(cx, text, stable, source, completeness);
            }
            Event::Transcribed { utterance, text } => self.transcribed(cx, utterance, text),
            Event::DigitPressed { digit } => {
                self.quiet_since = cx.now;
                cx.out.report(Notice::DigitPressed { digit });
                if digit == '#' && self.taking.is_some() {
                    self.finish_message(cx);
                }
                self.key_pressed(cx, digit);
            }
            Event::TurnProgressed { turn, progress } if self.is_draft(turn) => {
                self.draft_progressed(cx, turn, progress);
            }
            Event::TurnProgressed { turn, progress } => self.turn_progressed(cx, turn, progress),
            Event::TurnFailed { turn, .. } if self.is_draft(turn) => self.draft_failed(cx),
            Event::TurnFailed { turn, reason } => self.turn_failed(cx, turn, reason),
            Event::ToolProgressed { turn, tool_call, words } => {
                self.tool_progressed(cx, turn, &tool_call, words);
            }
            Event::ToolAnswered { turn, tool_call, answer } => {
                self.tool_answered(cx, turn, &tool_call, answer);
            }
            Event::ClipReady { clip, duration } => self.clip_grew(cx, clip, Extent::whole(duration)),
            Event::ClipGrew { clip, duration, is_complete, silences } => {
                self.clip_grew(cx, clip, Extent { duration, is_complete, silences });
            }
            Event::ClipFailed { clip } => {
                if self.mouth.fail(clip) {
                    cx.out.report(Notice::Degraded { reason: "PLATFORM_VOICE" });
                }
            }
            Event::PlaybackReached { playback, position } => self.mouth.reached(cx.now, playback, position),
            Event::PlaybackStarted { playback } => self.playback_started(cx, playback),
            Event::PlaybackFinished { playback } => self.playback_finished(cx, playback),
            Event::PlaybackFailed { playback } => {
                cx.out.report(Notice::Degraded { reason: "PLAYBACK_FAILED" });
                let unsaid = self.mouth.failed(cx.now, playback);
                if unsaid.is_some() && unsaid == self.turn.as_ref().map(|turn| turn.id) {
                    self.give_up_turn(cx, "SPEECH_UNAVAILABLE");
                }
            }
            Event::DrainStarted => self.is_draining = true,
            Event::DigitsSent | Event::DigitsFailed => self.digits_over(cx, Some(&event)),
            // Nothing to hand over, answered already, found out too late, or handled by the call itself.
            Event::TransferConnected
            | Event::TransferFailed { .. }
            | Event::TargetAnswered
            | Event::TargetTold
            | Event::AnswererDetected { .. }
            | Event::MachineReady
            | Event::DialFailed { .. }
            | Event::Answered
            | Event::EndRequested
            | Event::HungUp
            | Event::LineFailed => {}
        }
    }

    /// Says what can be said, and decides whether the conversation is over.
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>) -> Step {
        self.pump(cx);
        if self.is_draining && self.is_at_rest() && self.closing.is_none() {
            self.close(cx, EndReason::Drain);
            self.pump(cx);
        }
        self.settle_says(cx.out, false);
        self.expect_keys(cx.out);
        match self.closing {
            Some(EndReason::Failures) if self.mouth.is_silent() && self.can_transfer => {
                Step::Transfer(Handover { to: Destination::Fallback, announcement: None })
            }
            Some(reason) if self.mouth.is_silent() => Step::HangUp(reason),
            Some(_) => Step::Stay,
            None => match self.departure(cx.out) {
                Some(to) => Step::Transfer(to),
                None => Step::Stay,
            },
        }
    }

    /// Whether nobody speaks and nothing is in the works.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.caller, Caller::Quiet) && self.turn.is_none() && self.mouth.is_silent()
    }

    /// A rule that does not hold. Held back is only what is going to be released or dropped.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        let is_quiet = matches!(self.caller, Caller::Quiet);
        let has_held = self.mouth.queue.iter().any(|speech| speech.is_held);
        if is_quiet && self.suspended.is_some() {
            return Some("something is suspended while the caller is quiet");
        }
        if self.turn.as_ref().is_some_and(|turn| turn.is_speculative)
            && !matches!(self.caller, Caller::Speaking(_))
        {
            return Some("a turn is speculative though the end of the utterance is known");
        }
        if has_held && !self.is_turn_held() && self.draft.is_none() {
            return Some("something is held back for nothing");
        }
        None
    }

    /// Whether a clip may be played yet.
    pub(super) fn needs(&self, clip: ClipId) -> bool {
        let kept = self.interrupted.iter().flat_map(|interrupted| &interrupted.rest);
        self.mouth.needs(clip) || kept.into_iter().any(|piece| piece.clip == clip)
    }

    /// Says the last words; the call ends when they have been heard.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>, reason: EndReason) {
        self.closing = Some(reason);
        self.forget_suspended();
        self.cancel_turn(cx.out, CancelReason::CallEnded);
        self.mouth.queue.retain(|speech| speech.kind == PlaybackKind::Apology);
        if !(reason == EndReason::Failures && self.can_transfer) {
            let goodbye = cx.config.phrases.goodbye.clone();
            self.say(cx, PlaybackKind::Goodbye, None, goodbye);
        }
    }

    /// The call is over: stops what is in the works.
    pub(super) fn abandon(&mut self, out: &mut Outbox, reason: CancelReason) {
        self.forget_suspended();
        self.cancel_turn(out, reason);
        self.settle_interrupted(out);
        self.stay(out);
        self.leave_hold(out);
        self.close_message(out);
        self.mouth.queue.clear();
        self.settle_says(out, true);
    }
}
