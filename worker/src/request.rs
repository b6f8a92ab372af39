//! A turn as it is asked for, in a job above all: parsed once, every field checked.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use voice_jobs::{Job, ToolCall};

use crate::{
    error::TurnError,
    ports::{Message, Speaker, Tool, ToolUse},
    turn::is_to_be_answered,
};

/// Spoken replies are short, and whoever plays them cannot show a list.
const DEFAULT_PROMPT: &str = "You are a friendly assistant on the telephone. Answer in one to three short spoken \
    sentences. Never use markdown, lists, emoji or links. If you did not understand, ask.";

/// One piece of what the caller said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where the recording is.
    pub url: String,
    /// Where speech begins in it.
    pub speech_start: Duration,
}

/// A turn to be worked on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TurnRequest {
    /// What the caller said, in order.
    pub pieces: Vec<Piece>,
    /// Words that come before it in the same message.
    pub earlier_text: String,
    /// The conversation so far.
    pub history: Vec<Message>,
    /// System prompt.
    pub prompt: String,
    /// What the language model may ask for.
    pub tools: Vec<Tool>,
    /// ISO 639-1 code.
    pub language: Option<String>,
    /// Unix time in seconds after which nobody waits any more.
    pub deadline: Option<f64>,
    /// What is answered already: if it is what the caller said, no reply is wanted.
    pub answered_text: String,
    /// Whether the two-argument form was used, whose result is the bare reply.
    pub wants_bare_reply: bool,
}

impl TryFrom<&Job> for TurnRequest {
    type Error = TurnError;

    fn try_from(job: &Job) -> Result<Self, TurnError> {
        let (url, history, wants_bare_reply) = match job.args.as_slice() {
            [_call_id, url, history] => (url, history, false),
            [url, history] => (url, history, true),
            other => return Err(invalid("args", &format!("{} arguments instead of 2 or 3", other.len()))),
        };
        let headers = &job.headers;
        let mut pieces = earlier_pieces(headers)?;
        match url {
            Value::String(url) => pieces
                .push(Piece { url: url.clone(), speech_start: millis(headers.get("voice_speech_start_ms")) }),
            Value::Null => {}
            _ => return Err(invalid("recording_url", "neither a text nor null")),
        }
        let text =
            |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let earlier_text = text("voice_earlier_text");
        let history = messages(history)?;
        if pieces.is_empty() && earlier_text.is_empty() && !is_to_be_answered(&history) {
            return Err(invalid("recording_url", "null, and nothing was said earlier"));
        }
        Ok(Self {
            pieces,
            earlier_text,
            history,
            prompt: prompt(&text("voice_prompt")),
            tools: tools(headers)?,
            language: language(&text("voice_language")),
            deadline: headers.get("voice_deadline").and_then(Value::as_f64),
            answered_text: text("voice_answered_text"),
            wants_bare_reply,
        })
    }
}

/// The prompt that was given, or the worker's own.
pub(crate) fn prompt(given: &str) -> String {
    let given = given.trim();
    if given.is_empty() { DEFAULT_PROMPT.to_owned() } else { given.to_owned() }
}

/// The code that providers take, of a BCP 47 tag.
pub(crate) fn language(tag: &str) -> Option<String> {
    let code: String = tag.trim().chars().take_while(char::is_ascii_alphabetic).collect();
    Some(code.to_lowercase()).filter(|code| !code.is_empty())
}

fn earlier_pieces(headers: &Map<String, Value>) -> Result<Vec<Piece>, TurnError> {
    let Some(value) = headers.get("voice_earlier_recordings") else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| invalid("voice_earlier_recordings", "not a list"))?;
    let pieces = list.iter().map(|piece| {
        let url = piece["url"]
            .as_str()
            .ok_or_else(|| invalid("voice_earlier_recordings", "an entry without url"))?;
        Ok(Piece { url: url.to_owned(), speech_start: millis(piece.get("speech_start_ms")) })
    });
    pieces.collect()
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    #[serde(default)]
    description: String,
    parameters: Map<String, Value>,
}

fn tools(headers: &Map<String, Value>) -> Result<Vec<Tool>, TurnError> {
    let Some(value) = headers.get("voice_tools") else { return Ok(Vec::new()) };
    let declared = Vec::<Declared>::deserialize(value);
    let declared = declared.map_err(|error| invalid("voice_tools", &error.to_string()))?;
    let tools = declared.into_iter().map(|Declared { name, description, parameters }| Tool {
        name,
        description,
        parameters: parameters.into(),
    });
    Ok(tools.collect())
}

fn messages(history: &Value) -> Result<Vec<Message>, TurnError> {
    let list = history.as_array().ok_or_else(|| invalid("conversation_history", "not a list"))?;
    let mut all: Vec<Message> = Vec::with_capacity(list.len());
    for message in list {
        if message["role"] == "tool" {
            take_result(&mut all, message)?;
            continue;
        }
        let speaker = match message["role"].as_str() {
            Some("user") => Speaker::User,
            Some("assistant") => Speaker::Assistant,
            // A system prompt of the producer's own is taken as ours would be.
            Some("system") => continue,
            _ => return Err(invalid("conversation_history", "a role that is neither user nor assistant")),
        };
        let tools = tool_calls(&message["tool_calls"])?;
        match message["content"].as_str() {
            Some(content) => push(&mut all, Message { speaker, content: content.to_owned(), tools }),
            None if !tools.is_empty() => push(&mut all, Message { speaker, content: String::new(), tools }),
            None => return Err(invalid("conversation_history", "a message without content")),
        }
    }
    let is_told = |tool_use: &ToolUse| !tool_use.result.is_empty();
    if all.iter().flat_map(|message| &message.tools).all(is_told) {
        Ok(all)
    } else {
        Err(invalid("conversation_history", "a tool call without a result"))
    }
}

/// What an assistant's message asks for, as language models have it; the results follow in messages of their own.
fn tool_calls(calls: &Value) -> Result<Vec<ToolUse>, TurnError> {
    let calls = calls.as_array().into_iter().flatten().map(|call| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let function = &call["function"];
        let (id, name, arguments) =
            (text(&call["id"]), text(&function["name"]), text(&function["arguments"]));
        let (Some(id), Some(name), Some(arguments)) = (id, name, arguments) else {
            return Err(invalid("conversation_history", "a tool call without id, name or arguments"));
        };
        Ok(ToolUse { call: ToolCall { id, name, arguments }, result: String::new() })
    });
    calls.collect()
}

fn take_result(all: &mut [Message], message: &Value) -> Result<(), TurnError> {
    let (id, content) = (&message["tool_call_id"], &message["content"]);
    let last = all.last_mut().into_iter().flat_map(|last| &mut last.tools);
    let asked = last.into_iter().find(|tool_use| *id == tool_use.call.id && tool_use.result.is_empty());
    match (asked, content.as_str()) {
        (Some(asked), Some(content)) => {
            content.clone_into(&mut asked.result);
            Ok(())
        }
        _ => Err(invalid("conversation_history", "a result that nothing asked for")),
    }
}

/// Adds a message to the conversation; consecutive words of one speaker are one message.
pub(crate) fn push(messages: &mut Vec<Message>, message: Message) {
    match messages.last_mut() {
        Some(last) if last.speaker == message.speaker && last.tools.is_empty() => {
            if !last.content.is_empty() && !message.content.is_empty() {
                last.content.push(' ');
            }
            last.content.push_str(&message.content);
            last.tools = message.tools;
        }
        Some(_) | None => messages.push(message),
    }
}

impl Message {
    /// Mere words.
    pub(crate) fn said(speaker: Speaker, content: &str) -> Self {
        Self { speaker, content: content.to_owned(), tools: Vec::new() }
    }
}

fn millis(value: Option<&Value>) -> Duration {
    Duration::from_millis(value.and_then(Value::as_u64).unwrap_or_default())
}

fn invalid(field: &str, message: &str) -> TurnError {
    TurnError::fatal("INVALID_JOB", format!("{field}: {message}"))
}
