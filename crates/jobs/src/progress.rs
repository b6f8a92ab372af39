//! What happens to a job while it is worked on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{Jobs, store::Claim};

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Progress {
    /// A worker has claimed it.
    Started {
        /// Name of the worker: `name@host`.
        worker: String,
    },
    /// The recording has been downloaded.
    Fetched {
        /// Its size.
        bytes: u64,
    },
    /// What the caller said, all of it.
    Transcript {
        /// The words.
        text: String,
    },
    /// The next piece of the reply.
    ReplyDelta {
        /// To be appended.
        text: String,
    },
    /// It is done. Always the last event.
    Completed {
        /// What the caller said; empty when nothing was said.
        transcript: String,
        /// The whole reply.
        reply: String,
        /// What the language model asks for beside it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// It has failed for good. Always the last event.
    Failed {
        /// Stable reason.
        reason: String,
        /// For people.
        message: String,
    },
    /// It was cancelled. Always the last event.
    Cancelled,
}

/// Something that a language model asks for. Its `Debug` hides the arguments.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's handle of it.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// A JSON object, as the model wrote it: nobody has checked it.
    pub arguments: String,
}

impl std::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolCall").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Progress {
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("an event is plain data")
    }

    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}

/// An event with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressEvent {
    /// Gapless from 1 within a job.
    pub sequence: u64,
    /// When it was written, by the clock of Redis.
    pub at: Timestamp,
    /// What happened.
    pub event: Progress,
}

impl ProgressEvent {
    /// Reads a published event: number, microseconds and JSON, separated by spaces.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let sequence = parts.next()?.parse().ok()?;
        Self::from_parts(sequence, parts.next()?, parts.next()?)
    }

    pub(crate) fn from_parts(sequence: u64, micros: &str, event: &str) -> Option<Self> {
        let at = Timestamp::from_microsecond(micros.parse().ok()?).ok()?;
        Some(Self { sequence, at, event: serde_json::from_str(event).ok()? })
    }
}

/// Where a handler reports how far a job is.
#[derive(Clone, Debug)]
pub struct ProgressSink {
    pub(crate) jobs: Jobs,
    pub(crate) job_id: String,
    pub(crate) claim: Claim,
    /// Fires when somebody else has the job now.
    pub(crate) lost: CancellationToken,
}

impl ProgressSink {
    /// Reports an event. A broker that is away costs the event, not the job: its result tells the same in the end.
    pub async fn emit(&self, event: Progress) {
        match self.jobs.emit(&self.job_id, &self.claim, &event).await {
            Ok(0) => self.lost.cancel(),
            Ok(_) => {}
            Err(error) => tracing::warn!(job.id = %self.job_id, %error, "progress was lost"),
        }
    }
}
