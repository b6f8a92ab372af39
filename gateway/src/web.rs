//! gRPC-Web: what browsers can speak of gRPC, translated and passed on to the services. It is the gateway that asks for
//! the caller's token; the services know the gateway by its own, and are told for whom it asks.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{
    HeaderName, HeaderValue, Method, Request, Response,
    header::{self, HeaderMap},
};
use tonic::{Status, body::Body};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};
use tower_http::cors::{AllowOrigin, CorsLayer};
use voice_server::{
    auth::{Caller, Tokens},
    client::Channel,
    methods,
    status::{Reason, ServiceError, into_status, reason},
};

/// Headers of a request that mean something to a service. Everything else is between browser and gateway.
const PASSED_ON: [&str; 5] = ["content-type", "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding"];

/// What browsers of other origins may send, and what they may read.
const ASKED: [&str; 6] =
    ["authorization", "content-type", "grpc-timeout", "traceparent", "x-grpc-web", "x-user-agent"];
const TOLD: [&str; 4] = ["grpc-status", "grpc-message", "grpc-status-details-bin", "retry-after"];

/// How long a browser remembers what it may do.
const REMEMBERED: Duration = Duration::from_hours(2);

/// A service of the mesh, behind this port.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    channel: Channel,
    tokens: Tokens,
}

/// Serves what is behind `channel` to whoever has one of `tokens`.
pub(crate) fn serve(channel: Channel, tokens: Tokens) -> GrpcWebService<Upstream> {
    GrpcWebLayer::new().layer(Upstream { channel, tokens })
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let admitted = self.admit(&request);
        let mut channel = self.channel.clone();
        Box::pin(async move {
            let answer = match admitted {
                Ok(caller) => channel.call(passed_on(request, &caller)).await,
                Err(refusal) => Err(refusal),
            };
            Ok(answer.unwrap_or_else(Status::into_http))
        })
    }
}

impl Upstream {
    /// The service would take anything that the gateway asks for.
    fn admit(&self, request: &Request<Body>) -> Result<Caller, Status> {
        let path = request.uri().path();
        let method = methods::find(path).ok_or_else(|| into_status(&UnknownMethod(path.to_owned())))?;
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.tokens.admit(shown, Some(method.scope)).map_err(|refusal| into_status(&refusal))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no RPC \"{0}\" here")]
struct UnknownMethod(String);

impl ServiceError for UnknownMethod {
    fn reason(&self) -> Reason {
        reason::METHOD_UNKNOWN
    }
}

/// The request as the gateway's own, for somebody.
fn passed_on(request: Request<Body>, caller: &Caller) -> Request<Body> {
    let (parts, body) = request.into_parts();
    let mut headers = HeaderMap::new();
    for name in PASSED_ON.map(HeaderName::from_static) {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    caller.tell(&mut headers);
    let mut passed = Request::new(body);
    (*passed.method_mut(), *passed.uri_mut(), *passed.headers_mut()) = (parts.method, parts.uri, headers);
    passed
}

/// Lets pages of these origins in; `*` lets in any. A token is what counts, so cookies are never taken.
pub(crate) fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(ASKED.map(HeaderName::from_static))
        .expose_headers(TOLD.map(HeaderName::from_static))
        .max_age(REMEMBERED)
}
