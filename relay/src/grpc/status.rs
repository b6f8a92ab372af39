//! Errors as statuses.

use std::{collections::HashMap, time::Duration};

use tonic::Status;
use voice_call::Refusal;
use voice_server::status::{
    Reason, Retry, ServiceError, into_status,
    reason::{IDLE_TIMEOUT, INVALID_FIELD, MISSING_CONFIG, REPEATED_CONFIG},
};

use crate::{error::Error, reason};

impl ServiceError for Error {
    fn reason(&self) -> Reason {
        match self {
            Self::CallNotFound(_) => reason::CALL_NOT_FOUND,
            Self::InvalidField { .. } => INVALID_FIELD,
            Self::EventsGone { .. } => reason::EVENTS_GONE,
            Self::Refused(Refusal::NotConnected) => reason::CALL_NOT_CONNECTED,
            Self::Refused(Refusal::Ending) => reason::CALL_ENDING,
            Self::Refused(Refusal::TooMuchToSay) => reason::SAY_QUEUE_FULL,
            Self::Refused(Refusal::TooManyInstructions) => reason::INSTRUCTIONS_FULL,
            Self::Refused(Refusal::DigitsUnderWay) => reason::DIGITS_UNDER_WAY,
            Self::CallOverloaded => reason::CALL_OVERLOADED,
            Self::RequestIdReused => reason::REQUEST_ID_REUSED,
            Self::CallsAtLimit => reason::CALLS_AT_LIMIT,
            Self::TokenCallsAtLimit => reason::TOKEN_CALLS_AT_LIMIT,
            Self::CallerAtLimit { .. } => reason::CALLER_AT_LIMIT,
            Self::Draining => reason::RELAY_DRAINING,
            Self::MissingConfig => MISSING_CONFIG,
            Self::RepeatedConfig => REPEATED_CONFIG,
            Self::Unreadable(error) => error.reason(),
            Self::IdleTimeout => IDLE_TIMEOUT,
            Self::MediaTokenRefused => reason::MEDIA_TOKEN_REFUSED,
            Self::CallElsewhere { .. } => reason::CALL_ELSEWHERE,
            Self::AudioOnly => reason::CALL_AUDIO_ONLY,
            Self::DialNotAllowed => reason::DIAL_NOT_ALLOWED,
            Self::DialCapReached { .. } => reason::DIAL_CAP_REACHED,
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::RequestIdReused => Some("request_id"),
            Self::DialNotAllowed => Some("to_number"),
            Self::MissingConfig | Self::RepeatedConfig => Some("payload"),
            Self::CallElsewhere { .. } => Some("media_token"),
            Self::CallNotFound(_)
            | Self::EventsGone { .. }
            | Self::Refused(_)
            | Self::CallOverloaded
            | Self::CallsAtLimit
            | Self::TokenCallsAtLimit
            | Self::CallerAtLimit { .. }
            | Self::Draining
            | Self::Unreadable(_)
            | Self::IdleTimeout
            | Self::MediaTokenRefused
            | Self::AudioOnly
            | Self::DialCapReached { .. } => None,
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::EventsGone { first_kept } => {
                HashMap::from([("first_sequence".to_owned(), first_kept.to_string())])
            }
            Self::CallElsewhere { relay_addr } => {
                HashMap::from([("relay_addr".to_owned(), relay_addr.clone())])
            }
            _ => HashMap::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match (self, self.reason().retry) {
            (Self::DialCapReached { wait } | Self::CallerAtLimit { wait }, _) => Some(*wait),
            (_, Retry::After(delay)) => Some(delay),
            (_, Retry::Never | Retry::Told) => None,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(&error)
    }
}
