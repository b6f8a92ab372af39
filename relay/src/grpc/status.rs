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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use voice_server::Unreadable;

    use super::*;

    #[test]
    fn every_error_tells_its_reason_and_what_it_takes_to_go_on() {
        let wait = Duration::from_secs(7);
        let second = Some(Duration::from_secs(1));
        let seconds = Some(Duration::from_secs(5));
        let invalid = Error::InvalidField { field: "text", message: String::new() };
        let elsewhere = Error::CallElsewhere { relay_addr: "http://there".into() };
        let malformed = Error::Unreadable(Unreadable::Malformed(String::new()));
        // Reason, field, metadata, when to try again.
        let table = [
            (Error::CallNotFound(String::new()), "CALL_NOT_FOUND", "", "", None),
            (invalid, "INVALID_FIELD", "text", "", None),
            (Error::EventsGone { first_kept: 7 }, "EVENTS_GONE", "", "first_sequence=7", None),
            (Error::Refused(Refusal::NotConnected), "CALL_NOT_CONNECTED", "", "", None),
            (Error::Refused(Refusal::Ending), "CALL_ENDING", "", "", None),
            (Error::Refused(Refusal::TooMuchToSay), "SAY_QUEUE_FULL", "", "", seconds),
            (Error::Refused(Refusal::TooManyInstructions), "INSTRUCTIONS_FULL", "", "", None),
            (Error::Refused(Refusal::DigitsUnderWay), "DIGITS_UNDER_WAY", "", "", second),
            (Error::CallOverloaded, "CALL_OVERLOADED", "", "", second),
            (Error::RequestIdReused, "REQUEST_ID_REUSED", "request_id", "", None),
            (Error::CallsAtLimit, "CALLS_AT_LIMIT", "", "", seconds),
            (Error::TokenCallsAtLimit, "TOKEN_CALLS_AT_LIMIT", "", "", seconds),
            (Error::CallerAtLimit { wait }, "CALLER_AT_LIMIT", "", "", Some(wait)),
            (Error::Draining, "RELAY_DRAINING", "", "", seconds),
            (Error::MissingConfig, "MISSING_CONFIG", "payload", "", None),
            (Error::RepeatedConfig, "REPEATED_CONFIG", "payload", "", None),
            (malformed, "MALFORMED_MESSAGE", "", "", None),
            (Error::IdleTimeout, "IDLE_TIMEOUT", "", "", None),
            (Error::MediaTokenRefused, "MEDIA_TOKEN_REFUSED", "", "", None),
            (elsewhere, "CALL_ELSEWHERE", "media_token", "relay_addr=http://there", None),
            (Error::AudioOnly, "CALL_AUDIO_ONLY", "", "", None),
            (Error::DialNotAllowed, "DIAL_NOT_ALLOWED", "to_number", "", None),
            (Error::DialCapReached { wait }, "DIAL_CAP_REACHED", "", "", Some(wait)),
        ];
        let mut missing: BTreeSet<_> = reason::ALL.iter().map(|reason| reason.name).collect();
        for (error, name, field, metadata, delay) in table {
            assert_eq!(error.reason().name, name);
            assert_eq!(error.field().unwrap_or_default(), field, "{name}");
            let told: Vec<_> = error.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(told.join(" "), metadata, "{name}");
            assert_eq!(error.retry_after(), delay, "{name}");
            missing.remove(name);
        }
        assert_eq!(missing, BTreeSet::new(), "no error has these reasons");
    }
}
