//! One turn: what was said → words → reply. Stateless; whoever asks brings the history.

pub(crate) mod listen;
mod reply;

use std::{future::Future, sync::Arc};

use tokio::time::Instant;
use voice_jobs::Progress;
use voice_transcode::Transcoder;

use crate::{
    error::TurnError,
    ports::{Recordings, Reply, Speaker},
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

/// What came of a turn. Both are empty when nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// All that the caller said.
    pub transcript: String,
    /// The reply.
    pub reply: String,
}

/// Where a turn reports how far it is.
pub(crate) trait Listener: Send + Sync {
    /// Something happened.
    fn tell(&self, progress: Progress) -> impl Future<Output = ()> + Send;
}

/// Runs a turn to its end. `said` gives what was said in it, whichever way that is heard.
///
/// # Errors
/// When it cannot be answered before `deadline`.
pub(crate) async fn run(
    ports: &Ports,
    request: TurnRequest,
    said: impl Future<Output = Result<Vec<String>, TurnError>> + Send,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let late = || TurnError::fatal("TURN_DEADLINE", "the time for the turn is up");
    tokio::time::timeout_at(deadline, answer(ports, request, said, listener))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn answer(
    ports: &Ports,
    request: TurnRequest,
    said: impl Future<Output = Result<Vec<String>, TurnError>> + Send,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let TurnRequest { earlier_text, mut history, prompt, answered_text, language, .. } = request;
    let mut words = vec![earlier_text];
    words.extend(said.await?);
    words.retain(|text| !text.is_empty());
    let transcript = words.join(" ");
    listener.tell(Progress::Transcript { text: transcript.clone() }).await;
    let language = language.unwrap_or_default();
    if !answered_text.is_empty() && voice_speech::are_same_words(&answered_text, &transcript, &language) {
        return Ok(Outcome { transcript, reply: String::new() });
    }
    if !transcript.is_empty() {
        push(&mut history, Speaker::User, &transcript);
    }
    if history.last().is_none_or(|message| message.speaker != Speaker::User) {
        return Ok(Outcome::default());
    }
    let reply = reply::write(ports, &prompt, &history, listener).await?;
    Ok(Outcome { transcript, reply })
}

#[cfg(test)]
mod tests;
