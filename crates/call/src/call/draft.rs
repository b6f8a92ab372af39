//! An answer to the words of the line's own recogniser, begun before the audio can even be fetched. The words of our
//! worker confirm it: then it is the answer, and no other is made. Otherwise it is dropped unheard.

use super::{
    Outbox,
    hearing::Hearing,
    speculation::affords,
    talk::{Cx, Talk},
};
use crate::{Command, Notice, Progress, SpeculationOutcome, TurnId, mouth::joined, turn::Beginning};

impl Hearing {
    /// Notes the words that the line's own recogniser will not change any more.
    pub(super) fn told(&mut self, text: &str, stable: usize) {
        let is_final = stable > 0 && stable == text.chars().count();
        self.line_words = is_final.then(|| text.to_owned());
    }
}

impl Talk {
    /// The line tells the end of speech, and what was said.
    pub(super) fn begin_draft(&mut self, cx: &mut Cx<'_>, words: &str) {
        let may = cx.config.speculation
            && self.closing.is_none()
            && self.suspended.is_none()
            && self.turn.is_none()
            && self.draft.is_none()
            && self.taking.is_none()
            // What was said before has to be heard first.
            && self.carry.utterances.is_empty()
            && self.turns < cx.config.max_turns
            && affords(self.wasted, self.turns)
            && self.dismissal(cx.config, words).is_none();
        if !may {
            return;
        }
        let text = joined([self.carry.text.as_str(), words].into_iter());
        let beginning = Beginning::LikelyEndpoint { silent_since: cx.now };
        self.draft = Some(self.request_turn(cx, beginning, Vec::new(), text));
    }

    /// Words that are answered already, if the caller said them.
    pub(super) fn answered_text(&self) -> Option<String> {
        self.draft.as_ref().map(|draft| draft.earlier_text.clone())
    }

    pub(super) fn is_draft(&self, id: TurnId) -> bool {
        self.draft.as_ref().is_some_and(|draft| draft.id == id)
    }

    /// The work on the draft went on.
    pub(super) fn draft_progressed(&mut self, cx: &mut Cx<'_>, id: TurnId, progress: Progress) {
        // Its words are known; it is those of the recording that count.
        if matches!(progress, Progress::Transcript(_) | Progress::NothingSaid) {
            return;
        }
        self.as_turn(|talk| talk.turn_progressed(cx, id, progress));
    }

    /// The draft will not be answered.
    pub(super) fn draft_failed(&mut self, cx: &mut Cx<'_>) {
        if let Some(draft) = &mut self.draft {
            draft.is_in_work = false;
        }
        self.end_draft(cx.out, SpeculationOutcome::Failed);
    }

    /// What the caller said is known: the draft is the answer to it, or it is not.
    pub(super) fn settle_draft(&mut self, cx: &mut Cx<'_>, text: &str) -> bool {
        let Some(draft) = &self.draft else { return false };
        if !voice_speech::are_same_words(&draft.earlier_text, text, &cx.config.language) {
            self.end_draft(cx.out, SpeculationOutcome::Contradicted);
            return false;
        }
        if let (Some(turn), Some(mut draft)) = (self.turn.take(), self.draft.take()) {
            cx.out.push(Command::CancelTurn { turn: turn.id });
            draft.confirm(cx.now, turn);
            self.turn = Some(draft);
            self.release(cx);
        }
        true
    }

    /// Drops the draft.
    pub(super) fn end_draft(&mut self, out: &mut Outbox, outcome: SpeculationOutcome) {
        let Some(draft) = self.draft.take() else { return };
        if draft.is_in_work {
            out.push(Command::CancelTurn { turn: draft.id });
        }
        out.report(Notice::SpeculationSettled { turn: draft.id, outcome });
        self.mouth.queue.retain(|speech| speech.turn != Some(draft.id));
        self.wasted += outcome.waste();
    }

    /// Has the draft stand for a moment where the open turn does.
    fn as_turn(&mut self, act: impl FnOnce(&mut Self)) {
        std::mem::swap(&mut self.turn, &mut self.draft);
        act(self);
        std::mem::swap(&mut self.turn, &mut self.draft);
    }
}
