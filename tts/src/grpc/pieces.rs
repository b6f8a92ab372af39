//! The requests of a stream of text: its configuration, then pieces.

use std::time::Duration;

use async_stream::stream;
use futures::Stream;
use tonic::{Status, Streaming};
use voice_proto::tts::v1::{StreamingSynthesizeRequest, streaming_synthesize_request::Payload};
use voice_server::Unreadable;

use super::convert;
use crate::{
    engines::Wish,
    error::Error,
    synthesis::{Format, Piece},
};

/// Silence after which a stream is taken for abandoned. What is being said meanwhile does not count.
const IDLE: Duration = Duration::from_mins(1);

/// Reads the first message.
pub(super) async fn config(
    requests: &mut Streaming<StreamingSynthesizeRequest>,
) -> Result<(Wish, Format), Status> {
    let first = tokio::time::timeout(IDLE, requests.message()).await.map_err(|_| Error::Idle(IDLE))??;
    let Some(Payload::Config(config)) = first.and_then(|first| first.payload) else {
        return Err(Error::MissingConfig.into());
    };
    Ok(convert::to_config(config)?)
}

/// Reads the others. A client that breaks off has no more to say.
pub(super) fn of(
    mut requests: Streaming<StreamingSynthesizeRequest>,
) -> impl Stream<Item = Result<Piece, Error>> + Send {
    stream! {
        loop {
            let request = match tokio::time::timeout(IDLE, requests.message()).await {
                Ok(Ok(Some(request))) => request,
                Ok(Ok(None)) => return,
                Ok(Err(status)) => {
                    if let Some(unreadable) = Unreadable::of(&status) {
                        yield Err(unreadable.into());
                    }
                    return;
                }
                Err(_) => {
                    yield Err(Error::Idle(IDLE));
                    return;
                }
            };
            match request.payload {
                Some(Payload::Text(text)) => yield Ok(Piece::Text(text)),
                Some(Payload::Flush(_)) => yield Ok(Piece::Flush),
                Some(Payload::Config(_)) => yield Err(Error::RepeatedConfig),
                None => {
                    let message = "a message has to hold config, text or flush".to_owned();
                    yield Err(Error::InvalidField { field: "payload", message });
                }
            }
        }
    }
}
