//! Speech from the tts service.

use std::time::Duration;

use async_stream::stream;
use futures::stream::BoxStream;
use tonic::{Code, Request, Status};
use voice_proto::tts::v1::{
    AudioChunk, CreateClipRequest, CreateClipResponse, SynthesizeRequest, synthesize_response::Payload,
    tts_service_client::TtsServiceClient,
};
use voice_server::{
    client::Channel,
    status::{reason::SERVICE_UNAVAILABLE, reason_of},
};

use crate::{
    grpc::to_format,
    ports::{Clip, Speech, SpeechFailed, Spoken, Work},
    sound::AudioFormat,
};

/// The preferred engine has one second for its first byte, and the fallback is fast; a service that gives nothing for so
/// long is dead.
const FIRST_AUDIO: Duration = Duration::from_secs(2);

/// The same between two pieces.
const NEXT_AUDIO: Duration = Duration::from_millis(1_200);

/// Once more with a service that broke off: it may be another one, or back already.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(150);

/// The tts service.
#[derive(Clone, Debug)]
pub(crate) struct Tts {
    client: TtsServiceClient<Channel>,
}

impl Tts {
    /// Uses the service behind a channel.
    pub(crate) fn new(channel: Channel) -> Self {
        Self { client: TtsServiceClient::new(channel) }
    }
}

impl Speech for Tts {
    fn stream(
        &self,
        text: &str,
        voice: &str,
        language: &str,
        engine: &str,
        format: AudioFormat,
    ) -> BoxStream<'static, Result<Spoken, SpeechFailed>> {
        let client = self.client.clone();
        let request = SynthesizeRequest {
            text: text.to_owned(),
            voice: voice.to_owned(),
            language: language.to_owned(),
            format: Some(to_format(format)),
            engine: engine.to_owned(),
        };
        Box::pin(stream! {
            // What came of an earlier attempt is not said again.
            let mut given = 0_usize;
            for attempt in 1.. {
                let mut client = client.clone();
                let mut got = 0;
                let failure = match waited(FIRST_AUDIO, client.synthesize(request.clone())).await {
                    Ok(response) => {
                        let mut responses = response.into_inner();
                        loop {
                            let patience = if got == 0 { FIRST_AUDIO } else { NEXT_AUDIO };
                            match waited(patience, responses.message()).await {
                                Ok(None) => return,
                                Ok(Some(message)) => {
                                    let Some(Payload::Audio(AudioChunk { mut audio, engine, .. })) = message.payload else { continue };
                                    let known = given.saturating_sub(got).min(audio.len());
                                    got += audio.len();
                                    let audio = audio.split_off(known);
                                    if !audio.is_empty() {
                                        given += audio.len();
                                        yield Ok(Spoken { audio, engine });
                                    }
                                }
                                Err(status) => break status,
                            }
                        }
                    }
                    Err(status) => status,
                };
                let is_final = failure.code() == Code::InvalidArgument;
                let is_away = reason_of(&failure).is_none_or(|reason| reason == SERVICE_UNAVAILABLE.name);
                if is_final || !is_away || attempt >= ATTEMPTS {
                    let message = format!("{:?}: {}", failure.code(), failure.message());
                    yield Err(SpeechFailed { message, is_final });
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    fn clip(
        &self,
        text: &str,
        voice: &str,
        language: &str,
        engine: &str,
        patience: Duration,
    ) -> Work<Result<Clip, SpeechFailed>> {
        let mut client = self.client.clone();
        let mut request = Request::new(CreateClipRequest {
            text: text.to_owned(),
            voice: voice.to_owned(),
            language: language.to_owned(),
            engine: engine.to_owned(),
        });
        request.set_timeout(patience);
        Box::pin(async move {
            let failed = |message: String| SpeechFailed { message, is_final: false };
            let answer = tokio::time::timeout(patience, client.create_clip(request)).await;
            let response = answer
                .map_err(|_| failed(format!("tts gave no answer within {patience:?}")))?
                .map_err(|status| SpeechFailed {
                    message: format!("{:?}: {}", status.code(), status.message()),
                    is_final: status.code() == Code::InvalidArgument,
                })?;
            to_clip(response.into_inner()).ok_or_else(|| failed("tts answered without a clip".into()))
        })
    }
}

async fn waited<T>(patience: Duration, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Err(Status::unavailable(format!("tts gave nothing within {patience:?}")));
    tokio::time::timeout(patience, answer).await.unwrap_or_else(late)
}

fn to_clip(response: CreateClipResponse) -> Option<Clip> {
    let CreateClipResponse { clip, is_cached, is_fallback } = response;
    let clip = clip?;
    let duration = Duration::try_from(clip.play_duration?).ok()?;
    Some(Clip { url: clip.uri, duration, engine: clip.engine, is_cached, is_fallback })
}
