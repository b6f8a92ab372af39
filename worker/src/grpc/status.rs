//! Errors as statuses.

use std::time::Duration;

use tonic::Status;
use voice_jobs::JobsError;
use voice_server::status::{
    Reason, Retry, ServiceError, into_status,
    reason::{IDLE_TIMEOUT, INTERNAL, INVALID_FIELD, MISSING_CONFIG, REPEATED_CONFIG},
};

use crate::{
    error::{Error, TurnError},
    reason::{
        ALL, DEAD_JOB_NOT_FOUND, JOB_NOT_FOUND, QUEUE_FULL, QUEUE_UNAVAILABLE, STREAM_BROKEN_OFF,
        UTTERANCE_TOO_LONG,
    },
};

/// What a client should wait if the provider does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ServiceError for Error {
    fn reason(&self) -> Reason {
        match self {
            Self::JobNotFound(_) => JOB_NOT_FOUND,
            Self::DeadJobNotFound(_) => DEAD_JOB_NOT_FOUND,
            Self::QueueFull(_) => QUEUE_FULL,
            Self::InvalidField { .. } => INVALID_FIELD,
            Self::MissingConfig => MISSING_CONFIG,
            Self::RepeatedConfig => REPEATED_CONFIG,
            Self::UtteranceTooLong(_) => UTTERANCE_TOO_LONG,
            Self::Idle(_) => IDLE_TIMEOUT,
            Self::BrokenOff(_) => STREAM_BROKEN_OFF,
            Self::Unreadable(error) => error.reason(),
            Self::Turn(error) => of_turn(error),
            Self::Queue(_) => QUEUE_UNAVAILABLE,
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::MissingConfig | Self::RepeatedConfig => Some("payload"),
            Self::UtteranceTooLong(_) => Some("audio"),
            Self::JobNotFound(_)
            | Self::DeadJobNotFound(_)
            | Self::QueueFull(_)
            | Self::Queue(_)
            | Self::Idle(_)
            | Self::BrokenOff(_)
            | Self::Unreadable(_)
            | Self::Turn(_) => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match (self, self.reason().retry) {
            (Self::Turn(error), Retry::Told) if error.is_retryable => {
                Some(error.retry_after.unwrap_or(RETRY_AFTER))
            }
            (_, Retry::After(delay)) => Some(delay),
            (_, Retry::Never | Retry::Told) => None,
        }
    }
}

/// Turns tell their reasons by name, since jobs carry nothing else.
fn of_turn(error: &TurnError) -> Reason {
    ALL.iter().find(|reason| reason.name == error.reason).copied().unwrap_or(INTERNAL)
}

impl From<JobsError> for Error {
    fn from(error: JobsError) -> Self {
        match error {
            JobsError::BadJobId(_) => Self::InvalidField { field: "job_id", message: error.to_string() },
            JobsError::QueueFull(_) => Self::QueueFull(error),
            other => Self::Queue(other),
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

    const WAIT: Duration = Duration::from_secs(7);

    /// A failed turn whose provider says how long to wait.
    fn told(reason: &'static str) -> Error {
        Error::Turn(TurnError { retry_after: Some(WAIT), ..TurnError::passing(reason, "") })
    }

    #[test]
    fn every_error_tells_its_reason_and_what_it_takes_to_go_on() {
        let (second, minute) = (Some(Duration::from_secs(1)), Duration::from_mins(1));
        let malformed = Error::Unreadable(Unreadable::Malformed(String::new()));
        // Reason, field, when to try again.
        let table = [
            (Error::JobNotFound(String::new()), "JOB_NOT_FOUND", "", None),
            (Error::DeadJobNotFound(String::new()), "DEAD_JOB_NOT_FOUND", "", None),
            (JobsError::QueueFull(9).into(), "QUEUE_FULL", "", second),
            (JobsError::Timeout(WAIT).into(), "QUEUE_UNAVAILABLE", "", second),
            (JobsError::BadJobId(String::new()).into(), "INVALID_FIELD", "job_id", None),
            (Error::MissingConfig, "MISSING_CONFIG", "payload", None),
            (Error::RepeatedConfig, "REPEATED_CONFIG", "payload", None),
            (Error::UtteranceTooLong(minute), "UTTERANCE_TOO_LONG", "audio", None),
            (Error::Idle(minute), "IDLE_TIMEOUT", "", None),
            (Error::BrokenOff(String::new()), "STREAM_BROKEN_OFF", "", None),
            (malformed, "MALFORMED_MESSAGE", "", None),
            (told("STT_UNAVAILABLE"), "STT_UNAVAILABLE", "", Some(WAIT)),
            (told("STT_TIMEOUT"), "STT_TIMEOUT", "", None),
            (told("STT_RATE_LIMITED"), "STT_RATE_LIMITED", "", Some(WAIT)),
            (told("STT_NONSENSE"), "STT_NONSENSE", "", Some(WAIT)),
            (told("LLM_UNAVAILABLE"), "LLM_UNAVAILABLE", "", Some(WAIT)),
            (told("LLM_TIMEOUT"), "LLM_TIMEOUT", "", None),
            (told("LLM_RATE_LIMITED"), "LLM_RATE_LIMITED", "", Some(WAIT)),
            (told("LLM_TRUNCATED"), "LLM_TRUNCATED", "", Some(WAIT)),
            (told("LLM_EMPTY"), "LLM_EMPTY", "", None),
            (told("TURN_DEADLINE"), "TURN_DEADLINE", "", None),
            (TurnError::passing("STT_UNAVAILABLE", "").into(), "STT_UNAVAILABLE", "", second),
            (TurnError::fatal("STT_UNAVAILABLE", "").into(), "STT_UNAVAILABLE", "", None),
            // A reason that events have, and no answer to a request.
            (TurnError::fatal("RECORDING_MISSING", "").into(), "INTERNAL", "", None),
        ];
        let mut missing: BTreeSet<_> = ALL.iter().map(|reason| reason.name).collect();
        for (error, name, field, delay) in table {
            assert_eq!(error.reason().name, name);
            assert_eq!(error.field().unwrap_or_default(), field, "{name}");
            assert_eq!(error.retry_after(), delay, "{name}");
            missing.remove(name);
        }
        assert_eq!(missing, BTreeSet::new(), "no error has these reasons");
    }
}
