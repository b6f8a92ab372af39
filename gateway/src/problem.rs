//! Errors as `application/problem+json` (RFC 9457), with a stable `reason` in each.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use voice_server::status::reason_of;

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) field: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), detail: detail.into(), field: None, retry_after: None }
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let http = match status.code() {
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists => StatusCode::CONFLICT,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded | Code::Cancelled => StatusCode::GATEWAY_TIMEOUT,
            Code::Ok
            | Code::Unknown
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let is_ours = reason_of(&status).is_some();
        let reason = reason_of(&status).unwrap_or_else(|| match http {
            StatusCode::SERVICE_UNAVAILABLE => "TTS_UNAVAILABLE".to_owned(),
            StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED".to_owned(),
            _ => "INTERNAL".to_owned(),
        });
        let violation =
            status.get_details_bad_request().and_then(|bad| bad.field_violations.into_iter().next());
        let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self {
            status: http,
            reason,
            // What a transport says of addresses is not for outsiders.
            detail: if is_ours {
                status.message().to_owned()
            } else {
                "the speech service does not answer".to_owned()
            },
            field: violation.map(|violation| violation.field),
            retry_after: wait
                .or_else(|| (http == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1))),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "reason": self.reason,
            "detail": self.detail,
        });
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
