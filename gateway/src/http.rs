//! The routes, and what every request passes: panics caught, a bound on requests at once, a deadline, tokens.

pub(crate) mod audio;
pub(crate) mod generate;
pub(crate) mod health;
mod media;
mod webhooks;

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tower_http::catch_panic::CatchPanicLayer;
use voice_clips::Clips;
use voice_proto::tts::v1::tts_service_client::TtsServiceClient;
use voice_server::{
    auth::Tokens,
    client::Channel,
    methods::Scope,
    status::reason::{DEADLINE_EXCEEDED, OVERLOADED},
    trace::TraceContext,
};

use crate::{
    hot::Hot,
    media::Media,
    problem::Problem,
    reason::{METHOD_NOT_ALLOWED, NO_SUCH_ROUTE},
    web,
    webhooks::{Legs, Webhooks},
};

/// Requests at once; one more is refused.
const MOST_REQUESTS: usize = 1_024;
/// Largest body: a text of 4,000 characters needs a fraction of it.
const LARGEST_BODY: usize = 64 * 1024;
/// The longest request.
const DEADLINE: Duration = Duration::from_secs(10);

/// What handlers use.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) clips: Clips,
    pub(crate) hot: Hot,
    /// Names of clips whose use is to be written down.
    pub(crate) used: mpsc::Sender<String>,
    pub(crate) tts: TtsServiceClient<Channel>,
    pub(crate) dependencies: Vec<(&'static str, Channel)>,
    /// What is served by gRPC-Web, by name.
    pub(crate) services: [(&'static str, Channel); 3],
    /// Origins whose pages may ask.
    pub(crate) allowed_origins: Vec<HeaderValue>,
    pub(crate) tokens: Tokens,
    /// Name of the default greeting's clip, once it has been made.
    pub(crate) welcome: Mutex<Option<String>>,
    pub(crate) permits: Semaphore,
    pub(crate) media: Arc<Media>,
    pub(crate) webhooks: Webhooks,
    pub(crate) legs: Legs,
}

impl Edge {
    pub(crate) fn permits() -> Semaphore {
        Semaphore::new(MOST_REQUESTS)
    }
}

/// All routes.
pub(crate) fn router(edge: Arc<Edge>) -> Router {
    let mut router = Router::new();
    for (name, channel) in &edge.services {
        let service = web::serve(channel.clone(), edge.tokens.clone());
        router = router.route_service(&format!("/{name}/{{method}}"), service);
    }
    router
        .route("/audio/welcome.wav", get(audio::welcome))
        .route("/audio/{filename}", get(audio::clip))
        .route("/generate-audio", post(generate::generate_audio))
        .route("/media", get(media::by_header))
        .route("/media/{token}", get(media::by_path))
        .route("/webhooks/signalwire/voice", post(webhooks::voice))
        .route("/webhooks/signalwire/stream", post(webhooks::stream))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(edge.clone(), guard))
        .layer(web::cors(&edge.allowed_origins))
        .layer(CatchPanicLayer::custom(panicked as fn(Box<dyn Any + Send>) -> Response))
        .with_state(edge)
}

async fn not_found() -> Problem {
    Problem::new(NO_SUCH_ROUTE, "there is nothing at this address")
}

async fn method_not_allowed() -> Problem {
    Problem::new(METHOD_NOT_ALLOWED, "this address does not take this method")
}

fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

async fn guard(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace = trace.and_then(TraceContext::parse).map_or_else(TraceContext::start, TraceContext::child);
    let route = route_of(request.uri().path());
    let response = match admit(&edge, &request) {
        Err(problem) => problem.into_response(),
        Ok(_permit) => {
            let answer = tokio::time::timeout(DEADLINE, trace.scope(next.run(request))).await;
            answer
                .unwrap_or_else(|_| Problem::of(DEADLINE_EXCEEDED, "the deadline has passed").into_response())
        }
    };
    let labels = [("route", route.to_owned()), ("status", response.status().as_u16().to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_duration_seconds", "route" => route).record(started.elapsed().as_secs_f64());
    response
}

fn admit<'a>(edge: &'a Edge, request: &Request) -> Result<tokio::sync::SemaphorePermit<'a>, Problem> {
    let path = request.uri().path();
    // The last two have tokens and signatures of their own.
    let is_open = path == "/healthz"
        || ["/audio/", "/media/", "/webhooks/signalwire/"].iter().any(|open| path.starts_with(open))
        || path == "/media";
    if !is_open && !is_grpc(path) {
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        edge.tokens.admit(shown, scope_of(path)).map_err(|refusal| Problem::of_error(&refusal))?;
    }
    edge.permits.try_acquire().map_err(|_| Problem::of(OVERLOADED, "too many requests at once; try again"))
}

/// What a token must be for.
fn scope_of(path: &str) -> Option<Scope> {
    (path == "/generate-audio").then_some(Scope::Speech)
}

/// Whether it is an RPC, which asks for a token by itself and is refused as RPCs are.
fn is_grpc(path: &str) -> bool {
    path.starts_with("/voice.")
}

/// A label of few values: file names are not among them.
fn route_of(path: &str) -> &'static str {
    match path {
        "/generate-audio" => "/generate-audio",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        "/webhooks/signalwire/voice" => "/webhooks/signalwire/voice",
        "/webhooks/signalwire/stream" => "/webhooks/signalwire/stream",
        "/media" => "/media",
        path if path.starts_with("/media/") => "/media",
        path if path.starts_with("/audio/") => "/audio",
        path if is_grpc(path) => "grpc-web",
        _ => "other",
    }
}
