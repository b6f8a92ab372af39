//! What a turn needs from the world.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::time::Instant;
use voice_jobs::ToolCall;

use crate::error::TurnError;

/// A boxed future.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where callers' words are kept.
pub(crate) trait Recordings: Send + Sync {
    /// Downloads one recording.
    fn fetch<'a>(&'a self, url: &'a str, deadline: Instant) -> Work<'a, Result<Bytes, TurnError>>;
}

/// A stretch of words with what is known of its likelihood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stretch {
    /// The words.
    pub text: String,
    /// How likely it is that nobody spoke.
    pub no_speech: Option<f64>,
    /// How sure the recogniser is: 0 is certain.
    pub log_probability: Option<f64>,
    /// How repetitive the words are.
    pub compression: Option<f64>,
}

/// How much a request is needed. What is only nice to have leaves a part of the provider's plan to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Somebody waits for it.
    Awaited,
    /// A second request beside a slow one.
    Hedge,
    /// Words of an utterance that goes on.
    Partial,
}

impl Need {
    /// The name that metrics use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Hedge => "hedge",
            Self::Partial => "partial",
        }
    }
}

/// Speech to text.
pub(crate) trait Transcribe: Send + Sync {
    /// Recognises a WAV file of one channel, 16 kHz at most. `language` is an ISO 639-1 code.
    fn transcribe<'a>(
        &'a self,
        wav: Bytes,
        language: Option<&'a str>,
        limit: Duration,
        need: Need,
    ) -> Work<'a, Result<Vec<Stretch>, TurnError>>;
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The caller.
    User,
    /// The assistant.
    Assistant,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Who wrote it.
    pub speaker: Speaker,
    /// The words.
    pub content: String,
    /// What the assistant asked for after them, and what it was told.
    pub tools: Vec<ToolUse>,
}

/// Something that the language model asked for, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolUse {
    /// What it asked for.
    pub call: ToolCall,
    /// What it was told.
    pub result: String,
}

/// Something that the language model may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// A JSON schema of its arguments.
    pub parameters: Value,
}

/// A piece of what the language model writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Words.
    Words(String),
    /// Something that it asks for; comes after the words.
    Asked(ToolCall),
}

/// What the language model is to answer.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    /// System prompt.
    pub prompt: String,
    /// What was said, oldest first.
    pub messages: Vec<Message>,
    /// What may be asked for.
    pub tools: Vec<Tool>,
}

/// How long a reply may make one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For its first words.
    pub first: Duration,
    /// For the next ones.
    pub between: Duration,
}

/// The language model.
pub(crate) trait Reply: Send + Sync {
    /// Writes a reply, piece by piece. The stream ends after the last piece, or with an error.
    fn reply<'a>(
        &'a self,
        conversation: &'a Conversation,
        patience: Patience,
    ) -> Work<'a, Result<BoxStream<'static, Result<Written, TurnError>>, TurnError>>;
}
