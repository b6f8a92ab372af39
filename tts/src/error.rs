//! What can go wrong, in the domain's words.

use std::time::Duration;

use voice_clips::ClipsError;

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
}

impl EngineError {
    /// A failure without further advice.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}
