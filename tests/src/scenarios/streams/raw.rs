//! Any RPC, as bytes: what generated stubs never send can be sent too, and every RPC is spoken to in one way.

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::Stream;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use super::Duration;

/// Requests that may wait besides the first ones.
const WAITING: usize = 4;

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Raw;

/// An RPC that goes on.
#[derive(Debug)]
pub(in super::super) struct Exchange {
    requests: Option<mpsc::Sender<Bytes>>,
    responses: Streaming<Bytes>,
}

impl Exchange {
    /// Sends the first messages, and waits until the server says that it answers.
    pub(in super::super) async fn open(
        channel: &Channel,
        rpc: &'static str,
        first: Vec<Bytes>,
        deadline: Option<Duration>,
    ) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(first.len() + WAITING);
        for message in first {
            requests.try_send(message).expect("there is room for the first messages");
        }
        let responses = begin(channel, rpc, ReceiverStream::new(queue), deadline).await?;
        Ok(Self { requests: Some(requests), responses })
    }

    /// Sends messages and no more.
    pub(in super::super) async fn ask(
        channel: &Channel,
        rpc: &'static str,
        all: Vec<Bytes>,
        deadline: Option<Duration>,
    ) -> Result<Self, Status> {
        let responses = begin(channel, rpc, futures::stream::iter(all), deadline).await?;
        Ok(Self { requests: None, responses })
    }

    /// Sends one more message; waits while the server takes none. `None` once no more may be sent.
    pub(in super::super) async fn send(&self, message: Bytes) -> Option<()> {
        self.requests.as_ref()?.send(message).await.ok()
    }

    /// Sends no more.
    pub(in super::super) fn close(&mut self) {
        self.requests = None;
    }

    /// Takes no more responses; gives what requests are sent by.
    pub(in super::super) fn stop_reading(self) -> Option<mpsc::Sender<Bytes>> {
        self.requests
    }

    /// The next response.
    pub(in super::super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.responses.message().await
    }

    /// Reads to the end.
    pub(in super::super) async fn end(mut self) -> Result<(), Status> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

async fn begin(
    channel: &Channel,
    rpc: &'static str,
    requests: impl Stream<Item = Bytes> + Send + 'static,
    deadline: Option<Duration>,
) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let mut request = Request::new(requests);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    Ok(grpc.streaming(request, PathAndQuery::from_static(rpc), Raw).await?.into_inner())
}

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
