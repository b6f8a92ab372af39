//! One turn: what was said → words → reply. Stateless; whoever asks brings the history.

pub(crate) mod listen;
mod reply;

use std::{future::Future, sync::Arc};

use tokio::time::Instant;
use voice_jobs::{Progress, ToolCall};
use voice_transcode::Transcoder;

use crate::{
    error::TurnError,
    ports::{Conversation, Message, Recordings, Reply, Speaker},
    recogniser::Recogniser,
    request::{TurnRequest, push},
};

/// What a turn needs.
#[derive(Clone)]
pub(crate) struct Ports {
    /// Where callers' words are.
    pub recordings: Arc<dyn Recordings>,
    /// What makes samples of them.
    pub transcoder: Transcoder,
    /// Speech to text.
    pub recogniser: Recogniser,
    /// The language model.
    pub reply: Arc<dyn Reply>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// What came of a turn. All is empty when nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// All that the caller said.
    pub transcript: String,
    /// The reply.
    pub reply: String,
    /// What the language model asks for beside it.
    pub tool_calls: Vec<ToolCall>,
}

/// Where a turn reports how far it is.
pub(crate) trait Listener: Send + Sync {
    /// Something happened.
    fn tell(&self, progress: Progress) -> impl Future<Output = ()> + Send;
}

/// Runs a turn to its end. `said` gives what was said in it, whichever way that is heard. The request is boxed, since
/// each hand that it goes through would keep room for it.
///
/// # Errors
/// When it cannot be answered before `deadline`.
pub(crate) async fn run(
    ports: &Ports,
    request: Box<TurnRequest>,
    said: impl Future<Output = Result<Vec<String>, TurnError>> + Send,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let late = || TurnError::fatal("TURN_DEADLINE", "the time for the turn is up");
    tokio::time::timeout_at(deadline, answer(ports, request, said, listener))
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// Whether the model has the next word: the caller has spoken, or what it wanted to know is known.
pub(crate) fn is_to_be_answered(history: &[Message]) -> bool {
    history.last().is_some_and(|last| last.speaker == Speaker::User || !last.tools.is_empty())
}

async fn answer(
    ports: &Ports,
    request: Box<TurnRequest>,
    said: impl Future<Output = Result<Vec<String>, TurnError>> + Send,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let said = said.await?;
    let TurnRequest { earlier_text, mut history, prompt, tools, answered_text, language, .. } = *request;
    let mut words = vec![earlier_text];
    words.extend(said);
    words.retain(|text| !text.is_empty());
    let transcript = words.join(" ");
    listener.tell(Progress::Transcript { text: transcript.clone() }).await;
    let language = language.unwrap_or_default();
    if !answered_text.is_empty() && voice_speech::are_same_words(&answered_text, &transcript, &language) {
        return Ok(Outcome { transcript, ..Outcome::default() });
    }
    if !transcript.is_empty() {
        push(&mut history, Message::said(Speaker::User, &transcript));
    }
    if !is_to_be_answered(&history) {
        return Ok(Outcome::default());
    }
    let conversation = Conversation { prompt, messages: history, tools };
    // Boxed: turns by the thousand wait for their words, and need no room for the reply yet.
    let reply::Answer { reply, tool_calls } = Box::pin(reply::write(ports, &conversation, listener)).await?;
    Ok(Outcome { transcript, reply, tool_calls })
}

#[cfg(test)]
mod tests;
