//! One turn: what was said → words → reply. Stateless; whoever asks brings the history.

mod listen;
mod reply;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;
use voice_jobs::Progress;
use voice_transcode::Transcoder;

use crate::{
    error::TurnError,
    ports::{Recordings, Reply, Speaker, Transcribe},
    request::{TurnRequest, push},
};

/// A provider that asks to wait longer than this is not asked again within the turn.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What a turn needs.
#[derive(Clone)]
pub(crate) struct Ports {
    /// Where callers' words are.
    pub recordings: Arc<dyn Recordings>,
    /// What makes samples of them.
    pub transcoder: Transcoder,
    /// Speech to text.
    pub transcribe: Arc<dyn Transcribe>,
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

/// Runs a turn to its end.
///
/// # Errors
/// When it cannot be answered before `deadline`.
pub(crate) async fn run(
    ports: &Ports,
    request: TurnRequest,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let late = || TurnError::fatal("TURN_DEADLINE", "the time for the turn is up");
    tokio::time::timeout_at(deadline, answer(ports, request, deadline, listener))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn answer(
    ports: &Ports,
    request: TurnRequest,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let TurnRequest { pieces, earlier_text, mut history, prompt, language, deadline: _, wants_bare_reply: _ } =
        request;
    let mut words = vec![earlier_text];
    words.extend(listen::to_recordings(ports, pieces, language.as_deref(), deadline, listener).await?);
    words.retain(|text| !text.is_empty());
    let transcript = words.join(" ");
    listener.tell(Progress::Transcript { text: transcript.clone() }).await;
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
