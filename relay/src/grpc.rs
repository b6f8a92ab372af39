//! `RelayService`: parse, ask the domain, convert.

mod asks;
mod audio;
mod converse;
mod convert;
mod peers;
mod placing;
mod status;

use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use voice_proto::relay::v1::{
    ConverseRequest, ConverseResponse, EndCallRequest, EndCallResponse, GetCallRequest, GetCallResponse,
    InstructRequest, InstructResponse, ListCallsRequest, ListCallsResponse, PlaceCallRequest,
    PlaceCallResponse, SayRequest, SayResponse, SendDigitsRequest, SendDigitsResponse, TransferCallRequest,
    TransferCallResponse, WatchCallRequest, WatchCallResponse, relay_service_client::RelayServiceClient,
    relay_service_server::RelayService,
};
use voice_server::{Deadline, auth::Caller, client::Channel, status::into_status};

use self::peers::{back, is_passed_on, onward, onward_for_long, stream_back};
pub(crate) use self::{audio::to_format, peers::Peers};
use crate::{
    error::Error,
    media::MediaDesk,
    outbound::DialPlan,
    registry::{Ask, Asked, CallRecord, Control, Registry},
    switchboard::Order,
};

/// Events that are copied out of a journal at a time.
const BATCH: usize = 64;

/// The API of live calls.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    registry: Arc<Registry>,
    orders: mpsc::Sender<Order>,
    plan: Arc<DialPlan>,
    desk: Arc<MediaDesk>,
    peers: Arc<Peers>,
}

impl Api {
    /// Serves the calls of a registry and, through `peers`, those of other relays; has others placed or taken in.
    pub(crate) fn new(
        registry: Arc<Registry>,
        orders: mpsc::Sender<Order>,
        plan: Arc<DialPlan>,
        desk: Arc<MediaDesk>,
        peers: Arc<Peers>,
    ) -> Self {
        Self { registry, orders, plan, desk, peers }
    }

    fn order(&self, order: Order) -> Result<(), Error> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::CallsAtLimit,
            mpsc::error::TrySendError::Closed(_) => Error::Draining,
        })
    }

    fn find(&self, call_id: convert::CallId) -> Result<Arc<CallRecord>, Error> {
        self.registry.find(&call_id.0).ok_or(Error::CallNotFound(call_id.0))
    }

    /// The relay that has a call, if another one does.
    async fn elsewhere<T>(&self, request: &Request<T>, call_id: &str) -> Option<RelayServiceClient<Channel>> {
        if self.registry.find(call_id).is_some() {
            return None;
        }
        self.peers.owner(request, call_id).await
    }
}

#[tonic::async_trait]
impl RelayService for Api {
    type ConverseStream = BoxStream<'static, Result<ConverseResponse, Status>>;
    type WatchCallStream = BoxStream<'static, Result<WatchCallResponse, Status>>;

    async fn converse(
        &self,
        request: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        let by = limited(&request);
        Ok(Response::new(self.connect(request.into_inner(), by).await?))
    }

    async fn get_call(&self, request: Request<GetCallRequest>) -> Result<Response<GetCallResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return back(owner.get_call(onward(request)).await);
        }
        let call_id = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        Ok(Response::new(GetCallResponse { call: Some(convert::to_call(&record)) }))
    }

    async fn list_calls(
        &self,
        request: Request<ListCallsRequest>,
    ) -> Result<Response<ListCallsResponse>, Status> {
        let (is_passed_on, deadline) = (is_passed_on(&request), Deadline::of(&request));
        let request = request.into_inner();
        let query = convert::ListCalls::try_from(request.clone())?;
        let others = if is_passed_on { Vec::new() } else { self.peers.list(&request, deadline).await };
        let own = self.registry.page(query.before.as_ref(), query.limit + 1, |record| query.wants(record));
        Ok(Response::new(convert::to_page(&own, others, query.limit)))
    }

    async fn watch_call(
        &self,
        request: Request<WatchCallRequest>,
    ) -> Result<Response<Self::WatchCallStream>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return stream_back(owner.watch_call(onward_for_long(request)).await);
        }
        let convert::WatchCall { call_id, after } = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        Ok(Response::new(watch(record, after).boxed()))
    }

    async fn place_call(
        &self,
        request: Request<PlaceCallRequest>,
    ) -> Result<Response<PlaceCallResponse>, Status> {
        let by = limited(&request);
        let call = self.place(request.into_inner().try_into()?, by).await?;
        Ok(Response::new(PlaceCallResponse { call: Some(call) }))
    }

    async fn say(&self, request: Request<SayRequest>) -> Result<Response<SayResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return back(owner.say(onward(request)).await);
        }
        let asks::OnCall { call_id, ask } = request.into_inner().try_into()?;
        let say_id = match self.find(call_id)?.ask(ask).await? {
            Asked::Say(say) => say.0.into(),
            Asked::Done => 0,
        };
        Ok(Response::new(SayResponse { say_id }))
    }

    async fn instruct(
        &self,
        request: Request<InstructRequest>,
    ) -> Result<Response<InstructResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return back(owner.instruct(onward(request)).await);
        }
        let asks::OnCall { call_id, ask } = request.into_inner().try_into()?;
        self.find(call_id)?.ask(ask).await?;
        Ok(Response::new(InstructResponse {}))
    }

    async fn send_digits(
        &self,
        request: Request<SendDigitsRequest>,
    ) -> Result<Response<SendDigitsResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return back(owner.send_digits(onward(request)).await);
        }
        let asks::OnCall { call_id, ask } = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        record.check_trunk()?;
        record.ask(ask).await?;
        Ok(Response::new(SendDigitsResponse {}))
    }

    async fn transfer_call(
        &self,
        request: Request<TransferCallRequest>,
    ) -> Result<Response<TransferCallResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return back(owner.transfer_call(onward(request)).await);
        }
        let asks::Transfer { call_id, number, announcement } = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        record.check_trunk()?;
        let taken = self.plan.take(&number, Timestamp::now()).await?;
        let asked = record.ask(Ask::Transfer { number, announcement }).await;
        // A call that gives no answer may do it yet.
        if let Err(Error::Refused(_)) = asked {
            self.plan.put_back(taken).await;
        }
        asked?;
        Ok(Response::new(TransferCallResponse {}))
    }

    async fn end_call(&self, request: Request<EndCallRequest>) -> Result<Response<EndCallResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request, &request.get_ref().call_id).await {
            return back(owner.end_call(onward(request)).await);
        }
        let call_id = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        // A call that takes no controls any more is over or has enough of them.
        let _ = record.control.try_send(Control::End);
        Ok(Response::new(EndCallResponse {}))
    }
}

/// The token of a request, if there is a limit to what it may have.
fn limited<T>(request: &Request<T>) -> Option<String> {
    let caller = request.extensions().get::<Caller>().filter(|caller| caller.is_limited())?;
    Some(caller.name().to_owned())
}

/// Everything after `after`, then what follows, to the end of the call.
fn watch(record: Arc<CallRecord>, mut after: u64) -> impl Stream<Item = Result<WatchCallResponse, Status>> {
    async_stream::stream! {
        let mut head = record.journal.follow();
        loop {
            let is_closed = head.borrow_and_update().is_closed;
            match record.journal.after(after, BATCH) {
                Err(first_kept) => {
                    yield Err(into_status(&Error::EventsGone { first_kept }));
                    return;
                }
                Ok(entries) if entries.is_empty() => {
                    if is_closed || head.changed().await.is_err() {
                        return;
                    }
                }
                Ok(entries) => {
                    for entry in entries {
                        after = entry.sequence;
                        yield Ok(WatchCallResponse { event: Some(convert::to_event(entry)) });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
