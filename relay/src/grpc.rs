//! `RelayService`: parse, ask the domain, convert.

mod convert;
mod status;

use std::sync::Arc;

use futures::{Stream, stream::BoxStream};
use tonic::{Request, Response, Status};
use voice_proto::relay::v1::{
    EndCallRequest, EndCallResponse, GetCallRequest, GetCallResponse, ListCallsRequest, ListCallsResponse,
    WatchCallRequest, WatchCallResponse, relay_service_server::RelayService,
};
use voice_server::status::into_status;

use crate::{
    error::Error,
    registry::{CallRecord, Control, Registry},
};

/// Events that are copied out of a journal at a time.
const BATCH: usize = 64;

/// The API of live calls.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    registry: Arc<Registry>,
}

impl Api {
    /// Serves the calls of a registry.
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }

    fn find(&self, call_id: convert::CallId) -> Result<Arc<CallRecord>, Error> {
        self.registry.find(&call_id.0).ok_or(Error::CallNotFound(call_id.0))
    }
}

#[tonic::async_trait]
impl RelayService for Api {
    type WatchCallStream = BoxStream<'static, Result<WatchCallResponse, Status>>;

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
                Err(oldest) => {
                    yield Err(into_status(&Error::EventsGone(oldest)));
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
