//! What can go wrong with a command.

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call or the operation does not exist any more: the ordinary end of a race with the caller's hang-up.
    #[error("the call or the operation is over")]
    Gone,
    /// The platform refused the command.
    #[error("refused with {code}: {message}")]
    Refused {
        /// The string code of the result, such as `409`.
        code: String,
        /// The platform's words.
        message: String,
    },
    /// The platform did not understand the command.
    #[error("protocol error {code}: {message}")]
    Protocol {
        /// The JSON-RPC code, such as -32602.
        code: i64,
        /// The platform's words.
        message: String,
    },
    /// Project and token were refused.
    #[error("SIGNALWIRE_PROJECT_ID and SIGNALWIRE_TOKEN were refused: {message}")]
    Unauthorized {
        /// The platform's words.
        message: String,
    },
    /// The connection was lost before the answer came.
    #[error("the connection was lost")]
    Disconnected,
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// Too many commands wait for the connection.
    #[error("too many commands wait for the connection")]
    Overloaded,
    /// The client has been stopped.
    #[error("the client is stopped")]
    Stopped,
}

impl Error {
    /// Whether the call or the operation is simply over.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }
}
