//! Errors as gRPC statuses with `google.rpc` details: a stable reason always, the field where one is at fault, the
//! delay where waiting helps.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Domain of every `ErrorInfo` that the mesh produces.
pub const DOMAIN: &str = "voicemesh";

/// An error that knows what its caller should be told.
pub trait ServiceError: std::error::Error {
    /// The gRPC code.
    fn code(&self) -> Code;
    /// Stable, machine-readable reason, such as `CALL_NOT_FOUND`.
    fn reason(&self) -> &'static str;
    /// The request field that is at fault.
    fn field(&self) -> Option<&str> {
        None
    }
    /// How long to wait before trying again.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// Turns an error into a status. The chain of an internal error goes to the log, not to the caller.
pub fn into_status(error: &impl ServiceError) -> Status {
    let message = if error.code() == Code::Internal {
        tracing::error!(error = %chain(error), "internal error");
        "internal error".to_owned()
    } else {
        error.to_string()
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(error.reason(), DOMAIN, HashMap::new());
    if let Some(field) = error.field() {
        details.add_bad_request_violation(field, message.as_str());
    }
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(error.code(), message, details)
}

/// The stable reason of a status that the mesh produced.
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// An error and its sources on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
