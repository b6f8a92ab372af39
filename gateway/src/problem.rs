//! Errors as `application/problem+json` (RFC 9457): the same reason, field and delay that gRPC would tell.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use voice_server::status::{Reason, Retry, ServiceError, code_name, into_status, reason};

use crate::reason::{HttpReason, http_status};

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// The gRPC code; none of what HTTP alone has.
    code: Option<Code>,
    reason: String,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem that HTTP alone has.
    pub(crate) fn new(reason: HttpReason, detail: impl Into<String>) -> Self {
        let HttpReason { name, status } = reason;
        Self {
            status,
            code: None,
            reason: name.to_owned(),
            detail: detail.into(),
            field: None,
            retry_after: None,
        }
    }

    /// A problem that a service would tell by gRPC too.
    pub(crate) fn of(reason: Reason, detail: impl Into<String>) -> Self {
        let retry_after = match reason.retry {
            Retry::After(delay) => Some(delay),
            Retry::Never | Retry::Told => None,
        };
        Self {
            status: http_status(reason.code),
            code: Some(reason.code),
            reason: reason.name.to_owned(),
            detail: detail.into(),
            field: None,
            retry_after,
        }
    }

    /// The same for an error that a server would answer.
    pub(crate) fn of_error(error: &impl ServiceError) -> Self {
        into_status(error).into()
    }

    /// What a close frame has room for.
    pub(crate) fn into_status_and_reason(self) -> (StatusCode, String) {
        (self.status, self.reason)
    }

    /// A bug, or something that only the operator can mend.
    pub(crate) fn internal() -> Self {
        Self::of(reason::INTERNAL, "internal error")
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let Some(info) = status.get_details_error_info() else {
            // What a transport says of addresses is not for outsiders.
            return match status.code() {
                Code::Unavailable | Code::Cancelled | Code::Unknown => {
                    Self::of(reason::SERVICE_UNAVAILABLE, "the service behind this address does not answer")
                }
                _ => Self::internal(),
            };
        };
        let violation =
            status.get_details_bad_request().and_then(|bad| bad.field_violations.into_iter().next());
        Self {
            status: http_status(status.code()),
            code: Some(status.code()),
            reason: info.reason,
            detail: status.message().to_owned(),
            field: violation.map(|violation| violation.field),
            retry_after: status.get_details_retry_info().and_then(|info| info.retry_delay),
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
        if let Some(code) = self.code {
            body["code"] = code_name(code).into();
        }
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        if let Some(wait) = self.retry_after {
            body["retry_delay_ms"] = (wait.as_millis() as u64).into();
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
