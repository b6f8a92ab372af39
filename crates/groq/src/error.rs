//! What can go wrong, whose fault it is, and whether trying again helps.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::{body::snippet, rate_limits::parse_go_duration};

/// Why a request gave no answer, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is missing, wrong or withdrawn.
    #[error("the provider does not accept the API key: {0}")]
    InvalidKey(Refusal),
    /// The key may not do this, or a firewall in front of the provider refuses us.
    #[error("the provider forbids the request: {0}")]
    Forbidden(Refusal),
    /// The model was retired or never existed: the setting that names it has to change.
    #[error("the model is not available, choose another: {0}")]
    ModelGone(Refusal),
    /// An administrator has to accept the model's terms on the provider's console first.
    #[error("the model's terms have to be accepted first: {0}")]
    TermsRequired(Refusal),
    /// Too many requests or tokens for now.
    #[error("the provider's rate limit is reached: {refusal}")]
    RateLimited {
        /// What the provider said.
        refusal: Refusal,
        /// How long it asked us to wait, if it did.
        retry_after: Option<Duration>,
    },
    /// The request can never fit: too much audio, or more tokens than a minute allows.
    #[error("the request is larger than the provider allows: {0}")]
    TooLarge(Refusal),
    /// The text to speak is longer than the configured limit; it was not sent.
    #[error("the text has {chars} characters, the limit is {limit}")]
    InputTooLong {
        /// Characters of the text.
        chars: usize,
        /// The limit that [`crate::Groq::with_max_input_chars`] set.
        limit: usize,
    },
    /// The provider refuses this request for a reason that has no variant of its own.
    #[error("the provider refuses the request: {0}")]
    Rejected(Refusal),
    /// The provider is not able to answer at the moment.
    #[error("the provider is not available: {0}")]
    Unavailable(Refusal),
    /// The provider gave up after it had begun to answer.
    #[error("the provider gave up: {message}")]
    GaveUp {
        /// What it said.
        message: String,
    },
    /// A deadline passed.
    #[error("no answer in time while waiting for {0}")]
    Timeout(Stage),
    /// The answer ended properly, but before it was complete.
    #[error("the answer ended before it was complete")]
    Truncated,
    /// The answer is not what was asked for; its beginning is kept.
    #[error("the provider answered nonsense: {0:?}")]
    Nonsense(String),
    /// No connection, or it broke.
    #[error("the connection to the provider failed")]
    Connection(#[source] reqwest::Error),
}

/// What a deadline was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A TCP and TLS connection.
    Connect,
    /// The whole answer.
    Answer,
    /// The first words or audio.
    First,
    /// The next words or audio.
    Next,
}

/// Who has to change something for the request to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The code that made the request.
    Request,
    /// The operator: key, model, terms, address, plan.
    Operator,
    /// The provider, or the network between; it may heal by itself.
    Provider,
}

/// An error answer of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, or the one that an error inside a stream carries.
    pub status: u16,
    /// The provider's own code, `model_not_found` for instance.
    pub code: Option<String>,
    /// What the provider said, at most 400 characters.
    pub message: String,
    /// The provider's id of the request, to quote in a support case.
    pub request_id: Option<String>,
}

// === impl Error ===

impl Error {
    /// Says who has to change something.
    pub fn fault(&self) -> Fault {
        match self {
            Self::InvalidKey(_) | Self::Forbidden(_) | Self::ModelGone(_) | Self::TermsRequired(_) => {
                Fault::Operator
            }
            Self::TooLarge(_) | Self::InputTooLong { .. } | Self::Rejected(_) => Fault::Request,
            Self::RateLimited { .. }
            | Self::Unavailable(_)
            | Self::GaveUp { .. }
            | Self::Timeout(_)
            | Self::Truncated
            | Self::Nonsense(_)
            | Self::Connection(_) => Fault::Provider,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            // Groq calls 422 a model's own mistake, which a second run may not repeat.
            Self::Rejected(refusal) => refusal.status == 422,
            _ => self.fault() == Fault::Provider,
        }
    }

    /// How long the provider asked us to wait, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the provider said, if it answered with an error.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::InvalidKey(refusal)
            | Self::Forbidden(refusal)
            | Self::ModelGone(refusal)
            | Self::TermsRequired(refusal)
            | Self::RateLimited { refusal, .. }
            | Self::TooLarge(refusal)
            | Self::Rejected(refusal)
            | Self::Unavailable(refusal) => Some(refusal),
            Self::InputTooLong { .. }
            | Self::GaveUp { .. }
            | Self::Timeout(_)
            | Self::Truncated
            | Self::Nonsense(_)
            | Self::Connection(_) => None,
        }
    }

    /// The HTTP status of an error answer.
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// The provider's own code of an error answer.
    pub fn code(&self) -> Option<&str> {
        self.refusal()?.code.as_deref()
    }

    /// How long to wait before retry number `attempt` (the first is 0): what the provider asks for, else 0.25 s
    /// doubling up to 2 s. `None` when a retry cannot help, or would begin after `left` is over.
    pub fn retry_delay(&self, attempt: u32, left: Duration) -> Option<Duration> {
        let backoff = Duration::from_millis(250 << attempt.min(3));
        let delay = self.retry_after().unwrap_or(backoff);
        (self.is_retryable() && delay < left).then_some(delay)
    }

    pub(crate) fn from_transport(error: reqwest::Error) -> Self {
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => Self::Timeout(Stage::Connect),
            (false, true) => Self::Timeout(Stage::Answer),
            (_, false) => Self::Connection(error),
        }
    }

    /// Reads an HTTP error answer: by status first, then by the provider's code.
    pub(crate) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let (code, message) = parse_body(body);
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let retry_after = wait_header(headers).or_else(|| wait_sentence(&message));
        classify(Refusal { status: status.as_u16(), code, message, request_id }, retry_after)
    }

    /// Reads an `error` value that came after the 200.
    pub(crate) fn from_late_error(error: &Value) -> Self {
        let (code, message) = read_error(error);
        let status =
            error.get("status_code").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        match status {
            Some(status) if status >= 400 => {
                let retry_after = wait_sentence(&message);
                classify(Refusal { status, code, message, request_id: None }, retry_after)
            }
            _ => Self::GaveUp { message },
        }
    }
}

fn classify(refusal: Refusal, retry_after: Option<Duration>) -> Error {
    let code = refusal.code.as_deref().unwrap_or_default();
    match (refusal.status, code) {
        (_, "model_decommissioned" | "model_not_found") => Error::ModelGone(refusal),
        (_, "model_terms_required") => Error::TermsRequired(refusal),
        (_, "invalid_api_key") | (401, _) => Error::InvalidKey(refusal),
        (403, _) => Error::Forbidden(refusal),
        // Ollama and others name the model in the message only.
        (404, _) if refusal.message.to_lowercase().contains("model") => Error::ModelGone(refusal),
        // `rate_limit_exceeded` with 413 never succeeds unchanged, with 429 it does.
        (413, _) => Error::TooLarge(refusal),
        (429, _) => Error::RateLimited { refusal, retry_after },
        // 498: Groq's flex tier is full.
        (408 | 409 | 424 | 498 | 500.., _) => Error::Unavailable(refusal),
        (_, _) => Error::Rejected(refusal),
    }
}

fn parse_body(body: &[u8]) -> (Option<String>, String) {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return (None, snippet(body)) };
    let described =
        ["error", "detail", "message"].iter().find_map(|key| json.get(key).filter(|value| !value.is_null()));
    described.map_or_else(|| (None, snippet(body)), read_error)
}

/// An error value is an object with a message, a text, or (`FastAPI`) a list of objects with `msg`.
fn read_error(error: &Value) -> (Option<String>, String) {
    let first = error.get(0).unwrap_or(error);
    let code = first.get("code").and_then(Value::as_str).map(str::to_owned);
    let message =
        ["message", "msg"].iter().find_map(|key| first.get(key)?.as_str()).or_else(|| first.as_str());
    let message = message.map_or_else(|| first.to_string(), str::to_owned);
    (code, snippet(message.as_bytes()))
}

fn wait_header(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// "… Please try again in 9m38.016s. Need more tokens? …"
fn wait_sentence(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("try again in ")?;
    parse_go_duration(rest.split_whitespace().next()?.trim_end_matches('.'))
}

// === impl Refusal ===

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.message)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        Ok(())
    }
}

// === impl Stage ===

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "a connection",
            Self::Answer => "the answer",
            Self::First => "the first piece",
            Self::Next => "the next piece",
        })
    }
}

#[cfg(test)]
mod tests;
