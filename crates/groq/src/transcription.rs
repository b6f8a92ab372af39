//! Speech to text.

use std::time::Duration;

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::{
    Error, Groq, RateLimits, Service, Stage,
    body::{self, snippet},
    client::{Post, answer},
    lenient,
};

/// What to transcribe, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Transcription {
    /// A whole WAV file; 16 kHz, one channel, 16 bits is what the model works on. Groq takes up to 25 MB, and bills
    /// ten seconds at least.
    pub wav: Bytes,
    /// The model, `whisper-large-v3` for instance.
    pub model: String,
    /// ISO 639-1 code of the language. Naming it makes the answer faster and better; `None` has it detected.
    pub language: Option<String>,
    /// Hints at spelling and style, in the language of the audio; Groq refuses more than 896 characters.
    pub prompt: Option<String>,
}

/// What was said.
#[derive(Clone, PartialEq)]
pub struct Transcript {
    /// The words, without the white space that models put around them. Whisper makes up words on silence: look
    /// at the segments.
    pub text: String,
    /// Name of the language as the server spells it, `English` for instance.
    pub language: Option<String>,
    /// Stretches of the text with their likelihoods; some servers send none.
    pub segments: Vec<Segment>,
    /// The quota after this request.
    pub rate_limits: RateLimits,
}

/// A stretch of a transcript. A missing number says nothing about the segment.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Segment {
    /// The words of this stretch.
    #[serde(default)]
    pub text: String,
    /// How likely it is that nobody spoke, 0 to 1.
    #[serde(default, deserialize_with = "lenient::number")]
    pub no_speech_prob: Option<f64>,
    /// How sure the model is of the words: 0 is certain, below -0.5 is doubtful.
    #[serde(default, deserialize_with = "lenient::number")]
    pub avg_logprob: Option<f64>,
    /// How repetitive the words are: above 2.4 the model went round in circles.
    #[serde(default, deserialize_with = "lenient::number")]
    pub compression_ratio: Option<f64>,
}

#[derive(Deserialize)]
struct Answer {
    text: Option<String>,
    language: Option<String>,
    #[serde(default, deserialize_with = "lenient::list")]
    segments: Vec<Segment>,
    /// whisper.cpp's server reports errors with status 200.
    error: Option<Value>,
}

impl Groq {
    /// Transcribes a recording.
    ///
    /// # Errors
    /// Any [`Error`] but those of streams; [`Error::Timeout`] when the answer is not complete within `timeout`.
    pub async fn transcribe(&self, request: Transcription, timeout: Duration) -> Result<Transcript, Error> {
        let deadline = Instant::now() + timeout;
        let Post { request: post, place: _place } = self.post(Service::Stt, "audio/transcriptions");
        let response = answer(post.multipart(request.into_form()), deadline, Stage::Answer).await?;
        let rate_limits = RateLimits::from_headers(response.headers());
        let body =
            timeout_at(deadline, body::read(response)).await.map_err(|_| Error::Timeout(Stage::Answer))??;
        parse(&body, rate_limits)
    }
}

fn parse(body: &[u8], rate_limits: RateLimits) -> Result<Transcript, Error> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Error::Nonsense(snippet(body)))?;
    let Some(text) = answer.text else {
        return Err(answer
            .error
            .map_or_else(|| Error::Nonsense(snippet(body)), |error| Error::from_late_error(&error)));
    };
    Ok(Transcript {
        text: text.trim().to_owned(),
        language: answer.language,
        segments: answer.segments,
        rate_limits,
    })
}

// === impl Transcription ===

impl Transcription {
    /// The audio is let go once it has been sent.
    fn into_form(self) -> Form {
        let Self { wav, model, language, prompt } = self;
        let size = wav.len() as u64;
        let file = Part::stream_with_length(wav, size)
            .file_name("turn.wav")
            .mime_str("audio/wav")
            .expect("a well-formed media type");
        let mut form =
            Form::new().text("model", model).text("response_format", "verbose_json").text("temperature", "0");
        for (name, value) in [("language", language), ("prompt", prompt)] {
            if let Some(value) = value {
                form = form.text(name, value);
            }
        }
        form.part("file", file)
    }
}

// What people say does not belong in a log by way of `{:?}`.

impl std::fmt::Debug for Transcription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcription")
            .field("audio_bytes", &self.wav.len())
            .field("model", &self.model)
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript")
            .field("text_chars", &self.text.chars().count())
            .field("language", &self.language)
            .field("segments", &self.segments)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("text_chars", &self.text.chars().count())
            .field("no_speech_prob", &self.no_speech_prob)
            .field("avg_logprob", &self.avg_logprob)
            .field("compression_ratio", &self.compression_ratio)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Transcript, Error> {
        parse(body.as_bytes(), RateLimits::default())
    }

    #[test]
    fn groqs_answer_is_read_and_trimmed() {
        let body = r#"{"task":"transcribe","language":"English","duration":2.5,"text":" Hello world.\n",
            "segments":[{"id":0,"seek":0,"start":0,"end":2.5,"text":" Hello world.","tokens":[50365],
            "temperature":0,"avg_logprob":-0.0976,"compression_ratio":0.8,"no_speech_prob":0.0128}],
            "x_groq":{"id":"req_1"}}"#;
        let transcript = read(body).unwrap();
        assert_eq!(transcript.text, "Hello world.");
        assert_eq!(transcript.language.as_deref(), Some("English"));
        let segment = Segment {
            text: " Hello world.".into(),
            no_speech_prob: Some(0.0128),
            avg_logprob: Some(-0.0976),
            compression_ratio: Some(0.8),
        };
        assert_eq!(transcript.segments, [segment]);
    }

    #[test]
    fn strings_nulls_and_missing_parts_of_other_servers_are_forgiven() {
        let body = r#"{"duration":"30.0","text":"Hi","language":null,
            "segments":[{"text":"Hi","no_speech_prob":null,"avg_logprob":"-0.5"}]}"#;
        let segment = &read(body).unwrap().segments[0];
        assert_eq!((segment.no_speech_prob, segment.avg_logprob), (None, Some(-0.5)));
        assert_eq!(read(r#"{"text":"Hi","segments":null}"#).unwrap().segments, []);
        assert_eq!(read(r#"{"text":""}"#).unwrap().text, "");
    }

    #[test]
    fn an_answer_without_text_is_an_error() {
        assert!(
            matches!(read(r#"{"error":"no model"}"#), Err(Error::GaveUp { message }) if message == "no model")
        );
        assert!(matches!(read(r#"{"ok":true}"#), Err(Error::Nonsense(_))));
        assert!(
            matches!(read("<html>oops</html>"), Err(Error::Nonsense(text)) if text == "<html>oops</html>")
        );
        assert!(matches!(read(""), Err(Error::Nonsense(_))));
    }

    #[test]
    fn debug_output_hides_what_was_said() {
        let shown =
            format!("{:?}", read(r#"{"text":"my secret","segments":[{"text":"my secret"}]}"#).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
