//! From the end of an utterance to the reply.

use super::{
    Outbox,
    talk::{Carry, Cx, Talk},
};
use crate::{
    Command, DismissReason, EndReason, Notice, PlaybackKind, Progress, Recogniser, SpeculationOutcome,
    TurnId, TurnRequest, UtteranceId,
    mouth::{Speech, joined},
    notice::CancelReason,
    turn::{Beginning, Turn},
};

/// After this many failed turns in a row the call is handed over or ended.
const FAILURES: u32 = 2;

impl Talk {
    /// Begins a turn on what was said before, if it is still unanswered, and on the newest utterance.
    pub(super) fn begin_turn(&mut self, cx: &mut Cx<'_>, beginning: Beginning, newest: Option<UtteranceId>) {
        if self.turns >= cx.config.max_turns {
            self.close(cx, EndReason::TurnLimit);
            return;
        }
        self.turns += u32::from(!matches!(beginning, Beginning::LikelyEndpoint { .. }));
        let Carry { mut utterances, text } = std::mem::take(&mut self.carry);
        utterances.extend(newest);
        self.turn = Some(self.request_turn(cx, beginning, utterances, text));
    }

    pub(super) fn request_turn(
        &self,
        cx: &mut Cx<'_>,
        beginning: Beginning,
        utterances: Vec<UtteranceId>,
        text: String,
    ) -> Turn {
        cx.out.last_turn += 1;
        let id = TurnId(cx.out.last_turn);
        cx.out.push(Command::StartTurn(TurnRequest {
            turn: id,
            utterances: utterances.clone(),
            earlier_text: text.clone(),
            history: self.memory(),
            round: 0,
            may_use_tools: true,
            instructions: cx.config.instructions.clone(),
            budget: cx.config.turn_budget,
            is_speculative: matches!(beginning, Beginning::LikelyEndpoint { .. }),
            answered_text: self.answered_text(),
            is_repeated: self.failures > 0,
        }));
        let mut turn = Turn::new(id, cx.now, beginning, utterances, text);
        turn.filler_after = if self.last_turn_had_filler {
            // Two fillers in a row are a mannerism, and no comfort after an apology; a wait this long is bridged all the same.
            cx.config.filler_after.mul_f32(1.6)
        } else {
            self.pace
                .overdue_after()
                .map_or(cx.config.filler_after, |overdue| overdue.min(cx.config.filler_after))
        };
        turn
    }

    pub(super) fn turn_progressed(&mut self, cx: &mut Cx<'_>, id: TurnId, progress: Progress) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.id == id && turn.is_in_work) else { return };
        match progress {
            Progress::Started if turn.is_begun => self.begun_again(cx, id),
            Progress::Started => {
                turn.is_begun = true;
                turn.mark("queue", cx.now);
            }
            Progress::Fetched => turn.mark("fetch", cx.now),
            Progress::Transcript(text) => {
                turn.mark("stt", cx.now);
                turn.transcript = Some(text.clone());
                self.turn_transcribed(cx, id, text);
            }
            Progress::ReplyDelta(text) => {
                turn.mark("first_token", cx.now);
                turn.say_on(&text);
                let clauses = turn.splitter.as_mut().map(|splitter| splitter.push(&text)).unwrap_or_default();
                if !turn.is_speculative {
                    cx.out.report(Notice::ReplyDelta { turn: id, text });
                }
                self.say_clauses(cx, id, clauses);
            }
            Progress::ToolsAsked(asked) => turn.tools.ask(asked),
            Progress::ReplyFinished if turn.said.trim().is_empty() && turn.tools.asked.is_empty() => {
                self.turn_failed(cx, id, "REPLY_EMPTY".to_owned());
            }
            Progress::ReplyFinished => {
                turn.is_in_work = false;
                turn.last_progress = cx.now;
                let clauses =
                    turn.splitter.take().map(voice_speech::ClauseSplitter::finish).unwrap_or_default();
                self.say_clauses(cx, id, clauses);
                if !self.is_speculation(id) {
                    self.written(cx, id);
                }
            }
            Progress::NothingSaid => {
                turn.is_in_work = false;
                if turn.is_speculative {
                    self.heard_early(cx, "");
                    self.end_speculation(cx.out, SpeculationOutcome::NothingSaid);
                } else {
                    self.nothing_to_answer(cx, id);
                }
            }
        }
    }

    /// The words of a turn are known. Over a reply they may be a mere "mhm".
    fn turn_transcribed(&mut self, cx: &mut Cx<'_>, id: TurnId, text: String) {
        let Some(turn) = &self.turn else { return };
        if turn.is_speculative {
            self.heard_early(cx, &text);
            let stable = text.chars().count();
            cx.out.report(Notice::PartialTranscript { text, stable, source: Recogniser::Worker });
            return;
        }
        let is_alone = turn.utterances.len() == 1 && turn.earlier_text.is_empty();
        let is_backchannel = self.dismissal(cx.config, &text) == Some(DismissReason::Backchannel);
        if self.interrupted.is_some() && is_alone && is_backchannel {
            cx.out.push(Command::CancelTurn { turn: id });
            cx.out.report(Notice::SpeechDismissed { reason: DismissReason::Backchannel, text });
            self.nothing_to_answer(cx, id);
            return;
        }
        if self.settle_draft(cx, &text) {
            return;
        }
        cx.out.report(Notice::Transcript { turn: id, text });
        self.settle_interrupted(cx.out);
    }

    /// Nothing in the turn wants an answer: what it broke off goes on.
    fn nothing_to_answer(&mut self, cx: &mut Cx<'_>, id: TurnId) {
        self.turn = None;
        self.end_draft(cx.out, SpeculationOutcome::NothingSaid);
        self.quiet_since = cx.now;
        self.mouth.queue.retain(|speech| speech.turn != Some(id));
        cx.out.report(Notice::TurnCancelled { turn: id, reason: CancelReason::NothingSaid });
        if self.suspended.is_none() {
            self.resume_interrupted(cx, None);
        }
    }

    fn say_clauses(&mut self, cx: &mut Cx<'_>, id: TurnId, clauses: Vec<voice_speech::Clause>) {
        for clause in clauses {
            let Some(turn) = &mut self.turn else { return };
            let is_first = turn.marked("first_clause").is_none();
            turn.mark("first_clause", cx.now);
            if turn.is_speculative && !is_first {
                turn.held_clauses.push(clause.text);
            } else {
                self.say_clause(cx, id, clause.text);
            }
        }
    }

    /// No more clauses will come: the turn ends when they have been said.
    pub(super) fn complete_reply(&mut self, cx: &mut Cx<'_>, id: TurnId) {
        if let Some(speech) = self.reply_mut(id) {
            speech.is_complete = true;
        } else if !self.is_playing_reply(id) {
            self.close_answered_turn(cx);
        } else {
            self.mouth.queue.push_front(Speech {
                kind: PlaybackKind::Reply,
                turn: Some(id),
                say: None,
                pieces: std::collections::VecDeque::new(),
                is_complete: true,
                is_held: false,
            });
        }
    }

    /// The worker died, and another one has begun the turn anew: it will write another reply. What nobody has heard
    /// of the first one is forgotten; a reply that is being heard cannot be taken back.
    fn begun_again(&mut self, cx: &mut Cx<'_>, id: TurnId) {
        let is_heard = self.is_playing_reply(id) || self.turn.as_ref().is_some_and(|turn| turn.has_sounded);
        if is_heard {
            cx.out.push(Command::CancelTurn { turn: id });
            self.turn_failed(cx, id, "WORKER_LOST".to_owned());
        } else if let Some(turn) = &mut self.turn {
            turn.forget_reply();
            self.mouth.queue.retain(|speech| speech.kind != PlaybackKind::Reply);
        }
    }

    fn is_playing_reply(&self, id: TurnId) -> bool {
        self.mouth
            .playing()
            .is_some_and(|playing| playing.kind == PlaybackKind::Reply && playing.turn == Some(id))
    }

    /// The whole reply has been heard.
    pub(super) fn close_answered_turn(&mut self, cx: &mut Cx<'_>) {
        let Some(turn) = self.turn.take() else { return };
        self.quiet_since = cx.now;
        self.last_turn_had_filler = turn.fillers > 0;
        self.history.push_turn(&turn.transcript.unwrap_or_default(), turn.tools.uses(), &turn.heard);
        self.failures = 0;
        let is_wordless = turn.said.trim().is_empty();
        self.act(cx, turn.id, turn.tools.acts, is_wordless);
    }

    pub(super) fn turn_failed(&mut self, cx: &mut Cx<'_>, id: TurnId, reason: String) {
        if self.is_speculation(id) {
            self.speculation_failed(cx);
            return;
        }
        if self.suspended.is_some() {
            self.failed_unheard(cx, id, reason);
            return;
        }
        let Some(mut turn) = self.turn.take_if(|turn| turn.id == id) else { return };
        self.end_draft(cx.out, SpeculationOutcome::Failed);
        turn.is_in_work = false;
        self.drop_tools(cx.out, &mut turn);
        self.last_turn_had_filler = turn.fillers > 0;
        self.settle_interrupted(cx.out);
        // What is ready of the reply is still said; what is not would only lengthen the wait.
        if let Some(speech) = self.reply_mut(id) {
            speech.is_complete = true;
        }
        cx.out.report(Notice::TurnFailed { turn: id, reason });
        self.history.push_turn(&turn.transcript.unwrap_or_default(), turn.tools.uses(), &turn.heard);
        self.failures += 1;
        let apology = cx.config.phrases.apology.clone();
        self.say(cx, PlaybackKind::Apology, Some(id), apology);
        if self.failures >= FAILURES {
            self.close(cx, EndReason::Failures);
        }
    }

    /// A turn fails while the caller speaks over it: he is told nothing. If he says nothing, what is ready of the reply
    /// goes on, or else the turn is tried again.
    fn failed_unheard(&mut self, cx: &mut Cx<'_>, id: TurnId, reason: String) {
        let Some(mut turn) = self.turn.take_if(|turn| turn.id == id) else { return };
        self.end_draft(cx.out, SpeculationOutcome::Failed);
        turn.is_in_work = false;
        self.drop_tools(cx.out, &mut turn);
        cx.out.report(Notice::TurnFailed { turn: id, reason });
        if turn.has_sounded {
            self.turn = Some(turn);
            if let Some(speech) = self.reply_mut(id) {
                speech.is_complete = true;
            }
        } else {
            self.mouth.queue.retain(|speech| speech.turn != Some(id));
            self.carry_over(turn);
        }
    }

    /// Gives the open turn up. What the caller said in it joins his next words.
    pub(super) fn cancel_turn(&mut self, out: &mut Outbox, reason: CancelReason) {
        let outcome = match reason {
            CancelReason::CallerWentOn => SpeculationOutcome::CallerWentOn,
            CancelReason::NothingSaid => SpeculationOutcome::NothingSaid,
            CancelReason::CallEnded | CancelReason::SaidOver => SpeculationOutcome::CallEnded,
        };
        self.end_draft(out, outcome);
        self.end_speculation(out, outcome);
        let Some(mut turn) = self.turn.take() else { return };
        if turn.is_busy() {
            out.push(Command::CancelTurn { turn: turn.id });
        }
        self.drop_tools(out, &mut turn);
        out.report(Notice::TurnCancelled { turn: turn.id, reason });
        self.carry_over(turn);
    }

    /// What the caller said in a turn that was not answered joins his next words.
    fn carry_over(&mut self, turn: Turn) {
        let tools = turn.tools.uses();
        if !tools.is_empty() {
            // What was done for it must not be done twice.
            self.history.push_turn(&turn.transcript.unwrap_or_default(), tools, &turn.heard);
            return;
        }
        self.carry = if let Some(text) = turn.transcript {
            // The transcript is of the whole message, earlier words included.
            Carry { utterances: Vec::new(), text }
        } else {
            let text = joined([turn.earlier_text.as_str(), self.carry.text.as_str()].into_iter());
            Carry { utterances: turn.utterances, text }
        };
    }
}
