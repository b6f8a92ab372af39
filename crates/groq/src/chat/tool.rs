//! What a model may ask to be done, and what it asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// More than this in one reply is a model that has lost its way.
const MOST_CALLS: usize = 16;

/// Something that a model may ask to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name: `a-z`, `A-Z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it does, and when it is to be used.
    pub description: String,
    /// A JSON schema of its arguments.
    pub parameters: Value,
}

/// Something that a model asks to be done. Its `Debug` hides the arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's handle of it: its result refers to it.
    pub id: String,
    /// Name of the tool, as the model wrote it.
    pub name: String,
    /// A JSON object, as the model wrote it: nobody has checked it.
    pub arguments: String,
}

/// A piece of a call in a chunk. Servers send calls whole, or name first and arguments bit by bit.
#[derive(Debug, Deserialize)]
pub(super) struct Piece {
    index: Option<u32>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

/// Collects the calls of a reply.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<u32, ToolCall>);

// === impl ToolCall ===

impl std::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolCall").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Calls ===

impl Calls {
    /// Takes pieces as they come.
    pub(super) fn push(&mut self, pieces: Vec<Piece>) {
        for Piece { index, id, function } in pieces {
            // One without a number is whole.
            let index = index.unwrap_or(self.0.len() as u32);
            if self.0.len() >= MOST_CALLS && !self.0.contains_key(&index) {
                continue;
            }
            let call = self.0.entry(index).or_insert_with(|| ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            });
            if let Some(id) = id.filter(|id| !id.is_empty()) {
                call.id = id;
            }
            let Some(Function { name, arguments }) = function else { continue };
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                call.name = name;
            }
            call.arguments.push_str(arguments.as_deref().unwrap_or_default());
        }
    }

    /// Everything that was asked for, in order. What has no id gets one, so that its result can refer to it.
    pub(super) fn finish(&mut self) -> impl Iterator<Item = ToolCall> + use<> {
        let named = std::mem::take(&mut self.0).into_iter().filter(|(_, call)| !call.name.is_empty());
        named.map(|(index, mut call)| {
            if call.id.is_empty() {
                call.id = format!("call_{index}");
            }
            // A tool without parameters is called with nothing, or with the word for it.
            if matches!(call.arguments.trim(), "" | "null") {
                "{}".clone_into(&mut call.arguments);
            }
            call
        })
    }
}

/// Writes calls as a message carries them.
pub(super) fn calls<S: Serializer>(calls: &[ToolCall], serializer: S) -> Result<S::Ok, S::Error> {
    let calls = calls.iter().map(|ToolCall { id, name, arguments }| {
        json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
    });
    calls.collect::<Vec<_>>().serialize(serializer)
}

/// Writes tools as a request declares them.
pub(super) fn declared<S: Serializer>(tools: &[Tool], serializer: S) -> Result<S::Ok, S::Error> {
    let tools = tools.iter().map(|Tool { name, description, parameters }| {
        let function = json!({ "name": name, "description": description, "parameters": parameters });
        json!({ "type": "function", "function": function })
    });
    tools.collect::<Vec<_>>().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(chunks: &[Value]) -> Vec<(String, String, String)> {
        let mut calls = Calls::default();
        for chunk in chunks {
            calls.push(serde_json::from_value(chunk.clone()).unwrap());
        }
        calls.finish().map(|ToolCall { id, name, arguments }| (id, name, arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn calls_come_whole_or_bit_by_bit_and_are_told_in_order() {
        let chunks = [
            json!([{ "index": 1, "id": "b", "function": { "name": "later", "arguments": "" } }]),
            json!([{ "index": 0, "id": "a", "function": { "name": "first", "arguments": "{}" } }]),
            json!([{ "index": 1, "function": { "arguments": "{\"x\":" } }]),
            json!([{ "index": 1, "id": null, "function": { "name": null, "arguments": "1}" } }]),
        ];
        assert_eq!(collected(&chunks), [call("a", "first", "{}"), call("b", "later", "{\"x\":1}")]);
    }

    #[test]
    fn what_servers_leave_out_is_made_up_for() {
        let chunks = [json!([
            { "id": "a", "function": { "name": "one", "arguments": "null" } },
            { "function": { "name": "two" } },
            { "index": 7, "function": { "arguments": "{}" } },
        ])];
        assert_eq!(collected(&chunks), [call("a", "one", "{}"), call("call_1", "two", "{}")]);
    }

    #[test]
    fn a_model_that_asks_without_end_is_cut_short() {
        let chunks: Vec<_> =
            (0..100).map(|index| json!([{ "index": index, "function": { "name": "x" } }])).collect();
        assert_eq!(collected(&chunks).len(), MOST_CALLS);
    }
}
