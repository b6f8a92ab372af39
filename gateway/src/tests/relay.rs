//! A relay that does what a test says.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures::Stream;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use voice_proto::relay::v1::{
    Call, CallState, ClearAudio, ConverseConfig, ConverseRequest, ConverseResponse, EndCallRequest,
    EndCallResponse, GetCallRequest, GetCallResponse, InstructRequest, InstructResponse, ListCallsRequest,
    ListCallsResponse, PlaceCallRequest, PlaceCallResponse, PlayoutMark, SayRequest, SayResponse,
    SendDigitsRequest, SendDigitsResponse, TransferCallRequest, TransferCallResponse, WatchCallRequest,
    WatchCallResponse, converse_request,
    converse_response::Payload,
    relay_service_server::{RelayService, RelayServiceServer},
};

use super::*;

/// Responses that wait at the relay: so that one that is blocked is seen at once.
const WAITING: usize = 1;

type Responses = Pin<Box<dyn Stream<Item = Result<ConverseResponse, Status>> + Send>>;
type Watched = Pin<Box<dyn Stream<Item = Result<WatchCallResponse, Status>> + Send>>;

pub(super) struct Relay {
    pub(super) addr: String,
    legs: mpsc::Receiver<Leg>,
    pub(super) answers: Arc<Mutex<Answers>>,
    _server: JoinSet<()>,
}

/// What it says.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) refuses: Option<Status>,
    pub(super) state: Option<CallState>,
}

/// Its end of a stream.
pub(super) struct Leg {
    pub(super) requests: Streaming<ConverseRequest>,
    pub(super) responses: mpsc::Sender<Result<ConverseResponse, Status>>,
}

struct Service {
    legs: mpsc::Sender<Leg>,
    answers: Arc<Mutex<Answers>>,
}

impl Relay {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = format!("http://{}", listener.local_addr().unwrap());
        let (sender, legs) = mpsc::channel(16);
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let service = RelayServiceServer::new(Service { legs: sender, answers: answers.clone() });
        let mut server = JoinSet::new();
        server.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self { addr, legs, answers, _server: server }
    }

    pub(super) async fn leg(&mut self) -> Leg {
        timeout(LIMIT, self.legs.recv()).await.unwrap().unwrap()
    }
}

impl Leg {
    /// The next thing that came; `None` at a clean end.
    pub(super) async fn next(&mut self) -> Result<Option<converse_request::Payload>, Status> {
        let request = timeout(LIMIT, self.requests.message()).await.unwrap()?;
        Ok(request.map(|request| request.payload.unwrap()))
    }

    pub(super) async fn config(&mut self) -> ConverseConfig {
        match self.next().await.unwrap() {
            Some(converse_request::Payload::Config(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn audio(&mut self) -> Vec<u8> {
        match self.next().await.unwrap() {
            Some(converse_request::Payload::Audio(audio)) => audio.audio.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// How the stream of requests ends, whatever comes before.
    pub(super) async fn end(&mut self) -> Result<(), Status> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    pub(super) async fn say(&self, payload: Payload) {
        self.responses.send(Ok(ConverseResponse { payload: Some(payload) })).await.unwrap();
    }

    pub(super) async fn mark(&self, name: &str) {
        self.say(Payload::Mark(PlayoutMark { name: name.into() })).await;
    }

    pub(super) async fn clear(&self) {
        self.say(Payload::Clear(ClearAudio {})).await;
    }
}

#[tonic::async_trait]
impl RelayService for Service {
    type WatchCallStream = Watched;
    type ConverseStream = Responses;

    async fn converse(
        &self,
        request: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Responses>, Status> {
        if let Some(status) = self.answers.lock().unwrap().refuses.clone() {
            return Err(status);
        }
        let (responses, receiver) = mpsc::channel(WAITING);
        let leg = Leg { requests: request.into_inner(), responses };
        self.legs.send(leg).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_call(&self, request: Request<GetCallRequest>) -> Result<Response<GetCallResponse>, Status> {
        let GetCallRequest { call_id } = request.into_inner();
        let state = self.answers.lock().unwrap().state.ok_or_else(|| Status::not_found("no such call"))?;
        let call = Call { call_id, state: state.into(), ..Call::default() };
        Ok(Response::new(GetCallResponse { call: Some(call) }))
    }

    async fn place_call(&self, _: Request<PlaceCallRequest>) -> Result<Response<PlaceCallResponse>, Status> {
        Err(not_here())
    }

    async fn list_calls(&self, _: Request<ListCallsRequest>) -> Result<Response<ListCallsResponse>, Status> {
        Err(not_here())
    }

    async fn watch_call(&self, _: Request<WatchCallRequest>) -> Result<Response<Watched>, Status> {
        Err(not_here())
    }

    async fn say(&self, _: Request<SayRequest>) -> Result<Response<SayResponse>, Status> {
        Err(not_here())
    }

    async fn instruct(&self, _: Request<InstructRequest>) -> Result<Response<InstructResponse>, Status> {
        Err(not_here())
    }

    async fn send_digits(
        &self,
        _: Request<SendDigitsRequest>,
    ) -> Result<Response<SendDigitsResponse>, Status> {
        Err(not_here())
    }

    async fn transfer_call(
        &self,
        _: Request<TransferCallRequest>,
    ) -> Result<Response<TransferCallResponse>, Status> {
        Err(not_here())
    }

    async fn end_call(&self, _: Request<EndCallRequest>) -> Result<Response<EndCallResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("no test needs it")
}
