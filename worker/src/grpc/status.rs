//! Errors as statuses.

use std::time::Duration;

use tonic::{Code, Status};
use voice_jobs::JobsError;
use voice_server::status::{ServiceError, into_status};

use crate::error::Error;

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::JobNotFound(_) | Self::DeadJobNotFound(_) => Code::NotFound,
            Self::QueueFull(_) => Code::ResourceExhausted,
            Self::InvalidField { .. } => Code::InvalidArgument,
            Self::Queue(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::JobNotFound(_) => "JOB_NOT_FOUND",
            Self::DeadJobNotFound(_) => "DEAD_JOB_NOT_FOUND",
            Self::QueueFull(_) => "QUEUE_FULL",
            Self::InvalidField { .. } => "INVALID_FIELD",
            Self::Queue(_) => "QUEUE_UNAVAILABLE",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::JobNotFound(_) | Self::DeadJobNotFound(_) | Self::QueueFull(_) | Self::Queue(_) => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Queue(_) | Self::QueueFull(_) => Some(Duration::from_secs(1)),
            Self::JobNotFound(_) | Self::DeadJobNotFound(_) | Self::InvalidField { .. } => None,
        }
    }
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
