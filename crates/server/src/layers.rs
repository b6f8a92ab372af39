//! The layers that every RPC passes, written down once, outermost first:
//!
//! 1. catch panics: a bug in one handler costs one request, not the connection;
//! 2. trace: everything below belongs to the caller's trace;
//! 3. metrics: counts also what the layers below refuse;
//! 4. authentication: strangers cost nothing further;
//! 5. concurrency limit: more than the process can carry is refused at once, not queued;
//! 6. deadline: the handler is dropped when its caller has stopped waiting.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::{Status, body::Body};
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::{
    auth::{Refusal, Tokens},
    status::{Reason, ServiceError, into_status, reason},
    timeout,
    trace::TraceContext,
};

/// Health is for load balancers, which carry no token.
const OPEN_PREFIX: &str = "/grpc.health.v1.Health/";

/// A unary call without a deadline of its own gets this one.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Requests being set up at the same time; streams count until they are open.
const MAX_CONCURRENT: usize = 2_048;

/// Layers 2 to 6 as one service: they share the request's path and answer in the same form.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
    tokens: Tokens,
    permits: Arc<Semaphore>,
}

/// Until when the caller of a unary RPC waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// That of a request that has passed the layers; for one that has not, that of a request without one.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let known = request.extensions().get::<Self>().copied();
        known.unwrap_or_else(|| Self(Instant::now() + DEFAULT_DEADLINE))
    }
}

/// Makes [`Guard`]s.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer {
    tokens: Tokens,
    permits: Arc<Semaphore>,
}

impl GuardLayer {
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self { tokens, permits: Arc::new(Semaphore::new(MAX_CONCURRENT)) }
    }
}

impl<S> tower::Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, tokens: self.tokens.clone(), permits: self.permits.clone() }
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let method = request.uri().path().to_owned();
        let context = header(&request, "traceparent")
            .and_then(TraceContext::parse)
            .map_or_else(TraceContext::start, TraceContext::child);
        let span = tracing::info_span!("rpc", method = %method, trace.id = %context.trace_id());
        let refusal = self.refusal(&request, &method);
        let deadline = timeout::of(request.headers()).unwrap_or(DEFAULT_DEADLINE);
        request.extensions_mut().insert(Deadline(started + deadline));
        let permit = self.permits.clone().try_acquire_owned();
        // The clone that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let work = async move {
            let response = match (refusal, permit) {
                (Some(status), _) => status.into_http(),
                (None, Err(_)) => into_status(&Overloaded).into_http(),
                (None, Ok(_permit)) => match tokio::time::timeout(deadline, inner.call(request)).await {
                    Ok(response) => explained(response?, &method),
                    Err(_) => into_status(&DeadlinePassed).into_http(),
                },
            };
            record(&method, &response, started.elapsed());
            Ok(response)
        };
        Box::pin(context.scope(work).instrument(span))
    }
}

impl<S> Guard<S> {
    fn refusal(&self, request: &Request<Body>, path: &str) -> Option<Status> {
        if path.starts_with(OPEN_PREFIX) {
            return None;
        }
        self.tokens.check(header(request, "authorization")).err().map(|refusal| into_status(&refusal))
    }
}

/// Layer 1.
pub(crate) fn catch_panic() -> CatchPanicLayer<fn(Box<dyn Any + Send>) -> Response<Body>> {
    CatchPanicLayer::custom(internal_error as fn(Box<dyn Any + Send>) -> Response<Body>)
}

fn internal_error(panic: Box<dyn Any + Send>) -> Response<Body> {
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = message.unwrap_or("unknown"), "a handler panicked");
    into_status(&Panicked).into_http()
}

fn header<'a>(request: &'a Request<Body>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// What the router says of a method that it does not know comes without a reason.
fn explained(response: Response<Body>, method: &str) -> Response<Body> {
    let headers = response.headers();
    let is_unknown = headers.get(Status::GRPC_STATUS).is_some_and(|code| code == "12")
        && !headers.contains_key("grpc-status-details-bin");
    if is_unknown { into_status(&UnknownMethod(method.to_owned())).into_http() } else { response }
}

fn record(method: &str, response: &Response<Body>, elapsed: Duration) {
    let code =
        response.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or("0").to_owned();
    let labels = [("method", method.to_owned()), ("code", code)];
    metrics::counter!("rpc_requests_total", &labels).increment(1);
    metrics::histogram!("rpc_duration_seconds", &labels).record(elapsed.as_secs_f64());
}

#[derive(Debug, thiserror::Error)]
#[error("too many requests at once; try again")]
struct Overloaded;

impl ServiceError for Overloaded {
    fn reason(&self) -> Reason {
        reason::OVERLOADED
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the deadline has passed")]
pub(crate) struct DeadlinePassed;

impl ServiceError for DeadlinePassed {
    fn reason(&self) -> Reason {
        reason::DEADLINE_EXCEEDED
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

impl ServiceError for Panicked {
    fn reason(&self) -> Reason {
        reason::INTERNAL
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no RPC \"{0}\" here; reflection tells which there are")]
struct UnknownMethod(String);

impl ServiceError for UnknownMethod {
    fn reason(&self) -> Reason {
        reason::METHOD_UNKNOWN
    }
}

impl ServiceError for Refusal {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => reason::TOKEN_MISSING,
            Self::Unknown => reason::TOKEN_UNKNOWN,
        }
    }
}
