//! What can go wrong, in the domain's words.

use std::time::Duration;

use voice_clips::ClipsError;
use voice_server::Unreadable;

/// Why there is no speech.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is missing or malformed.
    #[error("{field}: {message}")]
    InvalidField {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A stream of text began with something else than its configuration.
    #[error("the first message of a stream has to be its config")]
    MissingConfig,
    /// A stream of text was configured twice.
    #[error("only the first message of a stream may be its config")]
    RepeatedConfig,
    /// A stream of text has fallen silent.
    #[error("no message came for {0:?}; close the stream when the text is complete")]
    Idle(Duration),
    /// A message of a stream cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// No engine could speak.
    #[error("no engine can speak at the moment")]
    Unavailable,
    /// Clips cannot be kept.
    #[error("the clip store does not work")]
    Clips(#[from] ClipsError),
}

/// Why an engine did not speak.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct EngineError {
    /// For the log.
    pub message: String,
    /// How long the engine asks to be left alone.
    pub retry_after: Option<Duration>,
    /// What kind of failure it is.
    pub kind: Failure,
}

/// Kinds of failures, as metrics tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It said no, broke off, or sent nonsense.
    Broken,
    /// It took too long.
    Late,
    /// The plan allows no request now; none was sent.
    Quota,
}

impl EngineError {
    /// A failure without further advice.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None, kind: Failure::Broken }
    }

    /// Something took longer than one waits for it.
    pub(crate) fn late(what: &str, limit: Duration) -> Self {
        Self { kind: Failure::Late, ..Self::new(format!("{what} did not come within {limit:?}")) }
    }
}

impl Failure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Late => "late",
            Self::Quota => "quota",
        }
    }
}
