//! Errors as statuses.

use tonic::Status;
use voice_jobs::JobsError;
use voice_server::status::{Reason, ServiceError, into_status, reason::INVALID_FIELD};

use crate::{
    error::Error,
    reason::{DEAD_JOB_NOT_FOUND, JOB_NOT_FOUND, QUEUE_FULL, QUEUE_UNAVAILABLE},
};

impl ServiceError for Error {
    fn reason(&self) -> Reason {
        match self {
            Self::JobNotFound(_) => JOB_NOT_FOUND,
            Self::DeadJobNotFound(_) => DEAD_JOB_NOT_FOUND,
            Self::QueueFull(_) => QUEUE_FULL,
            Self::InvalidField { .. } => INVALID_FIELD,
            Self::Queue(_) => QUEUE_UNAVAILABLE,
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::JobNotFound(_) | Self::DeadJobNotFound(_) | Self::QueueFull(_) | Self::Queue(_) => None,
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
