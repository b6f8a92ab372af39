//! A job as its handler sees it.

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
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments hold what callers said.
        f.debug_struct("Job").field("id", &self.id).field("task", &self.task).finish_non_exhaustive()
    }
}

/// Why a job has failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// Stable reason; the exception type that Python sees.
    pub reason: String,
    /// For people; says what to do.
    pub message: String,
}

impl JobFailure {
    /// Makes a failure.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}
