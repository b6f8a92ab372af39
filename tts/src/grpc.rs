//! `TtsService`: parse, ask the domain, convert.

mod convert;
mod status;

use futures::{StreamExt as _, stream::BoxStream};
use tonic::{Request, Response, Status};
use voice_proto::tts::v1::{
    CreateClipRequest, CreateClipResponse, SynthesizeRequest, SynthesizeResponse,
    tts_service_server::TtsService,
};
use voice_server::status::into_status;

use crate::synthesis::{Speech, Synthesis};

/// The API of speech.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    synthesis: Synthesis,
    public_base_url: String,
}

impl Api {
    pub(crate) fn new(synthesis: Synthesis, public_base_url: String) -> Self {
        Self { synthesis, public_base_url }
    }
}

#[tonic::async_trait]
impl TtsService for Api {
    type SynthesizeStream = BoxStream<'static, Result<SynthesizeResponse, Status>>;

    async fn create_clip(
        &self,
        request: Request<CreateClipRequest>,
    ) -> Result<Response<CreateClipResponse>, Status> {
        let speech = Speech::try_from(request.into_inner())?;
        let clip = self.synthesis.clip(&speech).await?;
        Ok(Response::new(convert::to_response(clip, &self.public_base_url)))
    }

    async fn synthesize(
        &self,
        request: Request<SynthesizeRequest>,
    ) -> Result<Response<Self::SynthesizeStream>, Status> {
        let convert::Synthesize { speech, format } = request.into_inner().try_into()?;
        let audio = self.synthesis.clone().stream(speech, format).map(move |item| match item {
            Ok(streamed) => Ok(convert::to_streamed(streamed, format)),
            Err(error) => Err(into_status(&error)),
        });
        Ok(Response::new(audio.boxed()))
    }
}
