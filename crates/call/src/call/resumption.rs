//! A call whose process has died: what another one has to know of it, and how it goes on.

use std::time::{Duration, Instant};

use super::{
    Call, Life, Outbox,
    talk::{Cx, Talk},
};
use crate::{Config, EndReason, Message, history::History};

/// What is known of a conversation that another process has conducted until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What was said, as [`Call::memory`] gave it.
    pub history: Vec<Message>,
    /// Turns that were started.
    pub turns: u32,
    /// How long the call has lasted.
    pub lasted: Duration,
    /// Ids that may have been given out: those that the call gives out begin after them.
    pub last_id: u32,
}

impl Call {
    /// Goes on with a conversation that broke off in the middle: apologises, once, and listens.
    pub fn take_back(now: Instant, config: Config, kept: Kept) -> Self {
        let Kept { history, turns, lasted, last_id } = kept;
        let mut out = Outbox::starting_after(last_id);
        let mut cx = Cx { now, config: &config, out: &mut out };
        let talk = Box::new(Talk::taken_back(&mut cx, History::of(history), turns, lasted));
        Self::going_on(config, Life::Active(talk), out)
    }

    /// Goes on with a call that was handed over: says nothing unless nobody takes it.
    pub fn hand_over_again(now: Instant, config: Config, last_id: u32) -> Self {
        let deadline = now + config.max_call;
        let life = Life::Ending { reason: EndReason::Transferred, deadline, kept: None };
        Self::going_on(config, life, Outbox::starting_after(last_id))
    }

    fn going_on(config: Config, life: Life, out: Outbox) -> Self {
        let mut call = Self { config, life, out, reported: None, history: Vec::new() };
        call.settle();
        call
    }

    /// The conversation as a turn that began now would be told it: what an interruption has cut off, as far as it was
    /// heard, belongs to it.
    pub fn memory(&self) -> Vec<Message> {
        match &self.life {
            Life::Active(talk) => talk.memory(),
            Life::Ringing { .. } | Life::Screening(_) | Life::Ending { .. } | Life::Ended { .. } => {
                self.history.clone()
            }
        }
    }

    /// What the assistant is told beyond its prompt, in order.
    pub fn instructions(&self) -> &[String] {
        &self.config.instructions
    }
}

impl Outbox {
    fn starting_after(last: u32) -> Self {
        Self { last_turn: last, last_clip: last, last_playback: last, last_say: last, ..Self::default() }
    }
}

impl Talk {
    fn taken_back(cx: &mut Cx<'_>, history: History, turns: u32, lasted: Duration) -> Self {
        let mut talk = Self::new(cx);
        talk.history = history;
        talk.turns = turns;
        talk.limit = cx.now + cx.config.max_call.saturating_sub(lasted);
        let apology = cx.config.phrases.apology.clone();
        talk.resume(cx, apology);
        talk
    }

    /// Everything that was said, and of what an interruption has cut off what was heard.
    pub(super) fn memory(&self) -> Vec<Message> {
        let mut history = self.history.clone();
        if let Some(interrupted) = &self.interrupted {
            history.push_turn(&interrupted.user, interrupted.tools.uses(), &interrupted.heard);
        }
        history.messages()
    }
}
