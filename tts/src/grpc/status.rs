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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use voice_clips::ClipsError;
    use voice_server::Unreadable;

    use super::*;

    #[test]
    fn every_error_tells_its_reason_and_what_it_takes_to_go_on() {
        let invalid = Error::InvalidField { field: "text", message: String::new() };
        let malformed = Error::Unreadable(Unreadable::Malformed(String::new()));
        let second = Some(Duration::from_secs(1));
        // Reason, field, when to try again.
        let table = [
            (invalid, "INVALID_FIELD", "text", None),
            (Error::MissingConfig, "MISSING_CONFIG", "payload", None),
            (Error::RepeatedConfig, "REPEATED_CONFIG", "payload", None),
            (Error::Idle(Duration::ZERO), "IDLE_TIMEOUT", "", None),
            (malformed, "MALFORMED_MESSAGE", "", None),
            (Error::Unavailable, "SPEECH_UNAVAILABLE", "", second),
            (Error::Clips(ClipsError::NotFound), "INTERNAL", "", None),
        ];
        for (error, name, field, delay) in table {
            assert_eq!(error.reason().name, name);
            assert_eq!(error.field().unwrap_or_default(), field, "{name}");
            assert_eq!(error.retry_after(), delay, "{name}");
        }
    }
}
