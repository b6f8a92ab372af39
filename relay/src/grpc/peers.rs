//! The other relays. Any relay answers for all of them: what concerns a call of another one is passed on to it, once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, future::join_all, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataValue};
use voice_ledger::{Owner, RelayId};
use voice_proto::relay::v1::{
    GetCallRequest, ListCallsRequest, ListCallsResponse, relay_service_client::RelayServiceClient,
};
use voice_server::{
    Deadline,
    client::{Channel, ClientConfig, Directory, Peer},
};

use crate::kept::Ledger;

/// Marks a request that has come from another relay: it goes no further.
const PASSED_ON: &str = "voice-passed-on";

/// Until another relay has said which calls it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// The other relays.
#[derive(Debug)]
pub(crate) struct Peers {
    ledger: Ledger,
    directory: Directory,
}

/// What another relay has to say of its calls.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) addr: String,
    /// `None` if it does not answer.
    pub(super) page: Option<ListCallsResponse>,
}

impl Peers {
    /// Those that the ledger knows of.
    pub(crate) fn new(ledger: Ledger, client: ClientConfig) -> Self {
        Self { ledger, directory: Directory::new(Peer::Relay, client) }
    }

    /// Who this relay is.
    pub(super) fn own_id(&self) -> &RelayId {
        self.ledger.relay_id()
    }

    /// The relay that has a call which this one has not; `None` if there is none, or the request has been passed on
    /// already.
    pub(super) async fn owner<T>(
        &self,
        request: &Request<T>,
        call_id: &str,
    ) -> Option<RelayServiceClient<Channel>> {
        if is_passed_on(request) {
            return None;
        }
        self.owner_of(call_id).await
    }

    /// Which relay makes ids like that of a call.
    pub(super) async fn home_of(&self, call_id: &str) -> Owner {
        self.ledger.owner(call_id).await
    }

    /// The relay that has a call which this one has not.
    pub(super) async fn owner_of(&self, call_id: &str) -> Option<RelayServiceClient<Channel>> {
        match self.home_of(call_id).await {
            Owner::Here => None,
            Owner::There(addr) => self.at(&addr),
            // Gateways give ids that tell nothing of the relay.
            Owner::Nobody => self.whoever_has(call_id).await,
        }
    }

    async fn whoever_has(&self, call_id: &str) -> Option<RelayServiceClient<Channel>> {
        let asked =
            self.ledger.others().into_iter().filter_map(|addr| self.at(&addr)).map(|relay| async move {
                let request = within(Request::new(GetCallRequest { call_id: call_id.to_owned() }), PATIENCE);
                relay.clone().get_call(request).await.ok().map(|_| relay)
            });
        join_all(asked).await.into_iter().flatten().next()
    }

    /// The calls of all other relays, page by page.
    pub(super) async fn list(&self, request: &ListCallsRequest, deadline: Deadline) -> Vec<Listed> {
        let left = deadline.0.saturating_duration_since(Instant::now());
        // What comes too late would be of no use to whoever asks.
        let patience = PATIENCE.min(left.mul_f32(0.8));
        let asked = self.ledger.others().into_iter().map(|addr| async move {
            let page = match self.at(&addr) {
                Some(mut relay) => relay.list_calls(within(Request::new(request.clone()), patience)).await,
                None => Err(Status::unavailable("it is at no address that can be called")),
            };
            let page = page.map(Response::into_inner);
            if let Err(status) = &page {
                tracing::warn!(relay = addr, %status, "a relay does not say which calls it has");
            }
            Listed { addr, page: page.ok() }
        });
        join_all(asked).await
    }

    fn at(&self, addr: &str) -> Option<RelayServiceClient<Channel>> {
        match self.directory.at(addr) {
            Ok(channel) => Some(RelayServiceClient::new(channel)),
            Err(error) => {
                tracing::error!(%error, addr, "a relay is at no address that can be called");
                None
            }
        }
    }
}

/// Whether a request has come from another relay.
pub(super) fn is_passed_on<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(PASSED_ON)
}

/// The same request for another relay, with what is left of its time.
pub(super) fn onward<T>(request: Request<T>) -> Request<T> {
    let Deadline(deadline) = Deadline::of(&request);
    within(Request::new(request.into_inner()), deadline.saturating_duration_since(Instant::now()))
}

/// The same for a stream, which lasts for as long as somebody reads it: what ends it here, at its deadline too, ends it
/// there.
pub(super) fn onward_for_long<T>(request: Request<T>) -> Request<T> {
    marked(Request::new(request.into_inner()))
}

fn within<T>(request: Request<T>, time: Duration) -> Request<T> {
    let mut request = marked(request);
    request.set_timeout(time);
    request
}

fn marked<T>(mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert(PASSED_ON, MetadataValue::from_static("1"));
    request
}

/// What another relay has answered, as an answer of this one.
pub(super) fn back<T>(answer: Result<Response<T>, Status>) -> Result<Response<T>, Status> {
    match answer {
        Ok(answer) => Ok(Response::new(answer.into_inner())),
        Err(status) => Err(bare(&status)),
    }
}

/// The same of a stream.
pub(super) fn stream_back<T: Send + 'static>(
    answer: Result<Response<Streaming<T>>, Status>,
) -> Result<Response<BoxStream<'static, Result<T, Status>>>, Status> {
    match answer {
        Ok(answer) => {
            let items = answer.into_inner().map(|item| item.map_err(|status| bare(&status)));
            Ok(Response::new(items.boxed()))
        }
        Err(status) => Err(bare(&status)),
    }
}

/// A status without what concerned the connection that it came over.
fn bare(status: &Status) -> Status {
    Status::with_details(status.code(), status.message(), Bytes::copy_from_slice(status.details()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request says of its time, in milliseconds.
    fn timeout_ms(request: &Request<()>) -> Option<u128> {
        let value = request.metadata().get("grpc-timeout")?.to_str().unwrap();
        let (digits, unit) = value.split_at(value.len() - 1);
        let amount: u64 = digits.parse().unwrap();
        let unit = match unit {
            "n" => Duration::from_nanos(1),
            "u" => Duration::from_micros(1),
            "m" => Duration::from_millis(1),
            _ => panic!("{value} is longer than any time here"),
        };
        Some((unit * u32::try_from(amount).unwrap()).as_millis())
    }

    fn until(deadline: Instant) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(Deadline(deadline));
        request
    }

    #[test]
    fn what_goes_on_to_another_relay_is_marked_and_has_what_is_left_of_its_time() {
        let soon = onward(until(Instant::now() + Duration::from_secs(3)));
        assert!(is_passed_on(&soon));
        assert!(timeout_ms(&soon).is_some_and(|left| left > 0 && left <= 3_000), "{soon:?}");
        assert_eq!(timeout_ms(&onward(until(Instant::now()))), Some(0));
        let watch = onward_for_long(until(Instant::now() + Duration::from_secs(3)));
        assert!(is_passed_on(&watch));
        assert_eq!(timeout_ms(&watch), None);
    }
}
