//! Errors as gRPC statuses with `google.rpc` details: a stable reason always, the field where one is at fault, the
//! delay where waiting helps. `docs/errors.md` lists every reason; a test compares it with the tables of this workspace.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Domain of every `ErrorInfo` that the mesh produces.
pub const DOMAIN: &str = "voicemesh";

/// Why a request failed: a name that stays, and what always goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Machine-readable, such as `CALL_NOT_FOUND`.
    pub name: &'static str,
    /// The gRPC code.
    pub code: Code,
    /// When it is worth another try.
    pub retry: Retry,
}

/// When the same request is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before something else has changed.
    Never,
    /// After this.
    After(Duration),
    /// After what the error itself tells.
    Told,
}

/// Declares reasons as constants of their names, and `ALL` with every one of them: the name, the gRPC code and, where
/// waiting helps, for how many milliseconds, or `told`.
#[macro_export]
macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident: $code:ident $(, retry $when:tt)?;)+) => {
        $(
            $(#[$doc])+
            pub const $name: $crate::status::Reason = $crate::status::Reason {
                name: stringify!($name),
                code: ::tonic::Code::$code,
                retry: $crate::retry!($($when)?),
            };
        )+
        /// Every reason above.
        pub const ALL: &[$crate::status::Reason] = &[$($name),+];
    };
}

/// A part of [`reasons!`].
#[doc(hidden)]
#[macro_export]
macro_rules! retry {
    () => {
        $crate::status::Retry::Never
    };
    (told) => {
        $crate::status::Retry::Told
    };
    ($millis:literal) => {
        $crate::status::Retry::After(::std::time::Duration::from_millis($millis))
    };
}

/// Reasons that several services, or all, have in common.
pub mod reason {
    crate::reasons! {
        /// A field is missing or malformed.
        INVALID_FIELD: InvalidArgument;
        /// A request came without its message.
        MISSING_MESSAGE: InvalidArgument;
        /// A message is not of the form that the contract gives it.
        MALFORMED_MESSAGE: InvalidArgument;
        /// A stream began with something else than its configuration.
        MISSING_CONFIG: InvalidArgument;
        /// A stream was configured twice.
        REPEATED_CONFIG: InvalidArgument;
        /// A stream has fallen silent.
        IDLE_TIMEOUT: DeadlineExceeded;
        /// The caller's own deadline has passed.
        DEADLINE_EXCEEDED: DeadlineExceeded;
        /// More requests at once than the process carries.
        OVERLOADED: ResourceExhausted, retry 500;
        /// There is no token.
        TOKEN_MISSING: Unauthenticated;
        /// The token is not known.
        TOKEN_UNKNOWN: Unauthenticated;
        /// The token is for other things.
        SCOPE_MISSING: PermissionDenied;
        /// The token has made too many requests.
        REQUESTS_AT_LIMIT: ResourceExhausted, retry told;
        /// The connection has too many streams open.
        STREAMS_AT_LIMIT: ResourceExhausted, retry 1000;
        /// A message is larger than the process takes.
        MESSAGE_TOO_LARGE: ResourceExhausted;
        /// A message is compressed.
        COMPRESSION_UNSUPPORTED: Unimplemented;
        /// The process is being stopped, and time is up for what still went on.
        STOPPING: Unavailable, retry 1000;
        /// There is no such RPC here.
        METHOD_UNKNOWN: Unimplemented;
        /// Another service of the mesh does not answer.
        SERVICE_UNAVAILABLE: Unavailable, retry 1000;
        /// A bug, or something that only the operator can mend.
        INTERNAL: Internal;
    }
}

/// An error that knows what its caller should be told.
pub trait ServiceError: std::error::Error {
    /// What has happened, by its stable name.
    fn reason(&self) -> Reason;
    /// The request field that is at fault.
    fn field(&self) -> Option<&str> {
        None
    }
    /// What a program needs to go on, by key.
    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
    /// How long to wait before trying again.
    fn retry_after(&self) -> Option<Duration> {
        match self.reason().retry {
            Retry::After(delay) => Some(delay),
            Retry::Never | Retry::Told => None,
        }
    }
}

/// Turns an error into a status. The chain of an internal error goes to the log, not to the caller.
pub fn into_status(error: &impl ServiceError) -> Status {
    let reason = error.reason();
    let message = if reason.code == Code::Internal {
        tracing::error!(error = %chain(error), "internal error");
        "internal error".to_owned()
    } else {
        error.to_string()
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.name, DOMAIN, error.metadata());
    if let Some(field) = error.field() {
        details.add_bad_request_violation(field, message.as_str());
    }
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(reason.code, message, details)
}

/// The stable reason of a status that the mesh produced.
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// A gRPC code as its specification writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What ends an answer that has begun.
pub(crate) fn trailers(status: Status) -> http::HeaderMap {
    let (head, ()) = status.into_http::<()>().into_parts();
    let mut trailers = head.headers;
    trailers.remove(http::header::CONTENT_TYPE);
    trailers
}

/// The code of an answer that is an error from its first word on; `Ok` for one that has more to say.
pub(crate) fn code_in(headers: &http::HeaderMap) -> Code {
    headers.get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
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
