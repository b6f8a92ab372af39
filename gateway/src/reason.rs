//! Stable reasons of errors that HTTP alone has; all others are those of the services.

use axum::http::StatusCode;
use tonic::Code;

/// Why a request failed that no service has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpReason {
    /// Machine-readable, such as `CLIP_EXPIRED`.
    pub name: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
}

/// Declares reasons as constants of their names, and `ALL` with every one of them.
macro_rules! http_reasons {
    ($($(#[$doc:meta])+ $name:ident: $status:ident;)+) => {
        $(
            $(#[$doc])+
            pub const $name: HttpReason =
                HttpReason { name: stringify!($name), status: StatusCode::$status };
        )+
        /// Every reason above.
        pub const ALL: &[HttpReason] = &[$($name),+];
    };
}

http_reasons! {
    /// Nothing is at this address.
    NO_SUCH_ROUTE: NOT_FOUND;
    /// The address does not take the method.
    METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED;
    /// The body is not JSON of the right form.
    INVALID_JSON: BAD_REQUEST;
    /// The body is of another kind than JSON.
    UNSUPPORTED_MEDIA_TYPE: UNSUPPORTED_MEDIA_TYPE;
    /// The body is too long.
    TOO_LARGE: PAYLOAD_TOO_LARGE;
    /// There is no such clip, and never was.
    CLIP_NOT_FOUND: NOT_FOUND;
    /// The clip has been removed.
    CLIP_EXPIRED: GONE;
    /// A field of a form is missing.
    INVALID_FORM: BAD_REQUEST;
    /// A webhook is not signed as it should be.
    WEBHOOK_REFUSED: FORBIDDEN;
    /// A webhook was taken before.
    WEBHOOK_REPLAYED: FORBIDDEN;
    /// The address takes a WebSocket alone.
    WEBSOCKET_EXPECTED: UPGRADE_REQUIRED;
    /// The range begins behind the clip's end.
    RANGE_NOT_SATISFIABLE: RANGE_NOT_SATISFIABLE;
}

/// The HTTP status of a gRPC code.
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
