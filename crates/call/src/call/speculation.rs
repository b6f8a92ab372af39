//! Turns that begin when an utterance is only likely to be over. Nothing of them is told or heard before it is; if the
//! caller goes on, they are dropped, and his words are in the next one.

use std::time::{Duration, Instant};

use super::{
    Outbox,
    hearing::{Caller, Hearing, Pause},
    talk::{Carry, Cx, Talk},
};
use crate::{Command, Completeness, Config, Notice, SpeculationOutcome, TurnId, turn::Beginning};

/// So often a turn is begun early in one utterance.
pub(crate) const ATTEMPTS: u32 = 2;

/// Whoever has paused and gone on once does so again: the next pause must be this long.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Whether another turn may be begun early after `wasted` that were dropped and `turns` that were not: one may always be
/// dropped, and one more for every two turns, so that a call of many turns makes at most half as many again.
pub(crate) fn affords(wasted: u32, turns: u32) -> bool {
    2 * wasted < turns + 2
}

impl SpeculationOutcome {
    /// How many turns were worked on for nothing.
    pub(crate) fn waste(self) -> u32 {
        match self {
            Self::CallerWentOn | Self::Contradicted | Self::Failed => 1,
            // Without it, it would have been asked for as well.
            Self::NothingSaid | Self::CallEnded | Self::Kept => 0,
        }
    }
}

impl Talk {
    /// When a turn is to be begun early, if one is to be.
    pub(super) fn speculation_due(
        &self,
        config: &Config,
        hearing: &Hearing,
        pause: &Pause,
    ) -> Option<Instant> {
        let may = config.speculation
            && self.closing.is_none()
            && self.suspended.is_none()
            && self.turn.is_none()
            && self.taking.is_none()
            && self.turns < config.max_turns
            && hearing.attempts < ATTEMPTS
            && affords(self.wasted, self.turns);
        let wait = match hearing.completeness(config) {
            // It is not likely yet; the long silence leaves time enough.
            Completeness::Hesitant => config.endpoint.silence,
            Completeness::Finished | Completeness::Unclear if hearing.attempts > 0 => AGAIN_AFTER,
            Completeness::Finished | Completeness::Unclear => Duration::ZERO,
        };
        may.then(|| pause.silent_since + wait)
    }

    pub(super) fn speculate(&mut self, cx: &mut Cx<'_>) {
        let Caller::Speaking(hearing) = &mut self.caller else { return };
        let Some(pause) = &hearing.pause else { return };
        let (utterance, silent_since) = (pause.utterance, pause.silent_since);
        hearing.attempts += 1;
        self.begin_turn(cx, Beginning::LikelyEndpoint { silent_since }, Some(utterance));
    }

    /// The utterance is over: what was held back of the turn is told and said.
    pub(super) fn keep_speculation(&mut self, cx: &mut Cx<'_>) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_speculative) else { return };
        turn.keep(cx.now);
        self.turns += 1;
        self.release(cx);
    }

    /// Tells and says what was held back of a turn that is kept.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let id = turn.id;
        let held = std::mem::take(&mut turn.held_clauses);
        let (transcript, said, is_written) = (turn.transcript.clone(), turn.said.clone(), !turn.is_in_work);
        cx.out.report(Notice::SpeculationSettled { turn: id, outcome: SpeculationOutcome::Kept });
        if let Some(text) = transcript {
            cx.out.report(Notice::Transcript { turn: id, text });
            self.settle_interrupted(cx.out);
        }
        if !said.is_empty() {
            cx.out.report(Notice::ReplyDelta { turn: id, text: said });
        }
        let is_suspended = self.suspended.is_some();
        if let Some(speech) = self.reply_mut(id) {
            speech.is_held = is_suspended;
        }
        for text in held {
            self.say_clause(cx, id, text);
        }
        if is_written {
            self.written(cx, id);
        }
    }

    pub(super) fn caller_went_on(&mut self, cx: &mut Cx<'_>) {
        self.end_speculation(cx.out, SpeculationOutcome::CallerWentOn);
    }

    /// Whether this turn is one that was begun early.
    pub(super) fn is_speculation(&self, id: TurnId) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.id == id && turn.is_speculative)
    }

    /// It could not be answered: there is another one at the end of the utterance, and none before.
    pub(super) fn speculation_failed(&mut self, cx: &mut Cx<'_>) {
        if let Caller::Speaking(hearing) = &mut self.caller {
            hearing.attempts = ATTEMPTS;
        }
        self.end_speculation(cx.out, SpeculationOutcome::Failed);
    }

    /// Drops a turn that was begun early. The audio of the utterance is still with the line.
    pub(super) fn end_speculation(&mut self, out: &mut Outbox, outcome: SpeculationOutcome) {
        let Some(mut turn) = self.turn.take_if(|turn| turn.is_speculative) else { return };
        if turn.is_in_work && outcome != SpeculationOutcome::Failed {
            out.push(Command::CancelTurn { turn: turn.id });
        }
        out.report(Notice::SpeculationSettled { turn: turn.id, outcome });
        self.mouth.queue.retain(|speech| speech.turn != Some(turn.id));
        // A draft holds nothing of its own that was said.
        if turn.utterances.pop().is_some() {
            self.carry = Carry { utterances: turn.utterances, text: turn.earlier_text };
        }
        self.wasted += outcome.waste();
    }
}
