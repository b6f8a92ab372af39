//! Misbehaviour on demand.

use std::{collections::BTreeMap, sync::Mutex};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{envelope::Refusal, journal::Service};

/// What one of the services does wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Fault {
    /// What it does.
    #[serde(flatten)]
    pub kind: Kind,
    /// How many requests it is done to; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Only requests with this in their input are meant: the last user message, the text to speak, or what was heard.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
}

/// The ways to fail.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// An error answer, with the body that Groq sends with this status; 502 is HTML, 503 is empty.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `retry-after` header, as it is to be written.
        retry_after: Option<serde_json::Number>,
        /// Groq's code; the usual one of the status if absent.
        code: Option<String>,
    },
    /// Never answers.
    Hang,
    /// Closes the connection instead of answering.
    Drop,
    /// Closes the connection in mid-body.
    Cut,
    /// Stops in mid-body and keeps the connection open.
    Stall,
    /// Ends the body properly, but in its middle.
    Truncate,
    /// Says 200 and sends something else.
    Nonsense {
        /// What it sends.
        #[serde(default)]
        form: Nonsense,
    },
    /// Waits before it answers properly.
    Slow {
        /// How long.
        ms: u64,
    },
    /// Sends an error as an event in mid-stream (chat only).
    ErrorFrame,
    /// Stops a stream early with `x_groq.error` (chat only).
    XGroqError,
}

/// What is sent instead of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonsense {
    /// A web page.
    #[default]
    Html,
    /// The right content type, and noise.
    Garbage,
    /// The right content type, and nothing.
    Empty,
    /// JSON of another kind.
    Wrong,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<BTreeMap<Service, Fault>>);

impl Faults {
    pub(super) fn set(&self, service: Service, fault: Option<Fault>) {
        let mut faults = self.0.lock().expect("no panic while locked");
        match fault {
            Some(fault) => faults.insert(service, fault),
            None => faults.remove(&service),
        };
    }

    pub(super) fn clear(&self) {
        self.0.lock().expect("no panic while locked").clear();
    }

    /// Whether the input has to be known before a fault can be chosen.
    pub(super) fn depend_on_input(&self, service: Service) -> bool {
        let faults = self.0.lock().expect("no panic while locked");
        faults.get(&service).is_some_and(|fault| fault.matching.is_some())
    }

    /// What to do to a request with this input.
    pub(super) fn take(&self, service: Service, input: &str) -> Option<Kind> {
        let mut faults = self.0.lock().expect("no panic while locked");
        let fault = faults.get_mut(&service)?;
        if fault.matching.as_ref().is_some_and(|part| !input.to_lowercase().contains(&part.to_lowercase())) {
            return None;
        }
        match &mut fault.count {
            Some(0) => return None,
            Some(count) => *count -= 1,
            None => {}
        }
        Some(fault.kind.clone())
    }
}

/// The error answer with a status.
pub(super) fn status_answer(
    status: u16,
    retry_after: Option<&serde_json::Number>,
    code: Option<&str>,
) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match (status.as_u16(), code) {
        (502, None) => {
            (status, [(header::CONTENT_TYPE, "text/html")], "<html><h1>502 Bad Gateway</h1></html>")
                .into_response()
        }
        (503, None) => (status, Body::empty()).into_response(),
        (_, code) => {
            let (code, message) = wording(status.as_u16(), code);
            Refusal::new(status, code, &message).into_response()
        }
    };
    if let Some(seconds) = retry_after {
        let value = seconds.to_string().parse().expect("a number makes a header");
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn wording(status: u16, code: Option<&str>) -> (Option<&str>, String) {
    let usual = match status {
        401 => Some("invalid_api_key"),
        404 => Some("model_not_found"),
        413 | 429 => Some("rate_limit_exceeded"),
        498 => Some("capacity_exceeded"),
        500.. => Some("internal_server_error"),
        _ => None,
    };
    let code = code.or(usual);
    let message = match (code, status) {
        (Some("invalid_api_key"), _) => "Invalid API Key",
        (Some("model_not_found"), _) => "The model `X` does not exist or you do not have access to it.",
        (Some("model_decommissioned"), _) => {
            "The model `X` has been decommissioned and is no longer supported. Please refer to \
             https://console.groq.com/docs/deprecations for a recommendation on which model to use instead."
        }
        (Some("model_terms_required"), _) => {
            "The model `X` requires terms acceptance. Please have the org admin accept the terms at \
             https://console.groq.com/playground?model=X"
        }
        (Some("rate_limit_exceeded"), 413) => {
            "Request too large for model `X` in organization `org_sim` service tier `on_demand` on tokens per minute \
             (TPM): Limit 8000, Requested 8590, please reduce your message size and try again."
        }
        (Some("rate_limit_exceeded"), _) => {
            "Rate limit reached for model `X` in organization `org_sim` service tier `on_demand` on tokens per minute \
             (TPM): Limit 8000, Used 7800, Requested 590. Please try again in 2.925s. Need more tokens? Upgrade."
        }
        (Some("capacity_exceeded"), _) => "The flex tier is at capacity, try again later.",
        (Some("internal_server_error"), _) => "Internal Server Error",
        (Some(_) | None, _) => "The request is not valid.",
    };
    (code, message.to_owned())
}
