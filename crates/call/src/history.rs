//! The conversation as the language model is told it: what was heard, not what was said.

use crate::ToolUse;

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    User,
    /// The assistant.
    Assistant,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who spoke.
    pub role: Role,
    /// The words; of the assistant only those that the caller heard.
    pub content: String,
    /// What the assistant asked for after these words, and what it was told.
    pub tools: Vec<ToolUse>,
}

/// Messages in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History(Vec<Message>);

impl History {
    pub(crate) fn push(&mut self, role: Role, content: &str) {
        self.push_message(Message { role, content: content.to_owned(), tools: Vec::new() });
    }

    pub(crate) fn push_message(&mut self, message: Message) {
        if !message.content.is_empty() || !message.tools.is_empty() {
            self.0.push(message);
        }
    }

    /// Adds a turn: what was said, what was found out for the reply, and what was heard of it.
    pub(crate) fn push_turn(&mut self, user: &str, tools: Vec<ToolUse>, heard: &str) {
        self.push(Role::User, user);
        self.push_message(Message { role: Role::Assistant, content: String::new(), tools });
        self.push(Role::Assistant, heard);
    }

    /// How much was said so far.
    pub(crate) fn chars(&self) -> u64 {
        self.0.iter().map(|message| message.content.chars().count() as u64).sum()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.0.clone()
    }

    pub(crate) fn of(messages: Vec<Message>) -> Self {
        Self(messages)
    }
}
