//! Groq, or any server that speaks its dialect.

use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use voice_audio::wav::Header;
use voice_groq::{ChatDelta, ChatRequest, Error, Groq, Reasoning, Segment, StreamDeadlines, Transcription};
use voice_jobs::ToolCall;
use voice_quota::{Cost, Exhausted, Quota};

use crate::{
    error::TurnError,
    ports::{
        Conversation, Message, Need, Patience, Reply, Speaker, Stretch, Tool, ToolUse, Transcribe, Work,
        Written,
    },
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
    /// What the plan allows for speech to text; `None` for servers that nobody counts.
    pub stt_quota: Option<Quota>,
    /// The same for the language model.
    pub llm_quota: Option<Quota>,
}

/// A guess, on the safe side for English.
const CHARS_PER_TOKEN: u64 = 3;

/// Seconds that Groq counts for any transcription at least.
const LEAST_BILLED: u64 = 10;

impl Transcribe for Provider {
    fn transcribe<'a>(
        &'a self,
        wav: Bytes,
        language: Option<&'a str>,
        limit: Duration,
        need: Need,
    ) -> Work<'a, Result<Vec<Stretch>, TurnError>> {
        let request = Transcription {
            wav,
            model: self.stt_model.clone(),
            language: language.map(str::to_owned),
            prompt: None,
        };
        Box::pin(async move {
            if let Some(quota) = &self.stt_quota {
                let cost = Cost { audio_seconds: billed_seconds(&request.wav), ..Cost::default() };
                // Boxed: it takes a moment, and the answer seconds.
                let reserved = Box::pin(quota.reserve_within(&self.stt_model, cost, percent(need))).await;
                reserved.map_err(|error| to_exhausted(&error, &STT))?;
            }
            let heard = self.groq.transcribe(request, limit).await.map_err(|error| to_error(&error, &STT))?;
            if heard.segments.is_empty() {
                return Ok(vec![Stretch { text: heard.text, ..Stretch::default() }]);
            }
            Ok(heard.segments.into_iter().map(to_stretch).collect())
        })
    }
}

/// How far the plan may be used for a request.
fn percent(need: Need) -> u64 {
    match need {
        Need::Awaited => 100,
        Need::Hedge => 80,
        Need::Partial => 50,
    }
}

impl Reply for Provider {
    fn reply<'a>(
        &'a self,
        conversation: &'a Conversation,
        patience: Patience,
    ) -> Work<'a, Result<BoxStream<'static, Result<Written, TurnError>>, TurnError>> {
        let Conversation { prompt, messages, tools } = conversation;
        let all = std::iter::once(voice_groq::Message::system(prompt))
            .chain(messages.iter().flat_map(to_messages))
            .collect();
        let mut request = ChatRequest::new(&self.llm_model, all);
        request.tools = tools.iter().map(to_tool).collect();
        request.max_completion_tokens = MOST_TOKENS;
        // Other models refuse these fields.
        request.reasoning = self.llm_model.contains("gpt-oss").then(|| Reasoning { effort: "low".into() });
        let deadlines = StreamDeadlines { first: patience.first, between: patience.between };
        Box::pin(async move {
            if let Some(quota) = &self.llm_quota {
                let tokens = chars_of(&request) / CHARS_PER_TOKEN + u64::from(MOST_TOKENS);
                let cost = Cost { tokens, ..Cost::default() };
                quota.reserve(&self.llm_model, cost).await.map_err(|error| to_exhausted(&error, &LLM))?;
            }
            let mut deltas =
                self.groq.chat_stream(&request, deadlines).await.map_err(|error| to_error(&error, &LLM))?;
            let pieces = stream! {
                while let Some(delta) = deltas.next().await {
                    match delta {
                        Ok(ChatDelta::Content(text)) => yield Ok(Written::Words(text)),
                        Ok(ChatDelta::ToolCall(call)) => yield Ok(Written::Asked(from_call(call))),
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

/// All that the model reads, in characters, roughly.
fn chars_of(request: &ChatRequest) -> u64 {
    let said = request.messages.iter().map(|message| {
        let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
        message.content.chars().count() + calls.sum::<usize>()
    });
    let declared =
        request.tools.iter().map(|tool| tool.description.len() + tool.parameters.to_string().len());
    (said.sum::<usize>() + declared.sum::<usize>()) as u64
}

/// A message, and the results of what it asks for.
fn to_messages(message: &Message) -> Vec<voice_groq::Message> {
    let Message { speaker, content, tools } = message;
    let mut said = match speaker {
        Speaker::User => voice_groq::Message::user(content),
        Speaker::Assistant => voice_groq::Message::assistant(content),
    };
    said.tool_calls = tools.iter().map(|ToolUse { call, .. }| to_call(call)).collect();
    let results = tools.iter().map(|ToolUse { call, result }| voice_groq::Message::tool(&call.id, result));
    std::iter::once(said).chain(results).collect()
}

fn to_call(call: &ToolCall) -> voice_groq::ToolCall {
    let ToolCall { id, name, arguments } = call.clone();
    // What the model wrote and nobody could read would be refused if it were repeated.
    let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&arguments).is_ok();
    let arguments = if is_object { arguments } else { "{}".to_owned() };
    voice_groq::ToolCall { id, name, arguments }
}

fn from_call(call: voice_groq::ToolCall) -> ToolCall {
    let voice_groq::ToolCall { id, name, arguments } = call;
    ToolCall { id, name, arguments }
}

fn to_tool(tool: &Tool) -> voice_groq::Tool {
    let Tool { name, description, parameters } = tool.clone();
    voice_groq::Tool { name, description, parameters }
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

fn to_exhausted(exhausted: &Exhausted, reasons: &Reasons) -> TurnError {
    TurnError {
        reason: reasons.rate_limited,
        message: exhausted.to_string(),
        is_retryable: true,
        retry_after: Some(exhausted.retry_after),
    }
}

/// The audio of a WAV file of 16-bit samples as it is billed, in seconds.
fn billed_seconds(wav: &[u8]) -> u64 {
    let bytes_per_second = Header::parse(wav)
        .ok()
        .flatten()
        .map_or(32_000, |header| header.block_bytes() * header.sample_rate_hertz as usize);
    (wav.len().div_ceil(bytes_per_second.max(1)) as u64).max(LEAST_BILLED)
}

fn to_stretch(segment: Segment) -> Stretch {
    Stretch {
        text: segment.text,
        no_speech: segment.no_speech_prob,
        log_probability: segment.avg_logprob,
        compression: segment.compression_ratio,
    }
}
