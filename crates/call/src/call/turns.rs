//! From the end of an utterance to the reply.

use std::time::Duration;

use super::{
    Outbox,
    talk::{Caller, Carry, Cx, Talk},
};
use crate::{
    Command, EndReason, Notice, PlaybackKind, Progress, TurnId, TurnRequest, UtteranceId, mouth::joined,
    notice::CancelReason, turn::Turn,
};

/// An utterance whose audio is not closed by then is lost; the line keeps its address, so this is rare.
const CLOSING_WAIT: Duration = Duration::from_secs(8);

/// After this many failed turns in a row the call is handed over or ended.
const FAILURES: u32 = 2;

impl Talk {
    pub(super) fn speech_ended(&mut self, cx: &mut Cx<'_>) {
        if let Caller::Speaking { .. } = self.caller {
            self.caller = Caller::Closing { ended_at: cx.now, deadline: cx.now + CLOSING_WAIT };
        }
    }

    /// The caller has spoken too long.
    pub(super) fn utterance_too_long(&mut self, cx: &mut Cx<'_>) {
        cx.out.push(Command::EndUtterance);
        self.caller = Caller::Closing { ended_at: cx.now, deadline: cx.now + CLOSING_WAIT };
    }

    /// There was a noise, but nothing was said: whatever it broke off goes on.
    pub(super) fn speech_abandoned(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.caller, Caller::Quiet) {
            return;
        }
        self.caller = Caller::Quiet;
        self.quiet_since = cx.now;
        if self.carry.utterances.is_empty() && self.carry.text.is_empty() {
            self.resume_interrupted(cx);
        } else {
            self.start_turn(cx, None, Vec::new());
        }
    }

    pub(super) fn utterance_ended(&mut self, cx: &mut Cx<'_>, utterance: UtteranceId) {
        if self.closing.is_some() {
            return;
        }
        let ended_at = match self.caller {
            Caller::Closing { ended_at, .. } => Some(ended_at),
            Caller::Quiet | Caller::Speaking { .. } => None,
        };
        let was_unnoticed = matches!(self.caller, Caller::Quiet);
        self.caller = Caller::Quiet;
        self.quiet_since = cx.now;
        // Its beginning was not noticed, so what is going on was not stopped yet.
        if self.turn.is_some() || was_unnoticed && !self.mouth.is_silent() {
            let cut = self.mouth.cut(cx.now);
            self.interrupt(cx, cut);
        }
        self.start_turn(cx, ended_at, vec![utterance]);
    }

    fn start_turn(
        &mut self,
        cx: &mut Cx<'_>,
        speech_ended: Option<std::time::Instant>,
        new: Vec<UtteranceId>,
    ) {
        if self.turns >= cx.config.max_turns {
            self.close(cx, EndReason::TurnLimit);
            return;
        }
        self.turns += 1;
        cx.out.last_turn += 1;
        let id = TurnId(cx.out.last_turn);
        let Carry { mut utterances, text } = std::mem::take(&mut self.carry);
        utterances.extend(new);
        let mut history = self.history.clone();
        if let Some(interrupted) = &self.interrupted {
            history.push_exchange(&interrupted.user, &interrupted.heard);
        }
        cx.out.push(Command::StartTurn(TurnRequest {
            turn: id,
            utterances: utterances.clone(),
            earlier_text: text.clone(),
            history: history.messages(),
            instructions: cx.config.instructions.clone(),
            budget: cx.config.turn_budget,
            is_speculative: false,
        }));
        let mut turn = Turn::new(id, cx.now, speech_ended, utterances, text);
        turn.filler_after = if self.last_turn_had_filler && self.failures == 0 {
            // Two fillers in a row are a mannerism; a wait this long is a fault and is bridged all the same.
            cx.config.filler_after.mul_f32(1.6)
        } else {
            self.pace
                .overdue_after()
                .map_or(cx.config.filler_after, |overdue| overdue.min(cx.config.filler_after))
        };
        self.turn = Some(turn);
    }

    pub(super) fn turn_progressed(&mut self, cx: &mut Cx<'_>, id: TurnId, progress: Progress) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.id == id && turn.is_in_work) else { return };
        match progress {
            Progress::Started if turn.marked("queue").is_some() => self.begun_again(cx, id),
            Progress::Started => turn.mark("queue", cx.now),
            Progress::Fetched => turn.mark("fetch", cx.now),
            Progress::Transcript(text) => {
                turn.mark("stt", cx.now);
                turn.transcript = Some(text.clone());
                cx.out.report(Notice::Transcript { turn: id, text });
                self.settle_interrupted();
            }
            Progress::ReplyDelta(text) => {
                turn.mark("first_token", cx.now);
                turn.said.push_str(&text);
                let clauses = turn.splitter.as_mut().map(|splitter| splitter.push(&text)).unwrap_or_default();
                cx.out.report(Notice::ReplyDelta { turn: id, text });
                self.say_clauses(cx, id, clauses);
            }
            Progress::ReplyFinished if turn.said.trim().is_empty() => {
                self.turn_failed(cx, id, "REPLY_EMPTY".to_owned());
            }
            Progress::ReplyFinished => {
                turn.is_in_work = false;
                turn.last_progress = cx.now;
                let clauses =
                    turn.splitter.take().map(voice_speech::ClauseSplitter::finish).unwrap_or_default();
                self.say_clauses(cx, id, clauses);
                self.complete_reply(cx, id);
            }
            Progress::NothingSaid => {
                turn.is_in_work = false;
                self.turn = None;
                self.quiet_since = cx.now;
                self.mouth.queue.retain(|speech| speech.turn != Some(id));
                cx.out.report(Notice::TurnCancelled { turn: id, reason: CancelReason::NothingSaid });
                self.resume_interrupted(cx);
            }
        }
    }

    fn say_clauses(&mut self, cx: &mut Cx<'_>, id: TurnId, clauses: Vec<voice_speech::Clause>) {
        for clause in clauses {
            if let Some(turn) = &mut self.turn {
                turn.mark("first_clause", cx.now);
            }
            self.say_clause(cx, id, clause.text);
        }
    }

    /// No more clauses will come: the turn ends when they have been said.
    fn complete_reply(&mut self, cx: &mut Cx<'_>, id: TurnId) {
        if let Some(speech) = self.reply_mut(id) {
            speech.is_complete = true;
        } else if !self.is_playing_reply(id) {
            self.close_answered_turn(cx);
        } else {
            self.mouth.queue.push_front(crate::mouth::Speech {
                kind: PlaybackKind::Reply,
                turn: Some(id),
                say: None,
                pieces: std::collections::VecDeque::new(),
                is_complete: true,
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
        self.history.push_exchange(&turn.transcript.unwrap_or_default(), &turn.heard);
        self.failures = 0;
    }

    pub(super) fn turn_failed(&mut self, cx: &mut Cx<'_>, id: TurnId, reason: String) {
        let Some(mut turn) = self.turn.take_if(|turn| turn.id == id) else { return };
        turn.is_in_work = false;
        self.last_turn_had_filler = turn.fillers > 0;
        self.settle_interrupted();
        // What is ready of the reply is still said; what is not would only lengthen the wait.
        if let Some(speech) = self.reply_mut(id) {
            speech.is_complete = true;
        }
        cx.out.report(Notice::TurnFailed { turn: id, reason });
        self.history.push_exchange(&turn.transcript.unwrap_or_default(), &turn.heard);
        self.failures += 1;
        let apology = cx.config.phrases.apology.clone();
        self.say(cx, PlaybackKind::Apology, Some(id), apology);
        if self.failures >= FAILURES {
            self.close(cx, EndReason::Failures);
        }
    }

    /// Gives the open turn up. What the caller said in it joins his next words.
    pub(super) fn cancel_turn(&mut self, out: &mut Outbox, reason: CancelReason) {
        let Some(turn) = self.turn.take() else { return };
        if turn.is_in_work {
            out.push(Command::CancelTurn { turn: turn.id });
        }
        out.report(Notice::TurnCancelled { turn: turn.id, reason });
        self.carry = if let Some(text) = turn.transcript {
            // The transcript is of the whole message, earlier words included.
            Carry { utterances: Vec::new(), text }
        } else {
            let text = joined([turn.earlier_text.as_str(), self.carry.text.as_str()].into_iter());
            Carry { utterances: turn.utterances, text }
        };
    }
}
