//! `RelayService`: parse, ask the domain, convert.

mod asks;
mod audio;
mod converse;
mod convert;
mod status;

use std::sync::Arc;

use futures::{Stream, stream::BoxStream};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming};
use voice_proto::relay::v1::{
    ConverseRequest, ConverseResponse, EndCallRequest, EndCallResponse, GetCallRequest, GetCallResponse,
    InstructRequest, InstructResponse, ListCallsRequest, ListCallsResponse, PlaceCallRequest,
    PlaceCallResponse, SayRequest, SayResponse, SendDigitsRequest, SendDigitsResponse, TransferCallRequest,
    TransferCallResponse, WatchCallRequest, WatchCallResponse, relay_service_server::RelayService,
};
use voice_server::status::into_status;

pub(crate) use self::audio::to_format;
use crate::{
    error::Error,
    media::MediaDesk,
    outbound::{DialPlan, PlaceCall},
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
}

impl Api {
    /// Serves the calls of a registry, and has others placed or taken in.
    pub(crate) fn new(
        registry: Arc<Registry>,
        orders: mpsc::Sender<Order>,
        plan: Arc<DialPlan>,
        desk: Arc<MediaDesk>,
    ) -> Self {
        Self { registry, orders, plan, desk }
    }

    async fn place(&self, place: PlaceCall) -> Result<Arc<CallRecord>, Error> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Place { place, reply })?;
        answer.await.unwrap_or(Err(Error::Draining))
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
}

#[tonic::async_trait]
impl RelayService for Api {
    type ConverseStream = BoxStream<'static, Result<ConverseResponse, Status>>;
    type WatchCallStream = BoxStream<'static, Result<WatchCallResponse, Status>>;

    async fn converse(
        &self,
        request: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        Ok(Response::new(self.connect(request.into_inner()).await?))
    }

    async fn get_call(&self, request: Request<GetCallRequest>) -> Result<Response<GetCallResponse>, Status> {
        let call_id = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        Ok(Response::new(GetCallResponse { call: Some(convert::to_call(&record)) }))
    }

    async fn list_calls(
        &self,
        request: Request<ListCallsRequest>,
    ) -> Result<Response<ListCallsResponse>, Status> {
        let query = convert::ListCalls::try_from(request.into_inner())?;
        let page = self.registry.page(query.before, query.limit + 1, |record| query.wants(record));
        Ok(Response::new(convert::to_page(&page, query.limit)))
    }

    async fn watch_call(
        &self,
        request: Request<WatchCallRequest>,
    ) -> Result<Response<Self::WatchCallStream>, Status> {
        let convert::WatchCall { call_id, after } = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        Ok(Response::new(Box::pin(watch(record, after))))
    }

    async fn place_call(
        &self,
        request: Request<PlaceCallRequest>,
    ) -> Result<Response<PlaceCallResponse>, Status> {
        let record = self.place(request.into_inner().try_into()?).await?;
        Ok(Response::new(PlaceCallResponse { call: Some(convert::to_call(&record)) }))
    }

    async fn say(&self, request: Request<SayRequest>) -> Result<Response<SayResponse>, Status> {
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
        let asks::OnCall { call_id, ask } = request.into_inner().try_into()?;
        self.find(call_id)?.ask(ask).await?;
        Ok(Response::new(InstructResponse {}))
    }

    async fn send_digits(
        &self,
        request: Request<SendDigitsRequest>,
    ) -> Result<Response<SendDigitsResponse>, Status> {
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
        let asks::Transfer { call_id, number } = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        record.check_trunk()?;
        self.plan.check(&number)?;
        self.plan.take(Timestamp::now())?;
        record.ask(Ask::Transfer(number)).await?;
        Ok(Response::new(TransferCallResponse {}))
    }

    async fn end_call(&self, request: Request<EndCallRequest>) -> Result<Response<EndCallResponse>, Status> {
        let call_id = request.into_inner().try_into()?;
        let record = self.find(call_id)?;
        // A call that takes no controls any more is over or has enough of them.
        let _ = record.control.try_send(Control::End);
        Ok(Response::new(EndCallResponse {}))
    }
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
