//! What is played: files fetched over HTTP, text spoken by flite, silence and ringing.

use std::{process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, time::timeout};
use voice_audio::{TELEPHONE_HERTZ, decode, resample::resample};

use super::params::{Media, Seconds};

/// Longest sound that is played.
const LONGEST: Duration = Duration::from_mins(30);
/// Largest file that is fetched: half an hour of 24 kHz PCM and more.
const LARGEST_BYTES: usize = 100 * 1024 * 1024;
/// A text takes flite far less than this.
const SPEAK_TIMEOUT: Duration = Duration::from_secs(20);
/// The voice of the platform: not one that an assistant or a caller uses.
const PLATFORM_VOICE: &str = "kal";
/// What the platform's vendor documents as playable.
const PLAYABLE: [&str; 10] = [
    "audio/mpeg",
    "audio/wav",
    "audio/wave",
    "audio/x-wav",
    "audio/aiff",
    "audio/x-aiff",
    "audio/x-aifc",
    "audio/gsm",
    "audio/x-gsm",
    "audio/ulaw",
];

/// Gets a sound as 8 kHz samples.
///
/// # Errors
/// Why it cannot be played.
pub(crate) async fn load(fetcher: &reqwest::Client, media: &Media) -> Result<Arc<[f32]>, String> {
    match media {
        Media::Audio { url } => to_samples(fetch(fetcher, url).await?).await,
        Media::Tts { text } => to_samples(speak(text).await?).await,
        Media::Silence { duration } => Ok(vec![0.0; samples_of(*duration)].into()),
        Media::Ringtone { duration, .. } => Ok(ringing(duration.unwrap_or(Seconds(6.0)))),
    }
}

async fn fetch(fetcher: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let mut response = fetcher.get(url).send().await.map_err(|error| describe(&error))?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {}", response.status().as_u16()));
    }
    let content_type =
        response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if !PLAYABLE.contains(&essence.as_str()) {
        return Err(format!("content type {content_type:?} cannot be played"));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| describe(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > LARGEST_BYTES {
            return Err("the file is too large".into());
        }
    }
    Ok(body)
}

/// The innermost cause says most: "connection refused".
fn describe(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("cannot be fetched: {cause}")
}

async fn to_samples(bytes: Vec<u8>) -> Result<Arc<[f32]>, String> {
    let decoded = tokio::task::spawn_blocking(move || {
        let audio = decode::decode(&bytes, LONGEST).map_err(|error| error.to_string())?;
        Ok(resample(&audio.samples, audio.sample_rate_hertz, TELEPHONE_HERTZ).into())
    });
    decoded.await.map_err(|error| format!("decoding failed: {error}"))?
}

async fn speak(text: &str) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no place for speech: {error}"))?;
    let file = folder.path().join("speech.wav");
    let mut flite = Command::new("flite");
    flite.args(["-voice", PLATFORM_VOICE, "-t", text, "-o"]).arg(&file);
    flite.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = timeout(SPEAK_TIMEOUT, flite.output())
        .await
        .map_err(|_| "flite takes too long".to_owned())?
        .map_err(|error| format!("flite does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("flite failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    tokio::fs::read(&file).await.map_err(|error| format!("flite wrote nothing: {error}"))
}

/// Ringing as in the US: 440 and 480 Hz, two seconds on, four off.
fn ringing(duration: Seconds) -> Arc<[f32]> {
    let tone = |n: usize, hertz: f32| (n as f32 / 8_000.0 * hertz * std::f32::consts::TAU).sin();
    let sample = |n: usize| if n % 48_000 < 16_000 { 0.1 * (tone(n, 440.0) + tone(n, 480.0)) } else { 0.0 };
    (0..samples_of(duration)).map(sample).collect()
}

fn samples_of(duration: Seconds) -> usize {
    (duration.0.min(LONGEST.as_secs_f64()) * f64::from(TELEPHONE_HERTZ)) as usize
}
