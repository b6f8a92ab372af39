//! The form of a transcription request, its parts in any order.

use std::time::Duration;

use axum::{
    extract::{Multipart, multipart::MultipartError},
    http::StatusCode,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE};
use bytes::Bytes;

use super::envelope::{FILE_LIMIT, Refusal};

/// How long a file that is only named may take to fetch.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) file: Option<Bytes>,
    pub(super) file_name: Option<String>,
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) response_format: Option<String>,
    pub(super) granularities: Vec<String>,
    url: Option<String>,
}

impl Upload {
    pub(super) async fn read(mut form: Multipart) -> Result<Self, Refusal> {
        let mut upload = Self::default();
        while let Some(part) = form.next_field().await.map_err(|error| refuse(&error))? {
            let name = part.name().unwrap_or_default().to_owned();
            if name == "file" {
                upload.file_name = part.file_name().map(str::to_owned);
                upload.file = Some(part.bytes().await.map_err(|error| refuse(&error))?);
                continue;
            }
            let text = part.text().await.map_err(|error| refuse(&error))?;
            match name.as_str() {
                "model" => upload.model = Some(text),
                "language" => upload.language = Some(text),
                "prompt" => upload.prompt = Some(text),
                "response_format" => upload.response_format = Some(text),
                "timestamp_granularities[]" => upload.granularities.push(text),
                "url" => upload.url = Some(text),
                _ => {}
            }
        }
        if let (None, Some(url)) = (&upload.file, &upload.url) {
            upload.file = Some(fetch(url).await?);
        }
        if upload.file.as_ref().is_some_and(|file| file.len() > FILE_LIMIT) {
            return Err(too_large());
        }
        Ok(upload)
    }
}

async fn fetch(url: &str) -> Result<Bytes, Refusal> {
    let unfetched = || Refusal::bad_request("failed to retrieve media: could not fetch the URL");
    if !url.starts_with("http") {
        return BASE64_URL_SAFE.decode(url).map(Bytes::from).map_err(|_| unfetched());
    }
    let client =
        reqwest::Client::builder().no_proxy().timeout(FETCH_DEADLINE).build().map_err(|_| unfetched())?;
    let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    response.map_err(|_| unfetched())?.bytes().await.map_err(|_| unfetched())
}

fn refuse(error: &MultipartError) -> Refusal {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Refusal::bad_request(format!("failed to parse multipart form: {error}"))
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Some("request_too_large"), "Request Entity Too Large")
}
