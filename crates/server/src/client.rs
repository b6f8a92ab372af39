//! Clients between services. Behind one channel is any number of instances, from a list or from a name that is looked
//! up again and again. Each request goes to the less busy of two that are well; one that stays silent, breaks off or
//! is being drained gets none; what may be repeated goes to another one. Every request carries the mesh's token and
//! the trace.
//!
//! Tower's balancer was tried on paper and left: it needs another queue in front of it, knows no way to exclude the
//! instance that has just failed a request from its repetition, and with every instance ejected waits instead of
//! trying.

mod addrs;
mod answer;
mod attempt;
mod directory;
mod member;
mod pool;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use http::{HeaderValue, Request, Response, header};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Status, body::Body};
use tower::Service;

pub use self::directory::Directory;
use self::pool::Pool;
use crate::{
    status::{Reason, ServiceError, reason},
    tls::Tls,
    trace::TraceContext,
};

/// A service of the mesh, as others call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Live calls.
    Relay,
    /// Turns.
    Worker,
    /// Speech.
    Tts,
    /// An operator's own functions.
    Tools,
}

/// How services call each other.
#[derive(Clone, Debug, Default)]
pub struct ClientConfig {
    token: Option<SecretString>,
    tls: Tls,
}

/// A client's connection to a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Channel {
    pool: Arc<Pool>,
    authorization: Option<HeaderValue>,
}

/// No instance of a service gave an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// None could be reached, or it broke off.
    #[error("{} does not answer", .0.name())]
    Unreachable(Peer),
    /// None was in time.
    #[error("{} gave no answer within the deadline", .0.name())]
    Late(Peer),
}

impl Peer {
    /// As logs and metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Worker => "worker",
            Self::Tts => "tts",
            Self::Tools => "tools",
        }
    }
}

impl ServiceError for Failure {
    fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => reason::SERVICE_UNAVAILABLE,
            Self::Late(_) => reason::DEADLINE_EXCEEDED,
        }
    }
}

impl ClientConfig {
    /// Shows this token, and believes whom `tls` does.
    pub fn new(token: Option<SecretString>, tls: Tls) -> Self {
        Self { token, tls }
    }

    /// The same with another token, for those who must not know the mesh's.
    #[must_use]
    pub fn with_token(&self, token: Option<SecretString>) -> Self {
        Self { token, tls: self.tls.clone() }
    }
}

/// A channel to a service, of which nothing is asked yet. `addrs` is a list separated by commas; each item is
/// `host:port`, where the host may be a name that stands for several instances. Without `http://` or `https://` it is
/// the latter if the mesh has a certificate authority of its own.
///
/// # Errors
/// When an address or the token cannot be used.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn channel(peer: Peer, addrs: &str, config: &ClientConfig) -> anyhow::Result<Channel> {
    let targets = addrs::parse(addrs, config.tls.is_for_clients())?;
    let authorization = config.token.as_ref().map(|token| {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .context("the token is not printable ASCII")?;
        value.set_sensitive(true);
        anyhow::Ok(value)
    });
    let pool = Arc::new(Pool::open(peer, targets, config.tls.clone())?);
    Ok(Channel { pool, authorization: authorization.transpose()? })
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let headers = request.headers_mut();
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(context) = TraceContext::current()
            && let Ok(value) = HeaderValue::try_from(context.child().to_string())
        {
            headers.insert("traceparent", value);
        }
        let pool = self.pool.clone();
        Box::pin(async move { attempt::send(&pool, request).await })
    }
}

#[cfg(test)]
mod tests;
