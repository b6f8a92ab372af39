//! Why a turn cannot be answered, and why a request cannot.

use std::time::Duration;

use voice_jobs::{JobFailure, JobsError};
use voice_server::Unreadable;

/// Why a turn has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TurnError {
    /// Stable reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Whether trying again at once may help.
    pub is_retryable: bool,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
}

impl TurnError {
    /// A failure that trying again does not mend.
    pub fn fatal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), is_retryable: false, retry_after: None }
    }

    /// A failure that may be gone at the next try.
    pub fn passing(reason: &'static str, message: impl Into<String>) -> Self {
        Self { is_retryable: true, ..Self::fatal(reason, message) }
    }
}

impl From<TurnError> for JobFailure {
    fn from(error: TurnError) -> Self {
        let failure = Self::new(error.reason, error.message);
        if error.is_retryable { failure.passing(error.retry_after.unwrap_or_default()) } else { failure }
    }
}

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is known of the job.
    #[error("nothing is known of job \"{0}\"")]
    JobNotFound(String),
    /// It is not in the dead list.
    #[error("\"{0}\" is not in the dead list")]
    DeadJobNotFound(String),
    /// A field is missing or malformed.
    #[error("{field}: {message}")]
    InvalidField {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A stream began with something else than its configuration.
    #[error("the first message of a stream has to be its config")]
    MissingConfig,
    /// A stream was configured twice.
    #[error("only the first message of a stream may be its config")]
    RepeatedConfig,
    /// A stream has fallen silent.
    #[error("no message came for {0:?}; close the stream when the utterance is over")]
    Idle(Duration),
    /// Somebody speaks without end.
    #[error("an utterance has at most {0:?} of audio; end it, and begin another")]
    UtteranceTooLong(Duration),
    /// The client went away in the middle of a stream.
    #[error("the stream was broken off: {0}")]
    BrokenOff(String),
    /// A message of a stream cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A turn, or a part of one, has failed.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// Too many jobs wait.
    #[error("the queue is full: {0}")]
    QueueFull(#[source] JobsError),
    /// The broker is away.
    #[error("the queue is not available")]
    Queue(#[source] JobsError),
}
