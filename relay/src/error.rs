//! What can go wrong, in the domain's words.

/// Why a request about calls cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No call of this id is live or recent.
    #[error("no call \"{0}\" is live or recent here")]
    CallNotFound(String),
    /// A field is missing or malformed.
    #[error("{field}: {message}")]
    InvalidField {
        /// Which one.
        field: &'static str,
        /// What is wrong, and what to send.
        message: String,
    },
    /// Events that were asked for are not kept any more.
    #[error("events up to {0} are not kept any more; watch from there")]
    EventsGone(u64),
}
