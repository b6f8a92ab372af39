//! What every request and every answer have in common: addresses, the key, headers, the form of an error, the journal.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, HttpBody as _, to_bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{
    chat, control,
    journal::{Guard, Service},
    models, speech,
    state::Sim,
    transcription,
};

/// The largest file of a direct upload.
pub(super) const FILE_LIMIT: usize = 25 * 1024 * 1024;
/// The same with the rest of the form.
const BODY_LIMIT: usize = FILE_LIMIT + 64 * 1024;

/// An error answer as Groq words it.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: Option<String>,
    message: String,
}

pub(super) fn router(sim: Arc<Sim>) -> Router {
    let api = Router::new()
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::find))
        .route("/chat/completions", post(chat::complete))
        .route("/audio/transcriptions", post(transcription::transcribe))
        .route("/audio/speech", post(speech::speak))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(Arc::clone(&sim), observe));
    Router::new()
        .nest("/openai/v1", api.clone())
        .nest("/v1", api)
        .nest("/sim", control::router())
        .fallback(unknown)
        .with_state(sim)
}

async fn unknown(uri: Uri) -> Refusal {
    let message = format!("Unknown request URL: {}. Please check the URL for typos.", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, Some("unknown_url"), &message)
}

async fn observe(State(sim): State<Arc<Sim>>, mut request: Request, next: Next) -> Response {
    let service = service_of(request.uri().path());
    let headers = request.headers();
    let bytes = text(headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let is_allowed = text(headers, "authorization") == Some(&format!("Bearer {}", sim.api_key));
    let told = [("user_agent", "user-agent"), ("retry_count", "x-stainless-retry-count")]
        .into_iter()
        .filter_map(|(name, header)| Some((name.to_owned(), text(headers, header)?.into())));
    let version = ("http_version".to_owned(), format!("{:?}", request.version()).into());
    let details = told.chain([version]).collect();

    let entry = sim.journal.open(service, bytes, details);
    let guard = entry.guard();
    let mut response = if is_allowed {
        request.extensions_mut().insert(entry.clone());
        next.run(request).await
    } else {
        // A client that is still sending would see a broken connection instead of the answer.
        drop(to_bytes(request.into_body(), BODY_LIMIT).await);
        Refusal::new(StatusCode::UNAUTHORIZED, Some("invalid_api_key"), "Invalid API Key").into_response()
    };
    entry.set_status(response.status().as_u16());
    add_headers(response.headers_mut(), entry.request_id(), sim.count(), service);
    watch_body(response, guard)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn service_of(path: &str) -> Service {
    match path.rsplit('/').next() {
        Some("completions") => Service::Llm,
        Some("transcriptions") => Service::Stt,
        Some("speech") => Service::Tts,
        _ => Service::Models,
    }
}

fn add_headers(headers: &mut HeaderMap, request_id: &str, asked: u64, service: Service) {
    let mut set = |name: &'static str, value: &str| {
        headers.insert(name, HeaderValue::from_str(value).expect("digits and letters make a header"));
    };
    set("x-request-id", request_id);
    set("x-groq-region", "sim");
    set("vary", "Origin");
    set("x-ratelimit-limit-requests", "14400");
    set("x-ratelimit-remaining-requests", &14_400_u64.saturating_sub(asked + 1).to_string());
    set("x-ratelimit-reset-requests", "6s");
    if service == Service::Stt {
        set("x-ratelimit-limit-audio-seconds", "7200");
        set("x-ratelimit-remaining-audio-seconds", "7190");
        set("x-ratelimit-reset-audio-seconds", "5s");
    } else {
        set("x-ratelimit-limit-tokens", "8000");
        set("x-ratelimit-remaining-tokens", "7650");
        set("x-ratelimit-reset-tokens", "2.625s");
    }
}

/// Notes in the journal when the last byte is given, or that the client went away before.
fn watch_body(response: Response, guard: Guard) -> Response {
    let (mut parts, body) = response.into_parts();
    let length = body.size_hint().exact();
    if length == Some(0) {
        guard.answered();
        return Response::from_parts(parts, Body::empty());
    }
    if let Some(length) = length {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let watched = async_stream::stream! {
        let mut guard = Some(guard);
        let mut data = body.into_data_stream();
        let mut given = 0;
        while let Some(piece) = data.next().await {
            match &piece {
                Ok(piece) => given += piece.len() as u64,
                // Dropping the guard notes the break.
                Err(_) => guard = None,
            }
            // A body of known length is not asked again after its last byte.
            if length == Some(given) {
                guard.take().map(Guard::answered).unwrap_or_default();
            }
            yield piece;
        }
        guard.take().map(Guard::answered).unwrap_or_default();
    };
    Response::from_parts(parts, Body::from_stream(watched))
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(status: StatusCode, code: Option<&str>, message: &str) -> Self {
        Self { status, code: code.map(str::to_owned), message: message.to_owned() }
    }

    /// A bad parameter: most of these have no code.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: None, message: message.into() }
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self { status: StatusCode::NOT_FOUND, code: Some("model_not_found".to_owned()), message }
    }

    pub(super) fn decommissioned(model: &str) -> Self {
        let message = format!(
            "The model `{model}` has been decommissioned and is no longer supported. Please refer to \
             https://console.groq.com/docs/deprecations for a recommendation on which model to use instead."
        );
        Self { status: StatusCode::BAD_REQUEST, code: Some("model_decommissioned".to_owned()), message }
    }

    /// The simulator itself fails: its reason belongs in the answer, where the test's author sees it.
    pub(super) fn broken_simulator(error: &anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "the simulator cannot answer");
        Self {
            status: StatusCode::NOT_IMPLEMENTED,
            code: Some("simulator".to_owned()),
            message: format!("{error:#}"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = match (self.code.as_deref(), self.status.as_u16()) {
            (Some("rate_limit_exceeded"), _) => "tokens",
            (_, 500..) => "internal_server_error",
            (_, _) => "invalid_request_error",
        };
        let mut error = json!({ "message": self.message, "type": kind });
        if let Some(code) = self.code {
            error["code"] = Value::String(code);
        }
        (self.status, axum::Json(json!({ "error": error }))).into_response()
    }
}
