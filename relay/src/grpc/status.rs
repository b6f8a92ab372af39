//! Errors as statuses.

use std::time::Duration;

use tonic::{Code, Status};
use voice_call::Refusal;
use voice_server::status::{ServiceError, into_status};

use crate::error::Error;

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::CallNotFound(_) => Code::NotFound,
            Self::InvalidField { .. } => Code::InvalidArgument,
            Self::EventsGone(_) => Code::OutOfRange,
            Self::Refused(Refusal::TooMuchToSay | Refusal::TooManyInstructions)
            | Self::CallOverloaded
            | Self::CallsAtLimit
            | Self::DialCapReached { .. } => Code::ResourceExhausted,
            Self::Refused(Refusal::NotConnected | Refusal::Ending | Refusal::DigitsUnderWay) => {
                Code::FailedPrecondition
            }
            Self::RequestIdReused => Code::AlreadyExists,
            Self::Draining => Code::Unavailable,
            Self::DialNotAllowed => Code::PermissionDenied,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::CallNotFound(_) => "CALL_NOT_FOUND",
            Self::InvalidField { .. } => "INVALID_FIELD",
            Self::EventsGone(_) => "EVENTS_GONE",
            Self::Refused(Refusal::NotConnected) => "CALL_NOT_CONNECTED",
            Self::Refused(Refusal::Ending) => "CALL_ENDING",
            Self::Refused(Refusal::TooMuchToSay) => "SAY_QUEUE_FULL",
            Self::Refused(Refusal::TooManyInstructions) => "INSTRUCTIONS_FULL",
            Self::Refused(Refusal::DigitsUnderWay) => "DIGITS_UNDER_WAY",
            Self::CallOverloaded => "CALL_OVERLOADED",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::CallsAtLimit => "CALLS_AT_LIMIT",
            Self::Draining => "RELAY_DRAINING",
            Self::DialNotAllowed => "DIAL_NOT_ALLOWED",
            Self::DialCapReached { .. } => "DIAL_CAP_REACHED",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::RequestIdReused => Some("request_id"),
            Self::DialNotAllowed => Some("to_number"),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CallsAtLimit | Self::Draining | Self::Refused(Refusal::TooMuchToSay) => {
                Some(Duration::from_secs(5))
            }
            Self::CallOverloaded | Self::Refused(Refusal::DigitsUnderWay) => Some(Duration::from_secs(1)),
            Self::DialCapReached { wait } => Some(*wait),
            _ => None,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(&error)
    }
}
