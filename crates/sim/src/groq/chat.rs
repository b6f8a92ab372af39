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
    script::{Call, Line, answer_to},
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
    tools: Option<Vec<Tool>>,
}

#[derive(Deserialize)]
struct Tool {
    r#type: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    parameters: Option<Map<String, Value>>,
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
    entry.note("tools", json!(request.declared()));
    request.check(&sim)?;

    let said = request.last_message();
    let fault = sim.faults.take(Service::Llm, &said);
    entry.note("fault", json!(fault));
    let content_type = if is_streamed { "text/event-stream" } else { "application/json" };
    if let Some(response) = before(fault.as_ref(), content_type).await {
        return Ok(response);
    }
    let line = answer_to(&sim.script(), &said, &request.declared());
    entry.note("reply", line.reply.clone());
    let answer = request.answer(&line, &sim, &entry);
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
        self.check_tools()?;
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

    /// Groq refuses what the vendors' documents do not allow: results that nothing asked for, requests without results.
    fn check_tools(&self) -> Result<(), Refusal> {
        let is_name = |name: &str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            (1..=64).contains(&name.len()) && name.bytes().all(is_known)
        };
        for (index, tool) in self.tools.iter().flatten().enumerate() {
            let is_schema =
                tool.function.parameters.as_ref().is_none_or(|schema| schema.contains_key("type"));
            if tool.r#type != "function" || !is_name(&tool.function.name) || !is_schema {
                return Err(Refusal::bad_request(format!("'tools.{index}' : invalid function definition")));
            }
        }
        let mut open: Vec<&str> = Vec::new();
        for (index, message) in self.messages.iter().enumerate() {
            let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("role") == "tool" {
                let asked = open.iter().position(|id| *id == text("tool_call_id"));
                let Some(asked) = asked else {
                    let text = format!("'messages.{index}' : tool_call_id has no preceding tool call");
                    return Err(Refusal::bad_request(text));
                };
                open.remove(asked);
                continue;
            }
            if !open.is_empty() {
                let text = format!("'messages.{index}' : a tool call before it has no result");
                return Err(Refusal::bad_request(text));
            }
            for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                let is_object = serde_json::from_str::<Map<String, Value>>(arguments).is_ok();
                let (Some(id), Some("function"), true) =
                    (call["id"].as_str(), call["type"].as_str(), is_object)
                else {
                    return Err(Refusal::bad_request(format!("'messages.{index}.tool_calls' : invalid")));
                };
                open.push(id);
            }
        }
        if open.is_empty() { Ok(()) } else { Err(Refusal::bad_request("a tool call has no result")) }
    }

    fn declared(&self) -> Vec<String> {
        self.tools.iter().flatten().map(|tool| tool.function.name.clone()).collect()
    }

    /// What the model is to answer: words of the user, or the result of a tool.
    fn last_message(&self) -> String {
        let is_asking = |message: &&Map<String, Value>| {
            matches!(message.get("role").and_then(Value::as_str), Some("user" | "tool"))
        };
        let message = self.messages.iter().rev().find(is_asking);
        match message.and_then(|message| message.get("content")) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        }
    }

    fn answer(&self, line: &Line, sim: &Sim, entry: &Entry) -> Answer {
        let settings = sim.settings();
        let mut tokens: Vec<&str> = line.reply.split_inclusive(' ').collect();
        let limit = self.max_completion_tokens.or(self.max_tokens).unwrap_or(usize::MAX);
        let tool_calls: Vec<Value> = line.tool_calls.iter().map(to_call).collect();
        let finish_reason = match (tokens.len() > limit, tool_calls.is_empty()) {
            (true, _) => "length",
            (false, true) => "stop",
            (false, false) => "tool_calls",
        };
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
                tool_calls: &tool_calls,
                finish_reason,
                usage: &usage,
                include_usage,
            };
            let pieces = stream.pieces(pace);
            let pieces = if settings.hostile_framing { frames::hostile(pieces) } else { pieces };
            return Answer::new("text/event-stream", pieces);
        }
        let mut message = json!({"role": "assistant", "content": tokens.concat()});
        if !tool_calls.is_empty() {
            message["tool_calls"] = tool_calls.into();
        }
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

fn to_call(call: &Call) -> Value {
    let id = format!("fc_{}", Uuid::new_v4().simple());
    let function = json!({ "name": call.name, "arguments": call.arguments() });
    json!({ "id": id, "type": "function", "function": function })
}
