//! Errors as statuses.

use std::time::Duration;

use tonic::{Code, Status};
use voice_server::status::{ServiceError, into_status};

use crate::error::Error;

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::InvalidField { .. } | Self::MissingConfig | Self::RepeatedConfig => Code::InvalidArgument,
            Self::Idle(_) => Code::DeadlineExceeded,
            Self::Unavailable => Code::Unavailable,
            Self::Clips(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidField { .. } => "INVALID_FIELD",
            Self::MissingConfig => "MISSING_CONFIG",
            Self::RepeatedConfig => "REPEATED_CONFIG",
            Self::Idle(_) => "IDLE_TIMEOUT",
            Self::Unavailable => "SPEECH_UNAVAILABLE",
            Self::Clips(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::MissingConfig | Self::RepeatedConfig => Some("payload"),
            Self::Idle(_) | Self::Unavailable | Self::Clips(_) => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable => Some(Duration::from_secs(1)),
            Self::InvalidField { .. }
            | Self::MissingConfig
            | Self::RepeatedConfig
            | Self::Idle(_)
            | Self::Clips(_) => None,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(&error)
    }
}
