//! The store of recordings and its HTTP side: a file is there only a little after its recording has finished.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use voice_audio::{Audio, TELEPHONE_HERTZ, wav};

use super::{faults::RecordingFault, platform::Platform};

/// Bytes of recordings that are kept; the oldest go first.
const KEPT_BYTES: usize = 512 * 1024 * 1024;
/// Piece of a body that is made up as it goes.
const PIECE_BYTES: usize = 64 * 1024;

/// All recordings.
#[derive(Debug, Default)]
pub(crate) struct Recordings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<String, Recorded>,
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Recorded {
    wav: Bytes,
    finished: Instant,
    delay: Duration,
}

/// Where on a chain of redirects a request is.
#[derive(Debug, Deserialize)]
pub(crate) struct Hop {
    #[serde(default)]
    hop: u32,
}

impl Recordings {
    /// Keeps a finished recording, to be had after `delay`.
    pub(crate) fn publish(&self, id: String, samples: &[i16], delay: Duration) {
        let samples = samples.iter().map(|sample| f32::from(*sample) / 32_767.0).collect();
        let wav = Bytes::from(wav::write_pcm16(&Audio { samples, sample_rate_hertz: TELEPHONE_HERTZ }));
        let mut inner = self.lock();
        inner.bytes += wav.len();
        inner.order.push_back(id.clone());
        inner.by_id.insert(id, Recorded { wav, finished: Instant::now(), delay });
        while inner.bytes > KEPT_BYTES {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.bytes -= inner.by_id.remove(&oldest).map_or(0, |recorded| recorded.wav.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of the recordings panics")
    }
}

/// `GET /recordings/{id}.wav`
pub(crate) async fn download(
    State(platform): State<Arc<Platform>>,
    Path(file): Path<String>,
    Query(Hop { hop }): Query<Hop>,
    headers: HeaderMap,
) -> Response {
    let response = answer(&platform, &file, hop, &headers);
    platform.note("recording_fetched", json!({ "file": file, "status": response.status().as_u16() }));
    response
}

fn answer(platform: &Platform, file: &str, hop: u32, headers: &HeaderMap) -> Response {
    let switches = platform.switches();
    if switches.recordings_need_auth && !is_authorised(platform, headers) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"recordings\"")])
            .into_response();
    }
    if hop < switches.recording_redirects {
        let next = format!("{}/{file}?hop={}", platform.recordings_url, hop + 1);
        return (StatusCode::FOUND, [(header::LOCATION, next)]).into_response();
    }
    let id = file.strip_suffix(".wav").unwrap_or(file);
    let recorded = platform.recordings.lock().by_id.get(id).cloned();
    let Some(recorded) = recorded else { return StatusCode::NOT_FOUND.into_response() };
    let fault = platform.faults.current().recordings;
    let delay = match fault {
        Some(RecordingFault::Late { ms }) => Duration::from_millis(ms),
        _ => recorded.delay,
    };
    if recorded.finished.elapsed() < delay {
        return StatusCode::NOT_FOUND.into_response();
    }
    match fault {
        None | Some(RecordingFault::Late { .. }) => wav_response(recorded.wav.into()),
        Some(RecordingFault::Missing) => StatusCode::NOT_FOUND.into_response(),
        Some(RecordingFault::Empty) => wav_response(Body::empty()),
        Some(RecordingFault::NotAudio) => {
            wav_response("<html><body>Something went wrong</body></html>".into())
        }
        Some(RecordingFault::TooLarge { bytes }) => wav_response(endless(bytes)),
        Some(RecordingFault::Redirect { url }) => {
            (StatusCode::FOUND, [(header::LOCATION, url)]).into_response()
        }
        Some(RecordingFault::Status { status }) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Some(RecordingFault::Slow { ms_per_kilobyte }) => {
            wav_response(slow(recorded.wav, Duration::from_millis(ms_per_kilobyte)))
        }
    }
}

fn is_authorised(platform: &Platform, headers: &HeaderMap) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", platform.project, platform.token)));
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

fn wav_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "audio/wav")], body).into_response()
}

/// A header that promises no length, and silence for ever after.
fn endless(bytes: u64) -> Body {
    let empty = Audio { samples: Vec::new(), sample_rate_hertz: TELEPHONE_HERTZ };
    let header = Bytes::from(wav::write_pcm16(&empty));
    let silence = Bytes::from(vec![0; PIECE_BYTES]);
    Body::from_stream(async_stream::stream! {
        yield Ok::<_, std::convert::Infallible>(header);
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(PIECE_BYTES as u64);
            left -= piece;
            yield Ok(silence.slice(..piece as usize));
        }
    })
}

fn slow(mut wav: Bytes, pause: Duration) -> Body {
    Body::from_stream(async_stream::stream! {
        while !wav.is_empty() {
            tokio::time::sleep(pause).await;
            yield Ok::<_, std::convert::Infallible>(wav.split_to(wav.len().min(1_024)));
        }
    })
}
