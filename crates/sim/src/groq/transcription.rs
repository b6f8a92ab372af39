//! `POST /audio/transcriptions`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Multipart, State},
    response::Response,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use voice_audio::{Audio, AudioError, decode::decode, wav};

use super::{
    answer::{Answer, before},
    envelope::Refusal,
    journal::{Entry, Service},
    settings::SttMode,
    state::Sim,
    upload::Upload,
};

/// The shortest audio that Groq takes.
const SHORTEST: Duration = Duration::from_millis(10);
/// Longer than any utterance.
const LONGEST: Duration = Duration::from_mins(10);
/// The longest prompt that Groq takes.
const MOST_PROMPT_CHARS: usize = 896;
/// Below this, in every 20 ms, nobody speaks: -45 dB.
const SILENCE: f32 = 0.0056;
/// What Whisper hears when nobody speaks.
const PHANTOM: &str = "Thank you.";

const MODELS: [&str; 2] = ["whisper-large-v3", "whisper-large-v3-turbo"];

/// What was heard, and how sure the recogniser is.
struct Heard {
    text: String,
    duration: Duration,
    no_speech_prob: f64,
    avg_logprob: f64,
}

pub(super) async fn transcribe(
    State(sim): State<Arc<Sim>>,
    Extension(entry): Extension<Entry>,
    form: Multipart,
) -> Result<Response, Refusal> {
    let asked = Instant::now();
    let upload = Upload::read(form).await?;
    for (name, value) in [
        ("model", &upload.model),
        ("language", &upload.language),
        ("prompt", &upload.prompt),
        ("file_name", &upload.file_name),
        ("response_format", &upload.response_format),
    ] {
        entry.note(name, json!(value));
    }
    let format = upload.response_format.as_deref().unwrap_or("json");
    let file = check(&upload, &sim, format)?;
    let content_type = if format == "text" { "text/plain" } else { "application/json" };

    // A fault that depends on what is said has to hear it first.
    let mut fault = None;
    let is_late = sim.faults.depend_on_input(Service::Stt);
    if !is_late {
        fault = sim.faults.take(Service::Stt, "");
        entry.note("fault", json!(fault));
        if let Some(response) = before(fault.as_ref(), content_type).await {
            return Ok(response);
        }
    }
    let settings = sim.settings();
    let heard = match settings.stt {
        SttMode::Canned(text) => Heard::canned(text, &file),
        SttMode::Real => listen(&sim, &file).await?,
    };
    entry.note("text", heard.text.clone());
    entry.note("duration_ms", heard.duration.as_millis() as u64);
    if is_late {
        fault = sim.faults.take(Service::Stt, &heard.text);
        entry.note("fault", json!(fault));
        if let Some(response) = before(fault.as_ref(), content_type).await {
            return Ok(response);
        }
    }
    sleep_until(asked + Duration::from_millis(settings.stt_delay_ms)).await;
    let answer = match format {
        "text" => Answer::whole("text/plain", format!(" {}\n", heard.text)),
        "verbose_json" => Answer::json(&heard.verbose(&upload, entry.request_id())),
        _ => Answer::json(&json!({"text": heard.spoken(), "x_groq": {"id": entry.request_id()}})),
    };
    Ok(answer.send(fault.as_ref()))
}

fn check(upload: &Upload, sim: &Sim, format: &str) -> Result<Bytes, Refusal> {
    let model = upload.model.as_deref().ok_or_else(|| Refusal::bad_request("model is required"))?;
    let is_listener = MODELS.contains(&model) || sim.models.iter().any(|known| known == model);
    if !is_listener {
        return Err(Refusal::unknown_model(model));
    }
    if !["json", "verbose_json", "text"].contains(&format) {
        return Err(Refusal::bad_request("response_format must be one of [json, text, verbose_json]"));
    }
    let prompt_chars = upload.prompt.as_ref().map_or(0, |prompt| prompt.chars().count());
    if prompt_chars > MOST_PROMPT_CHARS {
        return Err(Refusal::bad_request(format!(
            "prompt length must be {MOST_PROMPT_CHARS} characters or fewer, but provided prompt contains {prompt_chars} characters"
        )));
    }
    upload.file.clone().ok_or_else(|| Refusal::bad_request("file or url is required"))
}

async fn listen(sim: &Sim, file: &Bytes) -> Result<Heard, Refusal> {
    let file = file.clone();
    let decoded = tokio::task::spawn_blocking(move || decode(&file, LONGEST)).await;
    let audio = match decoded.map_err(|error| Refusal::broken_simulator(&error.into()))? {
        Ok(audio) if audio.duration() < SHORTEST => return Err(too_short()),
        Ok(audio) => audio,
        Err(AudioError::Empty) => return Err(too_short()),
        Err(
            AudioError::UnknownFormat(_)
            | AudioError::BrokenHeader(_)
            | AudioError::Broken(_)
            | AudioError::CutOff(_)
            | AudioError::TooLong { .. },
        ) => {
            return Err(Refusal::bad_request("could not process file - is it a valid media file?"));
        }
    };
    let duration = audio.duration();
    if is_silent(&audio) {
        return Ok(Heard::phantom(duration));
    }
    let recognised = sim.ear.recognise(audio, &sim.grammar()).await;
    let text = recognised.map_err(|error| Refusal::broken_simulator(&error))?;
    if text.is_empty() {
        return Ok(Heard::phantom(duration));
    }
    Ok(Heard { text, duration, no_speech_prob: 0.012, avg_logprob: -0.15 })
}

fn too_short() -> Refusal {
    Refusal::bad_request("Audio file is too short. Minimum audio length is 0.01 seconds.")
}

fn is_silent(audio: &Audio) -> bool {
    let frame = (audio.sample_rate_hertz / 50).max(1) as usize;
    audio.samples.chunks(frame).all(|frame| {
        let power = frame.iter().map(|sample| sample * sample).sum::<f32>() / frame.len() as f32;
        power.sqrt() < SILENCE
    })
}

// === impl Heard ===

impl Heard {
    fn canned(text: String, file: &[u8]) -> Self {
        let duration = wav::read(file).map_or(Duration::ZERO, |audio| audio.duration());
        Self { text, duration, no_speech_prob: 0.012, avg_logprob: -0.15 }
    }

    fn phantom(duration: Duration) -> Self {
        Self { text: PHANTOM.to_owned(), duration, no_speech_prob: 0.91, avg_logprob: -0.72 }
    }

    /// The text with the leading space that Whisper gives it.
    fn spoken(&self) -> String {
        format!(" {}", self.text)
    }

    fn verbose(&self, upload: &Upload, request_id: &str) -> Value {
        let seconds = self.duration.as_secs_f64();
        let mut answer = json!({
            "task": "transcribe",
            "language": "English",
            "duration": seconds,
            "text": self.spoken(),
            "segments": [{
                "id": 0,
                "seek": 0,
                "start": 0,
                "end": seconds,
                "text": self.spoken(),
                "tokens": [50365, 2425, 1002, 13, 50490],
                "temperature": 0,
                "avg_logprob": self.avg_logprob,
                "compression_ratio": 0.8,
                "no_speech_prob": self.no_speech_prob,
            }],
            "x_groq": {"id": request_id},
        });
        if upload.granularities.iter().any(|granularity| granularity == "word") {
            let words: Vec<&str> = self.text.split_whitespace().collect();
            let each = seconds / words.len().max(1) as f64;
            let timed = words.iter().enumerate().map(|(index, word)| {
                json!({"word": word, "start": each * index as f64, "end": each * (index + 1) as f64})
            });
            answer["words"] = timed.collect();
            if !upload.granularities.iter().any(|granularity| granularity == "segment") {
                answer["segments"] = Value::Null;
            }
        }
        answer
    }
}
