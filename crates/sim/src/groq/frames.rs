//! Server-sent events as Groq writes them: data only, `x_groq` on the first and the last, `[DONE]` at the end.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Piece;

/// What a streamed reply consists of.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    pub(super) id: &'a str,
    pub(super) request_id: &'a str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) reasoning: Option<&'a str>,
    pub(super) tokens: &'a [&'a str],
    /// As a message carries them.
    pub(super) tool_calls: &'a [Value],
    pub(super) finish_reason: &'static str,
    pub(super) usage: &'a Value,
    /// Whether the usage is sent once more, in a chunk without choices.
    pub(super) include_usage: bool,
}

/// When tokens come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) first_token: Duration,
    pub(super) token: Duration,
}

impl Stream<'_> {
    /// Writes the whole reply, one event a piece.
    pub(super) fn pieces(&self, pace: Pace) -> Vec<Piece> {
        let mut at = pace.first_token;
        let mut pieces = Vec::new();
        let mut send = |at, frame: String| pieces.push(Piece { at, bytes: frame.into() });

        let mut opening = self.chunk(json!({"role": "assistant", "content": ""}), None);
        opening["x_groq"] = json!({"id": self.request_id, "seed": 2_093_329_955_u64});
        send(at, data(&opening));
        for token in self.reasoning.into_iter().flat_map(|reasoning| reasoning.split_inclusive(' ')) {
            send(at, data(&self.chunk(json!({"reasoning": token, "channel": "analysis"}), None)));
        }
        for (index, token) in self.tokens.iter().enumerate() {
            at = pace.first_token + pace.token * index as u32;
            send(at, data(&self.chunk(json!({ "content": token }), None)));
        }
        for (index, call) in self.tool_calls.iter().enumerate() {
            for delta in in_deltas(index, call) {
                send(at, data(&self.chunk(json!({ "tool_calls": [delta] }), None)));
            }
        }
        let mut closing = self.chunk(json!({}), Some(self.finish_reason));
        closing["x_groq"] = json!({"id": self.request_id, "usage": self.usage});
        send(at, data(&closing));
        if self.include_usage {
            let mut accounting = self.chunk(json!({}), None);
            accounting["choices"] = json!([]);
            accounting["usage"] = self.usage.clone();
            send(at, data(&accounting));
        }
        send(at, "data: [DONE]\n\n".to_owned());
        pieces
    }

    fn chunk(&self, delta: Value, finish_reason: Option<&str>) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_c06d5113ec",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
        })
    }
}

/// Both forms that have been seen: a call in one delta, and one whose arguments come bit by bit without its id.
fn in_deltas(index: usize, call: &Value) -> Vec<Value> {
    let mut whole = call.clone();
    whole["index"] = index.into();
    if index.is_multiple_of(2) {
        return vec![whole];
    }
    let arguments = std::mem::take(&mut whole["function"]["arguments"]);
    let arguments: Vec<char> = arguments.as_str().unwrap_or_default().chars().collect();
    whole["function"]["arguments"] = "".into();
    let bits = arguments
        .chunks(8)
        .map(|bit| json!({ "index": index, "function": { "arguments": bit.iter().collect::<String>() } }));
    std::iter::once(whole).chain(bits).collect()
}

/// Rewrites events as unkindly as the format allows.
pub(super) fn hostile(pieces: Vec<Piece>) -> Vec<Piece> {
    let unkind = |piece: Piece| {
        let text = String::from_utf8_lossy(&piece.bytes).replace("data: ", "data:").replace('\n', "\r\n");
        let bytes = format!(": keep-alive\r\n\r\n{text}").into_bytes();
        bytes.chunks(7).map(|part| Piece { at: piece.at, bytes: part.to_vec().into() }).collect::<Vec<_>>()
    };
    pieces.into_iter().flat_map(unkind).collect()
}

/// An error after the 200.
pub(super) fn error() -> String {
    let error = json!({"error": {
        "message": "Failed to generate a reply. Please adjust your prompt.",
        "type": "invalid_request_error",
        "code": "generation_failed",
        "status_code": 500,
    }});
    format!("event: error\n{}", data(&error))
}

/// The other way to end early; no vendor SDK notices it.
pub(super) fn x_groq_error() -> String {
    data(&json!({
        "id": "chatcmpl-0",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {}, "logprobs": null, "finish_reason": null}],
        "x_groq": {"id": "req_0", "error": "over capacity, the reply was stopped"},
    }))
}

fn data(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}
