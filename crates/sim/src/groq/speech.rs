//! `POST /audio/speech`: WAV only, at most 200 characters, a header that tells no length.

use std::{sync::Arc, time::Duration};

use axum::{Extension, extract::State, response::Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    answer::{Answer, Piece, before},
    envelope::Refusal,
    journal::{Entry, Service},
    mouth::HERTZ,
    state::Sim,
};

/// The longest input of Orpheus.
const MOST_CHARS: usize = 200;
/// An odd number of bytes per write, so that samples are cut in two.
const WRITE_LEN: usize = 1201;
/// The sign of a writer that does not know the length.
const UNKNOWN: u32 = u32::MAX;

const VOICES: [&str; 6] = ["autumn", "diana", "hannah", "austin", "daniel", "troy"];

#[derive(Deserialize)]
struct Request {
    model: String,
    input: String,
    voice: String,
    response_format: Option<String>,
}

pub(super) async fn speak(
    State(sim): State<Arc<Sim>>,
    Extension(entry): Extension<Entry>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let asked = Instant::now();
    let request: Request = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("invalid request: {error}")))?;
    entry.note("model", request.model.clone());
    entry.note("input", request.input.clone());
    entry.note("voice", request.voice.clone());
    request.check(&sim)?;

    let fault = sim.faults.take(Service::Tts, &request.input);
    entry.note("fault", json!(fault));
    if let Some(response) = before(fault.as_ref(), "audio/wav").await {
        return Ok(response);
    }
    let settings = sim.settings();
    let pcm = sim.mouth.say(settings.tts, &request.voice, &request.input).await;
    let pcm = pcm.map_err(|error| Refusal::broken_simulator(&error))?;
    entry.note("duration_ms", pcm.len() as u64 * 1000 / u64::from(HERTZ * 2));
    let at = Duration::from_millis(settings.tts_first_byte_ms).saturating_sub(asked.elapsed());
    let file = [&header()[..], &pcm].concat();
    let pieces =
        file.chunks(WRITE_LEN).map(|bytes| Piece { at, bytes: Bytes::copy_from_slice(bytes) }).collect();
    Ok(Answer::new("audio/wav", pieces).send(fault.as_ref()))
}

impl Request {
    fn check(&self, sim: &Sim) -> Result<(), Refusal> {
        if !sim.models.contains(&self.model) {
            return Err(Refusal::unknown_model(&self.model));
        }
        if self.response_format.as_ref().is_some_and(|format| format != "wav") {
            return Err(Refusal::bad_request("response_format must be one of [wav]"));
        }
        // Which error Groq gives is not known, nor whether it gives one: nobody should ever send more.
        let chars = self.input.chars().count();
        if chars > MOST_CHARS {
            let text = format!(
                "input length must be {MOST_CHARS} characters or fewer, but provided input contains {chars} characters"
            );
            return Err(Refusal::bad_request(text));
        }
        if self.input.trim().is_empty() {
            return Err(Refusal::bad_request("input must not be empty"));
        }
        if !VOICES.contains(&self.voice.as_str()) {
            return Err(Refusal::bad_request(format!("voice must be one of [{}]", VOICES.join(" "))));
        }
        Ok(())
    }
}

/// 78 bytes: RIFF, `fmt `, a LIST chunk that nobody expects, and `data`, with both lengths unknown.
fn header() -> Bytes {
    let mut header = BytesMut::new();
    header.put_slice(b"RIFF");
    header.put_u32_le(UNKNOWN);
    header.put_slice(b"WAVEfmt ");
    header.put_u32_le(16);
    header.put_u16_le(1);
    header.put_u16_le(1);
    header.put_u32_le(HERTZ);
    header.put_u32_le(HERTZ * 2);
    header.put_u16_le(2);
    header.put_u16_le(16);
    header.put_slice(b"LIST\x1A\0\0\0INFOISFT\x0E\0\0\0Lavf61.7.100\0\0data");
    header.put_u32_le(UNKNOWN);
    header.freeze()
}
