//! From the data of server-sent events to the pieces of a reply. Pure: no socket and no clock.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::{
    ChatDelta, Finish, Usage,
    think::ThinkFilter,
    tool::{Calls, Piece},
};
use crate::{Error, body::snippet, lenient};

#[derive(Deserialize)]
struct Chunk {
    #[serde(default, deserialize_with = "lenient::list")]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    x_groq: Option<XGroq>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

/// `reasoning` and `reasoning_content` are left unread: they are not for speech.
#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    #[serde(default, deserialize_with = "lenient::list")]
    tool_calls: Vec<Piece>,
}

#[derive(Deserialize)]
struct XGroq {
    usage: Option<Usage>,
    /// Set when the reply was stopped early. No vendor SDK looks at it.
    error: Option<Value>,
}

/// Collects a reply.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    think: ThinkFilter,
    calls: Calls,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    /// [`ChatDelta::Finished`] was given.
    finished: bool,
    ready: VecDeque<ChatDelta>,
}

impl Decoder {
    /// Takes the data of one event.
    pub(super) fn event(&mut self, data: &str) -> Result<(), Error> {
        let data = data.trim();
        if data == "[DONE]" {
            self.finish();
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|_| Error::Nonsense(snippet(data.as_bytes())))?;
        let Chunk { choices, usage, x_groq, error } = chunk;
        let (late_usage, late_error) = x_groq.map_or((None, None), |x_groq| (x_groq.usage, x_groq.error));
        if let Some(error) = error.or(late_error) {
            return Err(Error::from_late_error(&error));
        }
        self.usage = usage.or(late_usage).or(self.usage);
        // `n` is always 1, and the chunk that carries the usage may have no choice at all.
        if let Some(Choice { delta, finish_reason }) = choices.into_iter().next() {
            if let Some(Delta { content, tool_calls }) = delta {
                let spoken = self.think.push(&content.unwrap_or_default());
                self.give(spoken);
                self.calls.push(tool_calls);
            }
            self.finish_reason = finish_reason.or(self.finish_reason.take());
        }
        if self.is_complete() && self.usage.is_some() {
            self.finish();
        }
        Ok(())
    }

    /// Whether the server has said that the reply is over. What it cost may still be on the way.
    pub(super) fn is_complete(&self) -> bool {
        self.finished || self.finish_reason.is_some()
    }

    /// Ends the reply, if it has not ended yet.
    pub(super) fn finish(&mut self) {
        if self.finished {
            return;
        }
        let held = self.think.finish();
        self.give(held);
        self.ready.extend(self.calls.finish().map(ChatDelta::ToolCall));
        self.finished = true;
        let finish = Finish { reason: self.finish_reason.clone(), usage: self.usage.unwrap_or_default() };
        self.ready.push_back(ChatDelta::Finished(finish));
    }

    /// Gives the next piece.
    pub(super) fn pop(&mut self) -> Option<ChatDelta> {
        self.ready.pop_front()
    }

    fn give(&mut self, spoken: String) {
        if !spoken.is_empty() && !self.finished {
            self.ready.push_back(ChatDelta::Content(spoken));
        }
    }
}
