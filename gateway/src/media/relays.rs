//! The relays that media is bridged to, by address.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyStream, StreamBody};
use tonic::{Status, body::Body};
use tower::Service;
use voice_proto::relay::v1::relay_service_client::RelayServiceClient;
use voice_server::client::{Channel, ClientConfig, Directory, Peer};

/// Connections to relays.
#[derive(Debug)]
pub(crate) struct Relays {
    directory: Directory,
}

/// A way to break off a request whose stream must not seem complete.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker(Arc<AtomicBool>);

/// A channel whose requests a breaker can break off.
#[derive(Clone, Debug)]
pub(super) struct Breakable {
    channel: Channel,
    breaker: Breaker,
}

impl Relays {
    pub(crate) fn new(client: ClientConfig) -> Self {
        Self { directory: Directory::new(Peer::Relay, client) }
    }

    /// A client of the relay at an address.
    pub(crate) fn at(&self, addr: &str) -> anyhow::Result<RelayServiceClient<Channel>> {
        self.directory.at(addr).map(RelayServiceClient::new)
    }

    /// The same, with requests that can be broken off.
    pub(super) fn breakable(
        &self,
        addr: &str,
        breaker: Breaker,
    ) -> anyhow::Result<RelayServiceClient<Breakable>> {
        let channel = self.directory.at(addr)?;
        Ok(RelayServiceClient::new(Breakable { channel, breaker }))
    }
}

impl Breaker {
    /// From now on the end of a request's stream is an error to whoever reads it.
    pub(super) fn break_off(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Service<Request<Body>> for Breakable {
    type Response = Response<Body>;
    type Error = Status;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let breaker = self.breaker.clone();
        let end = stream::poll_fn(move |_| {
            let is_broken = breaker.0.load(Ordering::Acquire);
            Poll::Ready(is_broken.then(|| Err(Status::cancelled("the leg broke"))))
        });
        self.channel.call(request.map(|body| Body::new(StreamBody::new(BodyStream::new(body).chain(end)))))
    }
}
