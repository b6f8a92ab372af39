//! What the caller says, and the turns that answer it.

use futures::StreamExt as _;
use voice_call::{TurnId, TurnRequest, UtteranceId};

use super::{Done, Session};
use crate::ports::{LiveAudio, Turn, Utterance};

/// Utterances that a turn may still be about. What older ones said is known.
const KEPT: u32 = 32;

impl Session {
    /// Keeps what the caller said for the turns that will be about it.
    pub(super) fn keep(&mut self, utterance: UtteranceId, said: Utterance) {
        self.utterances.retain(|old, _| old.0 + KEPT > utterance.0);
        self.utterances.insert(utterance, said);
    }

    /// Listens to an utterance that has begun.
    pub(super) fn listen(&mut self, utterance: UtteranceId, audio: LiveAudio) {
        let hearing = self.tools.ears.listen(audio, &self.assistant.language);
        let mut partials = hearing.partials;
        let report = self.report.clone();
        self.work.spawn(async move {
            while let Some(partial) = partials.next().await {
                if report.send(Done::Partial(utterance, partial)).await.is_err() {
                    return;
                }
            }
        });
        self.open = Some(utterance);
        self.keep(utterance, Utterance::Heard(hearing.words));
    }

    /// Asks for the words so far.
    pub(super) fn transcribe(&mut self, utterance: UtteranceId) {
        let Some(Utterance::Heard(words)) = self.utterances.get(&utterance) else { return };
        let (words, report) = (words.so_far(), self.report.clone());
        self.work.spawn(async move {
            match words.await {
                Ok(text) => {
                    let _ = report.send(Done::Transcribed(utterance, text)).await;
                }
                // The end of the utterance does not depend on it.
                Err(reason) => tracing::debug!(reason, "the words so far are not known"),
            }
        });
    }

    pub(super) fn start_turn(&mut self, request: TurnRequest) {
        let TurnRequest {
            turn,
            round,
            may_use_tools,
            utterances,
            earlier_text,
            history,
            instructions,
            budget,
            is_speculative,
            answered_text,
            is_repeated,
        } = request;
        let prompt: Vec<_> = std::iter::once(self.assistant.prompt.clone()).chain(instructions).collect();
        if round > 0 {
            // It has been counted.
        } else if !is_speculative {
            self.record.update(|status| status.turns += 1);
        } else if !utterances.is_empty() {
            self.early.insert(turn);
        }
        let said = utterances.iter().filter_map(|utterance| self.utterances.get(utterance).cloned());
        let mut events = self.tools.turns.start(Turn {
            call_id: self.record.call_id.clone(),
            turn,
            round,
            tools: if may_use_tools { self.declared() } else { Vec::new() },
            utterances: said.collect(),
            earlier_text,
            history,
            prompt: prompt.join("\n\n"),
            language: self.assistant.language.clone(),
            budget,
            answered_text,
            is_repeated,
        });
        let report = self.report.clone();
        let task = self.work.spawn(async move {
            while let Some(event) = events.next().await {
                if report.send(Done::Turn(turn, event)).await.is_err() {
                    return;
                }
            }
        });
        self.turns.insert(turn, (round, task));
    }

    pub(super) fn cancel_turn(&mut self, turn: TurnId) {
        let mut last_round = 0;
        if let Some((round, task)) = self.turns.remove(&turn) {
            task.abort();
            last_round = round;
        }
        for (_, task) in self.tool_calls.extract_if(|(of, _), _| *of == turn) {
            task.abort();
        }
        self.farewells.spawn(self.tools.turns.cancel(&self.record.call_id, turn, last_round));
    }
}
