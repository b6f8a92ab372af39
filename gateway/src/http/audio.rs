//! Clips for the telephony provider to fetch.

use std::{ops::Range, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tonic::Request;
use voice_clips::{ClipsError, Found};
use voice_proto::tts::v1::CreateClipRequest;

use super::{Edge, generate::TTS_DEADLINE};
use crate::{
    problem::Problem,
    reason::{CLIP_EXPIRED, CLIP_NOT_FOUND, RANGE_NOT_SATISFIABLE},
};

/// Names are of content, so what a name holds never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The greeting of the built-in assistant.
const WELCOME: &str = "Hello, thanks for calling. How can I help you?";

/// `GET /audio/{filename}`.
pub(crate) async fn clip(
    State(edge): State<Arc<Edge>>,
    Path(filename): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = read(&edge, &filename).await?;
    Ok(serve(&file, &filename, FOR_EVER, &headers))
}

/// `GET /audio/welcome.wav`: the default greeting under a name that stays.
pub(crate) async fn welcome(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Result<Response, Problem> {
    let known = edge.welcome.lock().await.clone();
    if let Some(filename) = known
        && let Ok(file) = read(&edge, &filename).await
    {
        return Ok(serve(&file, &filename, "no-cache", &headers));
    }
    let filename = make_welcome(&edge).await?;
    *edge.welcome.lock().await = Some(filename.clone());
    let file = read(&edge, &filename).await?;
    Ok(serve(&file, &filename, "no-cache", &headers))
}

async fn make_welcome(edge: &Edge) -> Result<String, Problem> {
    let mut request =
        Request::new(CreateClipRequest { text: WELCOME.to_owned(), ..CreateClipRequest::default() });
    request.set_timeout(TTS_DEADLINE);
    let response = edge.tts.clone().create_clip(request).await?.into_inner();
    let clip = response.clip.ok_or_else(Problem::internal)?;
    Ok(clip.filename)
}

async fn read(edge: &Edge, filename: &str) -> Result<Bytes, Problem> {
    if let Some(file) = edge.hot.get(filename, Instant::now()) {
        return Ok(file);
    }
    let Found { bytes, is_touch_due } = edge.clips.read(filename).await.map_err(to_problem)?;
    if is_touch_due {
        let _ = edge.used.try_send(filename.to_owned());
    }
    edge.hot.put(filename, bytes.clone(), Instant::now());
    Ok(bytes)
}

fn to_problem(error: ClipsError) -> Problem {
    match error {
        ClipsError::NotFound => Problem::new(CLIP_NOT_FOUND, "there is no such clip"),
        ClipsError::Gone => Problem::new(CLIP_EXPIRED, "the clip has expired; have it made again"),
        ClipsError::Config(_) | ClipsError::Store(_) => {
            tracing::error!(error = %voice_server::status::chain(&error), "the clip store does not work");
            Problem::internal()
        }
    }
}

fn serve(file: &Bytes, filename: &str, caching: &'static str, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", filename.trim_end_matches(".wav"));
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_known = text(header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
    });
    let length = file.len() as u64;
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        // A range of another version is a range of nothing.
        let has_same = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
        match text(header::RANGE).filter(|_| has_same).map(|range| parse_range(range, length)) {
            Some(Asked::Part(range)) => {
                let part = file.slice(range.start as usize..range.end as usize);
                let shown = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                let mut response = (StatusCode::PARTIAL_CONTENT, Body::from(part)).into_response();
                insert(&mut response, header::CONTENT_RANGE, &shown);
                response
            }
            Some(Asked::Beyond) => {
                let problem = Problem::new(RANGE_NOT_SATISFIABLE, format!("the clip has {length} bytes"));
                let mut response = problem.into_response();
                insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
                return response;
            }
            Some(Asked::Whole) | None => Body::from(file.clone()).into_response(),
        }
    };
    insert(&mut response, header::ETAG, &etag);
    insert(&mut response, header::CACHE_CONTROL, caching);
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    if !is_known {
        insert(&mut response, header::CONTENT_TYPE, "audio/wav");
    }
    response
}

fn insert(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// All of it: also for several ranges and for what cannot be read, as HTTP allows.
    Whole,
    Part(Range<u64>),
    Beyond,
}

fn parse_range(header: &str, length: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Asked::Whole,
    };
    if range.start >= range.end { Asked::Beyond } else { Asked::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        for (header, wanted) in [
            ("bytes=0-9", Asked::Part(0..10)),
            ("bytes=90-", Asked::Part(90..100)),
            ("bytes=-10", Asked::Part(90..100)),
            ("bytes=-500", Asked::Part(0..100)),
            ("bytes=50-500", Asked::Part(50..100)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=9-3", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes=-", Asked::Whole),
        ] {
            assert_eq!(parse_range(header, 100), wanted, "{header}");
        }
    }
}
