//! `TtsService`: parse, ask the domain, convert.

mod convert;
mod pieces;
mod status;

use futures::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;
use voice_proto::tts::v1::{
    CreateClipRequest, CreateClipResponse, ListVoicesRequest, ListVoicesResponse, StreamingSynthesizeRequest,
    StreamingSynthesizeResponse, SynthesizeRequest, SynthesizeResponse, tts_service_server::TtsService,
};
use voice_server::{Deadline, status::into_status};

use crate::synthesis::{self, Speech, Synthesis};

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
    type StreamingSynthesizeStream = BoxStream<'static, Result<StreamingSynthesizeResponse, Status>>;

    async fn list_voices(
        &self,
        _request: Request<ListVoicesRequest>,
    ) -> Result<Response<ListVoicesResponse>, Status> {
        let engines = self.synthesis.engines().status().into_iter().map(convert::to_engine).collect();
        Ok(Response::new(ListVoicesResponse { engines }))
    }

    async fn create_clip(
        &self,
        request: Request<CreateClipRequest>,
    ) -> Result<Response<CreateClipResponse>, Status> {
        let deadline = Instant::from_std(Deadline::of(&request).0);
        let speech = Speech::try_from(request.into_inner())?;
        let span = tracing::info_span!("clip", engine = tracing::field::Empty);
        let clip = self.synthesis.clip(&speech, deadline).instrument(span).await?;
        Ok(Response::new(convert::to_response(clip, &self.public_base_url)))
    }

    async fn synthesize(
        &self,
        request: Request<SynthesizeRequest>,
    ) -> Result<Response<Self::SynthesizeStream>, Status> {
        let convert::Synthesize { speech, format } = request.into_inner().try_into()?;
        let audio =
            synthesis::of_speech(self.synthesis.engines(), speech, format)?.map(move |item| match item {
                Ok(streamed) => Ok(convert::to_streamed(streamed, format)),
                Err(error) => Err(into_status(&error)),
            });
        Ok(Response::new(audio.boxed()))
    }

    async fn streaming_synthesize(
        &self,
        request: Request<Streaming<StreamingSynthesizeRequest>>,
    ) -> Result<Response<Self::StreamingSynthesizeStream>, Status> {
        let mut requests = request.into_inner();
        let (wish, format) = pieces::config(&mut requests).await?;
        let pieces = pieces::of(requests);
        let audio =
            synthesis::of_pieces(self.synthesis.engines(), pieces, wish, format)?.map(
                move |item| match item {
                    Ok(streamed) => Ok(convert::to_streamed_by_pieces(streamed, format)),
                    Err(error) => Err(into_status(&error)),
                },
            );
        Ok(Response::new(audio.boxed()))
    }
}
