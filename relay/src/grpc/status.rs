//! Errors as statuses.

use tonic::{Code, Status};
use voice_server::status::{ServiceError, into_status};

use crate::error::Error;

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::CallNotFound(_) => Code::NotFound,
            Self::InvalidField { .. } => Code::InvalidArgument,
            Self::EventsGone(_) => Code::OutOfRange,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::CallNotFound(_) => "CALL_NOT_FOUND",
            Self::InvalidField { .. } => "INVALID_FIELD",
            Self::EventsGone(_) => "EVENTS_GONE",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::CallNotFound(_) | Self::EventsGone(_) => None,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(&error)
    }
}
