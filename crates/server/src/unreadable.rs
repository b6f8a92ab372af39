//! Messages that cannot be read. tonic tells of them without a reason, and handlers of streams get to know of them as they
//! do of clients that are gone: this is the one place that says which is which.

use tonic::{Code, Status};

use crate::status::{Reason, ServiceError, reason, reason_of};

/// What tonic says of a request that ended before its message came.
const MISSING: &str = "Missing request message.";

/// How tonic begins what it says of bytes that are no message: within one, in front of one, and at the end of them all.
const MALFORMED: [&str; 3] = [
    "failed to decode Protobuf message",
    "protocol error: received message with",
    "Unexpected EOF decoding stream",
];

/// How it begins what it says of a `grpc-encoding` that nobody here has asked for.
const COMPRESSED: &str = "Content is compressed with";

/// Why a client's message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The request ended before it came.
    #[error("the request ended before its message came")]
    Missing,
    /// It is not of the form that the contract gives it.
    #[error(
        "a message is not what the contract says ({0}); send what stubs generated from the contract write"
    )]
    Malformed(String),
    /// It is larger than the process takes.
    #[error("{0}")]
    TooLarge(String),
    /// It is compressed.
    #[error("messages are not taken compressed; send them without grpc-encoding")]
    Compressed,
}

impl Unreadable {
    /// What a status says of a message that came in; `None` if it says something else, such as that its client is gone.
    pub fn of(status: &Status) -> Option<Self> {
        let text = status.message();
        match status.code() {
            Code::Internal if text == MISSING => Some(Self::Missing),
            Code::Internal if MALFORMED.iter().any(|beginning| text.starts_with(beginning)) => {
                Some(Self::Malformed(text.to_owned()))
            }
            Code::Unimplemented if text.starts_with(COMPRESSED) => Some(Self::Compressed),
            Code::ResourceExhausted if reason_of(status)? == reason::MESSAGE_TOO_LARGE.name => {
                Some(Self::TooLarge(text.to_owned()))
            }
            _ => None,
        }
    }
}

impl ServiceError for Unreadable {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => reason::MISSING_MESSAGE,
            Self::Malformed(_) => reason::MALFORMED_MESSAGE,
            Self::TooLarge(_) => reason::MESSAGE_TOO_LARGE,
            Self::Compressed => reason::COMPRESSION_UNSUPPORTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use tonic::{
        Streaming,
        codec::{DecodeBuf, Decoder},
    };

    use super::*;

    /// Takes any bytes for a message.
    struct Anything;

    impl Decoder for Anything {
        type Item = ();
        type Error = Status;

        fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
            Ok(Some(()))
        }
    }

    #[tokio::test]
    async fn what_is_wrong_in_front_of_a_message_or_ends_within_it_is_malformed() {
        let bodies: [&[u8]; 4] = [
            // A flag that there is not.
            &[7, 0, 0, 0, 0],
            // Compressed by nothing.
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0],
        ];
        for body in bodies {
            let body = Full::new(Bytes::from_static(body));
            let status = Streaming::new_request(Anything, body, None, None).message().await.unwrap_err();
            assert!(matches!(Unreadable::of(&status), Some(Unreadable::Malformed(_))), "{status:?}");
        }
    }

    #[test]
    fn a_client_that_is_gone_has_sent_nothing_unreadable() {
        let gone = [
            Status::cancelled("h2 protocol error: http2 error"),
            Status::internal("h2 protocol error: http2 error"),
            Status::resource_exhausted("h2 protocol error: http2 error"),
            Status::unknown("h2 protocol error: error reading a body from connection"),
        ];
        for status in gone {
            assert_eq!(Unreadable::of(&status), None, "{status:?}");
        }
    }
}
