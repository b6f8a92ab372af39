//! `POST /chat/completions`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    answer::{Answer, Piece, before},
    envelope::Refusal,
    frames::{self, Pace},
    journal::{Entry, Service, unix_ms},
    script::reply_to,
    state::Sim,
};

/// What Groq accepts in a message; anything else is refused.
const MESSAGE_FIELDS: [&str; 6] = ["role", "content", "name", "tool_calls", "tool_call_id", "reasoning"];
/// Retired models and what Groq says to them.
const RETIRED: [&str; 4] =
    ["llama3-8b-8192", "llama3-70b-8192", "gemma2-9b-it", "distil-whisper-large-v3-en"];

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Map<String, Value>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_completion_tokens: Option<usize>,
    max_tokens: Option<usize>,
    n: Option<u32>,
    include_reasoning: Option<bool>,
    reasoning_effort: Option<String>,
    reasoning_format: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

pub(super) async fn complete(
    State(sim): State<Arc<Sim>>,
    Extension(entry): Extension<Entry>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let request: Request = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("invalid request: {error}")))?;
    entry.note("model", request.model.clone());
    entry.note("messages", json!(request.messages));
    let is_streamed = request.stream.unwrap_or(false);
    entry.note("stream", is_streamed);
    request.check(&sim)?;

    let said = request.last_user_message();
    let fault = sim.faults.take(Service::Llm, &said);
    entry.note("fault", json!(fault));
    let content_type = if is_streamed { "text/event-stream" } else { "application/json" };
    if let Some(response) = before(fault.as_ref(), content_type).await {
        return Ok(response);
    }
    let reply = reply_to(&sim.script(), &said);
    entry.note("reply", reply.clone());
    let answer = request.answer(&reply, &sim, &entry);
    Ok(answer.send(fault.as_ref()).into_response())
}

impl Request {
    fn check(&self, sim: &Sim) -> Result<(), Refusal> {
        let Self { model, messages, .. } = self;
        if RETIRED.contains(&model.as_str()) {
            return Err(Refusal::decommissioned(model));
        }
        if !sim.models.contains(model) {
            return Err(Refusal::unknown_model(model));
        }
        if messages.is_empty() {
            return Err(Refusal::bad_request("'messages' : minimum number of items is 1"));
        }
        for (index, message) in messages.iter().enumerate() {
            if let Some(field) = message.keys().find(|field| !MESSAGE_FIELDS.contains(&field.as_str())) {
                let text = format!("'messages.{index}' : property '{field}' is unsupported");
                return Err(Refusal::bad_request(text));
            }
        }
        if self.n.is_some_and(|n| n != 1) {
            return Err(Refusal::bad_request("'n' : number must be at most 1"));
        }
        let is_gpt_oss = model.starts_with("openai/gpt-oss");
        match (&self.reasoning_effort, is_gpt_oss, model.starts_with("qwen/")) {
            (None, _, _) | (Some(_), false, true) => {}
            (Some(effort), true, _) if ["low", "medium", "high"].contains(&effort.as_str()) => {}
            (Some(_), true, _) => {
                return Err(Refusal::bad_request(
                    "`reasoning_effort` must be one of `low`, `medium`, or `high`",
                ));
            }
            (Some(_), false, false) => {
                return Err(Refusal::bad_request("`reasoning_effort` is not supported with this model"));
            }
        }
        if self.reasoning_format.is_some() && is_gpt_oss {
            return Err(Refusal::bad_request("`reasoning_format` is not supported with this model"));
        }
        Ok(())
    }

    fn last_user_message(&self) -> String {
        let is_users =
            |message: &&Map<String, Value>| message.get("role").and_then(Value::as_str) == Some("user");
        let message = self.messages.iter().rev().find(is_users);
        match message.and_then(|message| message.get("content")) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        }
    }

    fn answer(&self, reply: &str, sim: &Sim, entry: &Entry) -> Answer {
        let settings = sim.settings();
        let mut tokens: Vec<&str> = reply.split_inclusive(' ').collect();
        let limit = self.max_completion_tokens.or(self.max_tokens).unwrap_or(usize::MAX);
        let finish_reason = if tokens.len() > limit { "length" } else { "stop" };
        tokens.truncate(limit);
        let pace = Pace {
            first_token: Duration::from_millis(settings.first_token_ms),
            token: Duration::from_millis(settings.token_ms),
        };
        let is_reasoning = self.model.starts_with("openai/gpt-oss") && self.include_reasoning != Some(false);
        let reasoning = is_reasoning.then_some(settings.reasoning.as_str());
        let usage = self.usage(tokens.len(), pace);
        let id = format!("chatcmpl-{}", Uuid::new_v4());
        let created = (unix_ms() / 1000.0) as u64;
        if self.stream.unwrap_or(false) {
            let include_usage =
                self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false);
            let stream = frames::Stream {
                id: &id,
                request_id: entry.request_id(),
                created,
                model: &self.model,
                reasoning,
                tokens: &tokens,
                finish_reason,
                usage: &usage,
                include_usage,
            };
            let pieces = stream.pieces(pace);
            let pieces = if settings.hostile_framing { frames::hostile(pieces) } else { pieces };
            return Answer::new("text/event-stream", pieces);
        }
        let mut message = json!({"role": "assistant", "content": tokens.concat()});
        if let Some(reasoning) = reasoning {
            message["reasoning"] = reasoning.into();
        }
        let body = json!({
            "id": id,
            "object": "chat.completion",
            "created": created,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason}],
            "usage": usage,
            "usage_breakdown": null,
            "system_fingerprint": "fp_21e59ac2de",
            "x_groq": {"id": entry.request_id(), "seed": 1_321_871_292_u64},
            "service_tier": "on_demand",
        });
        let at = pace.first_token + pace.token * tokens.len() as u32;
        Answer::new("application/json", vec![Piece { at, bytes: body.to_string().into() }])
    }

    /// A word is a token here.
    fn usage(&self, completion_tokens: usize, pace: Pace) -> Value {
        let words = |message: &Map<String, Value>| {
            message.values().map(|value| value.to_string().split(' ').count()).sum::<usize>()
        };
        let prompt_tokens: usize = self.messages.iter().map(words).sum();
        let completion_time = pace.token.as_secs_f64() * completion_tokens as f64;
        json!({
            "queue_time": 0.001,
            "prompt_tokens": prompt_tokens,
            "prompt_time": pace.first_token.as_secs_f64(),
            "completion_tokens": completion_tokens,
            "completion_time": completion_time,
            "total_tokens": prompt_tokens + completion_tokens,
            "total_time": pace.first_token.as_secs_f64() + completion_time,
        })
    }
}
