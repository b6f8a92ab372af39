//! Groq, or any server that speaks its dialect.

use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use voice_groq::{ChatDelta, ChatRequest, Error, Groq, Reasoning, Segment, StreamDeadlines, Transcription};

use crate::{
    error::TurnError,
    ports::{Message, Patience, Reply, Speaker, Stretch, Transcribe, Work},
};

/// Spoken replies are short, and Groq reserves this against the tokens of the minute.
const MOST_TOKENS: u32 = 300;

/// A provider with the models to use.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    /// The client.
    pub groq: Groq,
    /// Speech to text.
    pub stt_model: String,
    /// The language model.
    pub llm_model: String,
}

impl Transcribe for Provider {
    fn transcribe<'a>(
        &'a self,
        wav: Bytes,
        language: Option<&'a str>,
        limit: Duration,
    ) -> Work<'a, Result<Vec<Stretch>, TurnError>> {
        let request = Transcription {
            wav,
            model: self.stt_model.clone(),
            language: language.map(str::to_owned),
            prompt: None,
        };
        Box::pin(async move {
            let heard =
                self.groq.transcribe(&request, limit).await.map_err(|error| to_error(&error, &STT))?;
            if heard.segments.is_empty() {
                return Ok(vec![Stretch { text: heard.text, ..Stretch::default() }]);
            }
            Ok(heard.segments.into_iter().map(to_stretch).collect())
        })
    }
}

impl Reply for Provider {
    fn reply<'a>(
        &'a self,
        prompt: &'a str,
        messages: &'a [Message],
        patience: Patience,
    ) -> Work<'a, Result<BoxStream<'static, Result<String, TurnError>>, TurnError>> {
        let conversation = messages.iter().map(|message| match message.speaker {
            Speaker::User => voice_groq::Message::user(&message.content),
            Speaker::Assistant => voice_groq::Message::assistant(&message.content),
        });
        let all = std::iter::once(voice_groq::Message::system(prompt)).chain(conversation).collect();
        let mut request = ChatRequest::new(&self.llm_model, all);
        request.max_completion_tokens = MOST_TOKENS;
        // Other models refuse these fields.
        request.reasoning = self.llm_model.contains("gpt-oss").then(|| Reasoning { effort: "low".into() });
        let deadlines = StreamDeadlines { first: patience.first, between: patience.between };
        Box::pin(async move {
            let mut deltas =
                self.groq.chat_stream(&request, deadlines).await.map_err(|error| to_error(&error, &LLM))?;
            let pieces = stream! {
                while let Some(delta) = deltas.next().await {
                    match delta {
                        Ok(ChatDelta::Content(text)) => yield Ok(text),
                        Ok(ChatDelta::Finished(_)) => return,
                        Err(error) => {
                            yield Err(to_error(&error, &LLM));
                            return;
                        }
                    }
                }
            };
            Ok(pieces.boxed())
        })
    }
}

/// Stable reasons of one kind of provider.
struct Reasons {
    unavailable: &'static str,
    timeout: &'static str,
    rate_limited: &'static str,
    nonsense: &'static str,
}

const STT: Reasons = Reasons {
    unavailable: "STT_UNAVAILABLE",
    timeout: "STT_TIMEOUT",
    rate_limited: "STT_RATE_LIMITED",
    nonsense: "STT_NONSENSE",
};

const LLM: Reasons = Reasons {
    unavailable: "LLM_UNAVAILABLE",
    timeout: "LLM_TIMEOUT",
    rate_limited: "LLM_RATE_LIMITED",
    nonsense: "LLM_TRUNCATED",
};

fn to_error(error: &Error, reasons: &Reasons) -> TurnError {
    let reason = match error {
        Error::Timeout(_) => reasons.timeout,
        Error::RateLimited { .. } => reasons.rate_limited,
        Error::Truncated | Error::Nonsense(_) | Error::GaveUp { .. } => reasons.nonsense,
        _ => reasons.unavailable,
    };
    TurnError {
        reason,
        message: error.to_string(),
        // A provider that took all its time once would take it again.
        is_retryable: error.is_retryable() && !matches!(error, Error::Timeout(_)),
        retry_after: error.retry_after(),
    }
}

fn to_stretch(segment: Segment) -> Stretch {
    Stretch {
        text: segment.text,
        no_speech: segment.no_speech_prob,
        log_probability: segment.avg_logprob,
        compression: segment.compression_ratio,
    }
}
