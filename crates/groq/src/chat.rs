//! Chat completions, streamed.

mod decoder;
mod stream;
mod think;
mod tool;

use std::{borrow::Cow, time::Duration};

use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

pub use self::{
    stream::ChatStream,
    tool::{Tool, ToolCall},
};
use crate::{
    Error, Groq, Service, Stage, StreamDeadlines,
    body::{self, snippet},
    client::{Post, answer},
    lenient,
};

/// What the model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The model, `openai/gpt-oss-20b` for instance.
    pub model: String,
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// The longest reply, reasoning included. Groq reserves it against the tokens of the minute before it begins,
    /// so a generous limit costs quota; a small one may be eaten by reasoning.
    pub max_completion_tokens: u32,
    /// 0 to 2; `None` leaves it to the server.
    pub temperature: Option<f32>,
    /// How a reasoning model reasons. `None` sends nothing, which other servers and other models need: they refuse
    /// these fields.
    pub reasoning: Option<Reasoning>,
    /// What the model may ask to be done instead of, or after, its words.
    pub tools: Vec<Tool>,
}

/// One message of a conversation. Its `Debug` hides the words.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Whose it is.
    pub role: Role,
    /// The words.
    pub content: String,
    /// What the model asked to be done, after the words.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "tool::calls")]
    pub tool_calls: Vec<ToolCall>,
    /// The call whose result this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The operator's instructions.
    System,
    /// The caller.
    User,
    /// The model, earlier.
    Assistant,
    /// The result of something that the model asked for.
    Tool,
}

/// How a reasoning model reasons. The reasoning itself is never sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoning {
    /// `low`, `medium` or `high` on gpt-oss; other models have other words.
    pub effort: Cow<'static, str>,
}

/// A piece of a reply, in order. A reply is complete after [`ChatDelta::Finished`] and never before.
#[derive(Clone, PartialEq)]
pub enum ChatDelta {
    /// The next words, never empty and never reasoning.
    Content(String),
    /// Something that the model asks to be done. All come just before the end.
    ToolCall(ToolCall),
    /// The end.
    Finished(Finish),
}

/// How a reply ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finish {
    /// `stop`, or `length` when the limit of tokens cut it; servers know other words. `None` if the server did not say.
    pub reason: Option<String>,
    /// What it cost, as far as the server says.
    pub usage: Usage,
}

/// What a reply cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the messages.
    #[serde(default, deserialize_with = "lenient::count")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the reply, reasoning included.
    #[serde(default, deserialize_with = "lenient::count")]
    pub completion_tokens: Option<u64>,
    /// How long the request waited at the provider.
    #[serde(default, deserialize_with = "lenient::seconds")]
    pub queue_time: Option<Duration>,
    /// How long the messages took.
    #[serde(default, deserialize_with = "lenient::seconds")]
    pub prompt_time: Option<Duration>,
    /// How long the reply took.
    #[serde(default, deserialize_with = "lenient::seconds")]
    pub completion_time: Option<Duration>,
}

#[derive(Serialize)]
struct Wire<'a> {
    model: &'a str,
    messages: &'a [Message],
    max_completion_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_reasoning: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "tool::declared")]
    tools: &'a [Tool],
}

impl Groq {
    /// Asks for a reply and returns once the server has begun to answer. Dropping the stream cancels the request.
    ///
    /// # Errors
    /// Any [`Error`]; those that come after the answer has begun come out of the stream, as its last item.
    pub async fn chat_stream(
        &self,
        request: &ChatRequest,
        deadlines: StreamDeadlines,
    ) -> Result<ChatStream, Error> {
        let first_deadline = Instant::now() + deadlines.first;
        let Post { request: post, place } = self.post(Service::Llm, "chat/completions");
        let response = answer(post.json(&Wire::from(request)), first_deadline, Stage::First).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|value| value.starts_with("text/event-stream")) {
            return Ok(ChatStream::new(response, place, first_deadline, deadlines.between));
        }
        let body = timeout_at(first_deadline, body::read_beginning(response)).await.unwrap_or_default();
        let error = serde_json::from_slice::<Value>(&body).ok().and_then(|json| json.get("error").cloned());
        Err(error.map_or_else(|| Error::Nonsense(snippet(&body)), |error| Error::from_late_error(&error)))
    }
}

impl<'a> From<&'a ChatRequest> for Wire<'a> {
    fn from(request: &'a ChatRequest) -> Self {
        let ChatRequest { model, messages, max_completion_tokens, temperature, reasoning, tools } = request;
        Self {
            model,
            messages,
            max_completion_tokens: *max_completion_tokens,
            stream: true,
            temperature: *temperature,
            reasoning_effort: reasoning.as_ref().map(|reasoning| reasoning.effort.as_ref()),
            include_reasoning: reasoning.as_ref().map(|_| false),
            tools,
        }
    }
}

// === impl ChatRequest ===

impl ChatRequest {
    /// Asks a model with what suits a telephone: at most 300 tokens, the server's temperature, nothing that only some
    /// servers understand.
    pub fn new(model: impl Into<String>, messages: Vec<Message>) -> Self {
        Self {
            model: model.into(),
            messages,
            max_completion_tokens: 300,
            temperature: None,
            reasoning: None,
            tools: Vec::new(),
        }
    }
}

// === impl Message ===

impl Message {
    /// Makes an instruction of the operator.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// Makes a message of the caller.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// Makes an earlier message of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Makes the result of something that the model asked for.
    pub fn tool(call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: Some(call_id.into()), ..Self::new(Role::Tool, content) }
    }

    fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("role", &self.role)
            .field("chars", &self.content.chars().count())
            .field("tool_calls", &self.tool_calls)
            .finish_non_exhaustive()
    }
}

// === impl Reasoning ===

impl Reasoning {
    /// As little as gpt-oss can: a caller is waiting.
    pub const LOW: Self = Self { effort: Cow::Borrowed("low") };
}

// === impl ChatDelta ===

impl std::fmt::Debug for ChatDelta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Content(piece) => write!(f, "Content({} characters)", piece.chars().count()),
            Self::ToolCall(call) => call.fmt(f),
            Self::Finished(finish) => f.debug_tuple("Finished").field(finish).finish(),
        }
    }
}
