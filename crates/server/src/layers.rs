//! The layers that every RPC passes, written down once, outermost first:
//!
//! 1. catch panics: a bug in one handler costs one request, not the connection;
//! 2. trace: everything below belongs to the caller's trace;
//! 3. metrics: counts also what the layers below refuse;
//! 4. authentication: strangers cost nothing further, and a token does what it is for, as often as it may;
//! 5. limits: of streams on a connection and of requests in the process; more is refused at once, not queued;
//! 6. deadline: the handler is dropped when its caller has stopped waiting, in mid-stream too;
//! 7. size: a message that is too large is not read.

mod answer;
mod message;
mod streams;

use std::{
    any::Any,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Method as Verb, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body, transport::server::TcpConnectInfo};
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use self::{
    answer::{Answer, Open},
    message::Measured,
    streams::{Stream, Streams},
};
use crate::{
    auth::{Caller, ON_BEHALF_OF, Refusal, Tokens},
    methods::{self, Method},
    status::{Reason, ServiceError, code_in, code_name, into_status, reason},
    telemetry, timeout,
    trace::TraceContext,
    unreadable::Unreadable,
};

/// Health is for load balancers, which carry no token.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Reflection is for whoever has any token.
const REFLECTION: &str = "/grpc.reflection.";

/// Where the process's metrics are, by plain HTTP, for whoever has any token.
const METRICS: &str = "/metrics";

/// A unary call without a deadline of its own gets this one.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Requests being set up at the same time; streams count until they are open.
const MAX_CONCURRENT: usize = 2_048;

/// What the process can carry, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Who may call.
    pub(crate) tokens: Tokens,
    /// Streams that one connection may have at a time.
    pub(crate) streams_per_connection: u32,
    /// The largest message, in bytes.
    pub(crate) message_bytes: usize,
}

/// Layers 2 to 7 as one service: they share the request's path and answer in the same form.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
    gate: Arc<Gate>,
}

/// Makes [`Guard`]s.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer {
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    tokens: Tokens,
    streams: Streams,
    message_bytes: usize,
    permits: Arc<Semaphore>,
    /// Ends whatever still goes on.
    stop: CancellationToken,
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

impl GuardLayer {
    /// Keeps `limits`; whatever still goes on when `stop` is cancelled ends with a reason.
    pub(crate) fn new(limits: Limits, stop: CancellationToken) -> Self {
        let Limits { tokens, streams_per_connection, message_bytes } = limits;
        let streams = Streams::new(streams_per_connection);
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT));
        Self { gate: Arc::new(Gate { tokens, streams, message_bytes, permits, stop }) }
    }
}

impl<S> tower::Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, gate: self.gate.clone() }
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let path = request.uri().path();
        let method = methods::find(path);
        let label = label(path, method);
        let context = header(&request, "traceparent")
            .and_then(TraceContext::parse)
            .map_or_else(TraceContext::start, TraceContext::child);
        let span = tracing::info_span!("rpc", method = label, trace.id = %context.trace_id());
        let gate = self.gate.clone();
        // The clone that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let work = async move {
            let answered = match gate.admit(&request, method) {
                Err(status) => Ok(status.into_http()),
                Ok(_) if label == METRICS => Ok(Response::new(Body::new(telemetry::render_metrics()))),
                Ok(admitted) => gate.carry(&mut inner, request, admitted, label, started).await,
            };
            if let Ok(response) = &answered {
                record(label, response, started.elapsed());
            }
            answered
        };
        Box::pin(context.scope(work).instrument(span))
    }
}

/// What a request holds that was let in.
struct Admitted {
    caller: Caller,
    stream: Option<Stream>,
    /// Until the answer begins.
    permit: OwnedSemaphorePermit,
}

impl Gate {
    fn admit(&self, request: &Request<Body>, method: Option<&Method>) -> Result<Admitted, Status> {
        let (path, shown) = (request.uri().path(), header(request, "authorization"));
        let caller = match method {
            Some(method) => self.tokens.admit(shown, Some(method.scope)),
            None if path.starts_with(HEALTH) => Ok(Caller::anybody()),
            None if path.starts_with(REFLECTION) => self.tokens.admit(shown, None),
            None if path == METRICS && request.method() == Verb::GET => self.tokens.admit(shown, None),
            None => self.tokens.admit_to_anything(shown),
        };
        let caller = caller.map_err(|refusal: Refusal| into_status(&refusal))?;
        let caller = caller.or_whom_it_asks_for(header(request, ON_BEHALF_OF));
        let stream = peer(request).map(|peer| self.streams.open(peer)).transpose();
        let stream = stream.map_err(|error| into_status(&error))?;
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| into_status(&Overloaded))?;
        Ok(Admitted { caller, stream, permit })
    }

    async fn carry<S>(
        &self,
        inner: &mut S,
        request: Request<Body>,
        admitted: Admitted,
        label: &'static str,
        started: Instant,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let Admitted { caller, stream, permit: _permit } = admitted;
        let open = Open::new(label, stream);
        let own_deadline = timeout::of(request.headers()).map(|timeout| started + timeout);
        let deadline = own_deadline.unwrap_or(started + DEFAULT_DEADLINE);
        let path = methods::find(request.uri().path()).is_none().then(|| request.uri().path().to_owned());
        let mut request = request.map(|body| Body::new(Measured::new(body, self.message_bytes)));
        request.extensions_mut().insert(Deadline(deadline));
        request.extensions_mut().insert(caller);
        let answered = tokio::select! {
            answered = tokio::time::timeout_at(deadline.into(), inner.call(request)) => answered,
            () = self.stop.cancelled() => return Ok(into_status(&Stopping).into_http()),
        };
        let Ok(response) = answered else { return Ok(into_status(&DeadlinePassed).into_http()) };
        let response = explained(response?, path);
        Ok(response.map(|body| Body::new(Answer::new(body, open, own_deadline, self.stop.clone()))))
    }
}

/// Stands for everything that is not known by name, so that nobody can make up labels.
const OTHER: &str = "other";

fn label(path: &str, method: Option<&Method>) -> &'static str {
    match method {
        Some(method) => method.path,
        None if path.starts_with(HEALTH) => "health",
        None if path.starts_with(REFLECTION) => "reflection",
        None if path == METRICS => METRICS,
        None => OTHER,
    }
}

fn peer(request: &Request<Body>) -> Option<SocketAddr> {
    request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)
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

/// What the router says of a method that it does not know, and tonic of a message that it cannot read, comes without a
/// reason.
fn explained(response: Response<Body>, unknown_path: Option<String>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else { return response };
    match (Unreadable::of(&status), unknown_path) {
        (Some(unreadable), _) => {
            let mut told = into_status(&unreadable);
            // Such as which compressions there are.
            *told.metadata_mut() = status.metadata().clone();
            told.into_http()
        }
        (None, Some(path)) if status.code() == Code::Unimplemented => {
            into_status(&UnknownMethod(path)).into_http()
        }
        (None, _) => response,
    }
}

fn record(method: &'static str, response: &Response<Body>, elapsed: Duration) {
    let code = code_name(code_in(response.headers()));
    metrics::counter!("rpc_requests_total", "method" => method, "code" => code).increment(1);
    metrics::histogram!("rpc_duration_seconds", "method" => method, "code" => code)
        .record(elapsed.as_secs_f64());
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

#[derive(Debug, thiserror::Error)]
#[error("the process is being stopped")]
struct Stopping;

impl ServiceError for Stopping {
    fn reason(&self) -> Reason {
        reason::STOPPING
    }
}

#[cfg(test)]
mod tests;
