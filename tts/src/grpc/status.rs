//! Errors as statuses.

use tonic::Status;
use voice_server::status::{
    Reason, ServiceError, into_status,
    reason::{IDLE_TIMEOUT, INTERNAL, INVALID_FIELD, MISSING_CONFIG, REPEATED_CONFIG},
};

use crate::{error::Error, reason::SPEECH_UNAVAILABLE};

impl ServiceError for Error {
    fn reason(&self) -> Reason {
        match self {
            Self::InvalidField { .. } => INVALID_FIELD,
            Self::MissingConfig => MISSING_CONFIG,
            Self::RepeatedConfig => REPEATED_CONFIG,
            Self::Idle(_) => IDLE_TIMEOUT,
            Self::Unreadable(error) => error.reason(),
            Self::Unavailable => SPEECH_UNAVAILABLE,
            Self::Clips(_) => INTERNAL,
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::MissingConfig | Self::RepeatedConfig => Some("payload"),
            Self::Idle(_) | Self::Unreadable(_) | Self::Unavailable | Self::Clips(_) => None,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(&error)
    }
}
