//! How a media socket ends: close codes, and the stable reason in each close frame.

use axum::extract::ws::{CloseFrame, Utf8Bytes};
use tonic::Status;

use crate::problem::Problem;

/// Why a socket is closed: a code of WebSocket's own where one fits, 4000 and an HTTP status where none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// A close of this gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// Its code.
    pub code: u16,
    /// Machine-readable, such as `CALL_ENDED`.
    pub name: &'static str,
}

/// Declares closes as constants of their names, and `CLOSES` with every one of them.
macro_rules! closes {
    ($($(#[$doc:meta])+ $name:ident: $code:literal;)+) => {
        $(
            $(#[$doc])+
            pub(crate) const $name: CloseReason = CloseReason { code: $code, name: stringify!($name) };
        )+
        /// Every close of this gateway's own.
        pub const CLOSES: &[CloseReason] = &[$($name),+];
    };
}

closes! {
    /// The call is over.
    CALL_ENDED: 1000;
    /// The gateway is being stopped.
    GATEWAY_DRAINING: 1001;
    /// A message is binary.
    BINARY_MESSAGE: 1003;
    /// A message is not what the vendors document.
    INVALID_MESSAGE: 1007;
    /// A message is larger than anybody's sound.
    MESSAGE_TOO_LARGE: 1009;
    /// A message comes where it cannot be: sound before the start, or a second start.
    UNEXPECTED_MESSAGE: 4400;
    /// Nothing came for too long.
    STREAM_IDLE: 4408;
    /// The stream's format is neither mu-law at 8 kHz nor linear 16 at 8, 16 or 24 kHz.
    UNSUPPORTED_FORMAT: 4415;
    /// What was sent was not read for too long.
    READER_STALLED: 4504;
}

impl From<CloseReason> for Close {
    fn from(reason: CloseReason) -> Self {
        Self { code: reason.code, reason: reason.name.to_owned() }
    }
}

impl From<Status> for Close {
    fn from(status: Status) -> Self {
        let (status, reason) = Problem::from(status).into_status_and_reason();
        let code = if status.as_u16() == 500 { 1011 } else { 4000 + status.as_u16() };
        Self { code, reason }
    }
}

impl From<Close> for CloseFrame {
    fn from(close: Close) -> Self {
        Self { code: close.code, reason: Utf8Bytes::from(close.reason) }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn what_a_relay_refuses_has_a_code_of_its_own() {
        let status = Status::new(Code::Unavailable, "tcp connect error: 10.0.0.7");
        assert_eq!(Close::from(status), Close { code: 4503, reason: "SERVICE_UNAVAILABLE".into() });
        assert_eq!(Close::from(Status::internal("x")), Close { code: 1011, reason: "INTERNAL".into() });
    }
}
