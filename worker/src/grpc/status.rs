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
