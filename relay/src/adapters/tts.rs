//! Speech from the tts service.

use std::time::Duration;

use tonic::{Code, Request};
use voice_proto::tts::v1::{CreateClipRequest, CreateClipResponse, tts_service_client::TtsServiceClient};
use voice_server::client::Channel;

use crate::ports::{Clip, Speech, SpeechFailed, Work};

/// The tts service.
#[derive(Clone, Debug)]
pub struct Tts {
    client: TtsServiceClient<Channel>,
}

impl Tts {
    /// Uses the service behind a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: TtsServiceClient::new(channel) }
    }
}

impl Speech for Tts {
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

fn to_clip(response: CreateClipResponse) -> Option<Clip> {
    let CreateClipResponse { clip, is_cached, is_fallback } = response;
    let clip = clip?;
    let duration = Duration::try_from(clip.play_duration?).ok()?;
    Some(Clip { url: clip.uri, duration, engine: clip.engine, is_cached, is_fallback })
}
