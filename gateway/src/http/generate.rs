//! `POST /generate-audio`: speech for whoever has a token.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use tonic::Request;
use voice_proto::tts::v1::{Clip, CreateClipRequest};

use super::Edge;
use crate::{
    problem::Problem,
    reason::{INVALID_JSON, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE},
};

/// What a clip may take: the preferred engine's patience, and the fallback's.
pub(crate) const TTS_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateAudio {
    text: String,
    #[serde(default)]
    voice: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Generated {
    url: String,
    filename: String,
    duration_ms: u64,
    provider: String,
}

pub(crate) async fn generate_audio(
    State(edge): State<Arc<Edge>>,
    body: Result<Json<GenerateAudio>, JsonRejection>,
) -> Result<Json<Generated>, Problem> {
    let Json(GenerateAudio { text, voice }) = body.map_err(to_problem)?;
    let mut request = Request::new(CreateClipRequest { text, voice, ..CreateClipRequest::default() });
    request.set_timeout(TTS_DEADLINE);
    let response = edge.tts.clone().create_clip(request).await?;
    let Some(Clip { uri, filename, play_duration, engine }) = response.into_inner().clip else {
        return Err(Problem::internal());
    };
    let duration = play_duration.map_or(0, |span| span.seconds * 1_000 + i64::from(span.nanos) / 1_000_000);
    Ok(Json(Generated { url: uri, filename, duration_ms: duration.max(0) as u64, provider: engine }))
}

fn to_problem(rejection: JsonRejection) -> Problem {
    // A body of the right form with the wrong content is as bad a request as one of the wrong form.
    let reason = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => UNSUPPORTED_MEDIA_TYPE,
        _ => INVALID_JSON,
    };
    Problem::new(reason, rejection.body_text())
}
