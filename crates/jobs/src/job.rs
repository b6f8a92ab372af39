//! A job as its handler sees it.

use std::time::Duration;

use serde_json::{Map, Value};

/// A job to be run.
#[derive(Clone, PartialEq)]
pub struct Job {
    /// Celery's task id.
    pub id: String,
    /// Registered name of the task.
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// All headers of the message; ours alone begin with `voice_`.
    pub headers: Map<String, Value>,
    /// Attempts before this one.
    pub retries: u32,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments hold what callers said.
        f.debug_struct("Job").field("id", &self.id).field("task", &self.task).finish_non_exhaustive()
    }
}

/// Why an attempt at a job has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// Stable reason; the exception type that Python sees.
    pub reason: String,
    /// For people; says what to do.
    pub message: String,
    /// Whether another attempt may go better, and after which wait at least.
    pub retry_after: Option<Duration>,
}

impl JobFailure {
    /// A failure for good.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), retry_after: None }
    }

    /// A failure that may pass; another attempt waits at least this long.
    #[must_use]
    pub fn passing(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }
}
