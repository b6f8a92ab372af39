//! The floor: a bare tonic server that does what cannot be left out. It takes the frames of a conversation, notes how
//! long their way was, asks the detector of each, and tells every watcher of every key. Nothing is decided and nothing is said.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use async_stream::stream;
use futures::{StreamExt as _, stream::BoxStream};
use http::{Request as HttpRequest, Response as HttpResponse};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService},
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use voice_audio::{FRAME_SAMPLES, mulaw, vad::live::LiveVad};
use voice_proto::relay::v1::{
    CallEvent, ConversationStarted, ConverseRequest, ConverseResponse, DigitPressed, EndCallRequest,
    EndCallResponse, WatchCallRequest, WatchCallResponse, call_event::Event, converse_request::Payload,
    converse_response,
};
use voice_server::{Server, ServerConfig, config::Env};

use super::{now, since};

/// What the guarded server lets in.
pub const TOKEN: &str = "bench";

/// Events that may wait for a watcher.
const WAITING: usize = 4_096;

/// The service, as tonic's generated code would serve it.
#[derive(Clone, Debug)]
struct Bare {
    keys: broadcast::Sender<CallEvent>,
}

/// Serves at two addresses, bare and behind the layers of the mesh, until it is killed.
///
/// # Errors
/// When an address is taken.
pub async fn serve(bare: &str, guarded: &str) -> anyhow::Result<()> {
    voice_server::telemetry::init("bare")?;
    let service = Bare { keys: broadcast::channel(WAITING).0 };
    let (bare, guarded) = (TcpListener::bind(bare).await?, TcpListener::bind(guarded).await?);
    let mut env = Env::new(|name| match name {
        "API_TOKENS" => Some(TOKEN.to_owned()),
        // They are counted, and there are always some left.
        "TOKEN_REQUESTS_PER_MINUTE" => Some("10000000".to_owned()),
        _ => None,
    });
    let config = ServerConfig::from_env(&mut env, "RELAY_LISTEN_ADDR", guarded.local_addr()?);
    let config = env.finish(config)?;
    let plain = tonic::transport::Server::builder()
        .add_service(service.clone())
        .serve_with_incoming(TcpIncoming::from(bare).with_nodelay(Some(true)));
    // It says on stdout that it serves; the other one does so from the start.
    let layered = Server::new("bare", config, voice_proto::DESCRIPTORS)
        .with(service)
        .serve(guarded, std::future::pending());
    tokio::select! {
        ended = plain => Ok(ended?),
        ended = layered => ended,
    }
}

impl Bare {
    fn converse(
        self,
        requests: Streaming<ConverseRequest>,
    ) -> BoxStream<'static, Result<ConverseResponse, Status>> {
        let answer = stream! {
            let mut requests = requests;
            let started = converse_response::Payload::Started(ConversationStarted::default());
            yield Ok(ConverseResponse { payload: Some(started) });
            let (mut vad, way) = (LiveVad::new(), metrics::histogram!("converse_way_seconds"));
            while let Some(Ok(ConverseRequest { payload })) = requests.next().await {
                match payload {
                    Some(Payload::Audio(audio)) => {
                        if let Some(sent) = audio.send_time {
                            way.record(since(sent));
                        }
                        for frame in audio.audio.chunks_exact(FRAME_SAMPLES) {
                            black_box(vad.push(&samples(frame), None));
                        }
                    }
                    Some(Payload::Digit(key)) => self.tell(key),
                    Some(Payload::Config(_) | Payload::Mark(_)) | None => {}
                }
            }
        };
        answer.boxed()
    }

    fn tell(&self, key: DigitPressed) {
        let event = CallEvent { sequence: 0, event_time: Some(now()), event: Some(Event::DigitPressed(key)) };
        // With nobody watching there is nobody to tell.
        let _ = self.keys.send(event);
    }

    fn watch(&self) -> BoxStream<'static, Result<WatchCallResponse, Status>> {
        let events = BroadcastStream::new(self.keys.subscribe());
        let told = events.map(|event| match event {
            Ok(event) => Ok(WatchCallResponse { event: Some(event) }),
            Err(lagged) => Err(Status::data_loss(lagged.to_string())),
        });
        told.boxed()
    }
}

impl NamedService for Bare {
    const NAME: &'static str = "voice.relay.v1.RelayService";
}

impl Service<HttpRequest<Body>> for Bare {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let bare = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path().rsplit('/').next() {
                Some("Converse") => {
                    let converse = service_fn(move |request: Request<Streaming<ConverseRequest>>| {
                        let answer = bare.clone().converse(request.into_inner());
                        async move { Ok::<_, Status>(Response::new(answer)) }
                    });
                    Grpc::new(ProstCodec::default()).streaming(converse, request).await
                }
                Some("WatchCall") => {
                    let watch = service_fn(move |_: Request<WatchCallRequest>| {
                        let answer = bare.watch();
                        async move { Ok::<_, Status>(Response::new(answer)) }
                    });
                    Grpc::new(ProstCodec::default()).server_streaming(watch, request).await
                }
                _ => {
                    let end = service_fn(async |_: Request<EndCallRequest>| {
                        Ok::<_, Status>(Response::new(EndCallResponse {}))
                    });
                    Grpc::new(ProstCodec::default()).unary(end, request).await
                }
            })
        })
    }
}

/// The sample of every mu-law code.
static SAMPLES: LazyLock<[i16; 256]> = LazyLock::new(|| {
    let samples = mulaw::decode(&(0..=u8::MAX).collect::<Vec<_>>());
    std::array::from_fn(|code| mulaw::to_i16(samples[code]))
});

fn samples(frame: &[u8]) -> [i16; FRAME_SAMPLES] {
    let table: &[i16; 256] = &SAMPLES;
    std::array::from_fn(|n| table[usize::from(frame[n])])
}
