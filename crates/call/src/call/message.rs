//! A message that the caller leaves: what he says is kept, and answered when he has said all of it.

use std::time::{Duration, Instant};

use super::{
    Outbox,
    hearing::Caller,
    talk::{Cx, Talk},
};
use crate::{
    Command, Notice, ToolOutcome, TurnId, UtteranceId,
    tool::{ToolCall, failed},
    turn::Beginning,
};

/// He has this long to begin, and has finished after so much silence.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
const FINISHED_AFTER: Duration = Duration::from_secs(3);

/// After this, the pause that he makes is the end.
const LONGEST: Duration = Duration::from_mins(2);

/// Pieces of a message.
const MOST_PIECES: usize = 24;

/// What the model knows of it, before it is told what was said.
const KEPT: &str =
    "{\"status\":\"recorded\",\"note\":\"What the caller says next is his message. It is kept.\"}";

/// A message that is being left.
#[derive(Debug)]
pub(crate) struct Taking {
    turn: TurnId,
    call: ToolCall,
    utterances: Vec<UtteranceId>,
    began: Instant,
    /// When a piece of it was over last.
    last: Instant,
}

impl Taking {
    pub(super) fn new(turn: TurnId, call: ToolCall, now: Instant) -> Self {
        Self { turn, call, utterances: Vec::new(), began: now, last: now }
    }

    fn is_long(&self, now: Instant) -> bool {
        now >= self.began + LONGEST || self.utterances.len() >= MOST_PIECES
    }
}

impl Talk {
    /// Notes a piece of the message, if one is being left.
    pub(super) fn take_down(&mut self, cx: &mut Cx<'_>, utterance: UtteranceId) -> bool {
        let Some(taking) = &mut self.taking else { return false };
        taking.utterances.push(utterance);
        taking.last = cx.now;
        if taking.is_long(cx.now) {
            self.finish_message(cx);
        }
        true
    }

    /// When the message is over, if the caller says nothing more.
    pub(super) fn message_deadline(&self) -> Option<Instant> {
        let taking = self.taking.as_ref().filter(|_| matches!(self.caller, Caller::Quiet))?;
        let wait = if taking.utterances.is_empty() { BEGIN_WITHIN } else { FINISHED_AFTER };
        // What the outside wants said holds it up.
        let idle_since = self.mouth.idle_since()?;
        Some(taking.last.max(self.quiet_since).max(idle_since) + wait)
    }

    /// The caller has said all of it.
    pub(super) fn finish_message(&mut self, cx: &mut Cx<'_>) {
        self.quiet_since = cx.now;
        let Some((call, utterances)) = self.close_message(cx.out) else { return };
        if utterances.is_empty() {
            self.remember(call, failed("MESSAGE_EMPTY", ""));
            return;
        }
        self.remember(call, KEPT.to_owned());
        self.carry.utterances.extend(utterances);
        self.begin_turn(cx, Beginning::Closed { speech_ended: None }, None);
    }

    /// Keeps what there is of it.
    pub(super) fn close_message(&mut self, out: &mut Outbox) -> Option<(ToolCall, Vec<UtteranceId>)> {
        let Taking { turn, call, utterances, .. } = self.taking.take()?;
        let (outcome, reason) = if utterances.is_empty() {
            (ToolOutcome::Failed, "MESSAGE_EMPTY")
        } else {
            (ToolOutcome::Done, "")
        };
        out.push(Command::KeepMessage { turn, utterances: utterances.clone() });
        let (tool_call, name) = (call.id.clone(), call.name.clone());
        out.report(Notice::ToolEnded { turn, tool_call, name, outcome, reason });
        Some((call, utterances))
    }
}
