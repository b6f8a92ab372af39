//! What is kept of a live call in the ledger, so that a relay that is started again at the same address has it back.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use voice_call::{Kept, Message, Role, ToolCall, ToolUse};
use voice_signalwire::Leg;

use crate::{doors::Door, registry::Origin};

/// The ledger of this relay.
pub(crate) type Ledger = voice_ledger::Ledger<KeptCall>;

/// A live call's page in it.
pub(crate) type Page = voice_ledger::Page<KeptCall>;

/// The right to dial for a request.
pub(crate) type Claim = voice_ledger::Claim<KeptCall>;

/// Events that a call may have had since it was last written down.
const UNWRITTEN: u64 = 1_000;

/// A live call at the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptCall {
    pub origin: Origin,
    pub door: Door,
    pub stage: Stage,
    /// Chose the assistant.
    pub context: String,
    pub caller_number: String,
    pub called_number: String,
    pub created_at: Timestamp,
    /// What the platform knows it by; not known before a telephone that we call rings.
    pub leg: Option<KeptLeg>,
    /// Whom the call is being handed to, or was, if he was called by himself.
    pub target: Option<KeptLeg>,
    pub running: Running,
    pub turns: u32,
    /// Of its newest event.
    pub sequence: u64,
    /// What the assistant is told beyond its prompt.
    pub instructions: Vec<String>,
    pub history: Vec<KeptMessage>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Nobody has answered.
    Ringing,
    /// The two talk.
    Talking,
    /// Somebody else was to take it.
    HandedOver,
}

/// One leg, as the platform addresses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLeg {
    node_id: String,
    call_id: String,
}

/// Control ids of what runs at the platform. It may have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub tape: Option<String>,
    pub ear: Option<String>,
    pub playback: Option<String>,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", content = "content", rename_all = "snake_case")]
pub(crate) enum KeptMessage {
    User(String),
    Assistant(String),
    /// The assistant, with what it asked for after its words.
    Asking {
        content: String,
        tools: Vec<KeptToolUse>,
    },
}

/// Something that the language model asked for, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptToolUse {
    id: String,
    name: String,
    arguments: String,
    result: String,
}

impl KeptCall {
    /// What the call's core has to know.
    pub(crate) fn to_core(&self, now: Timestamp) -> Kept {
        let lasted = Duration::try_from(now.duration_since(self.created_at)).unwrap_or_default();
        let history = self.history.iter().cloned().map(Message::from).collect();
        Kept { history, turns: self.turns, lasted, last_id: self.last_id() }
    }

    /// The sequence after which events are numbered now.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence + UNWRITTEN
    }

    /// Every id that a call gives out is told by an event at least, so ids are never ahead of events.
    pub(crate) fn last_id(&self) -> u32 {
        u32::try_from(self.next_sequence()).unwrap_or(u32::MAX / 2)
    }
}

impl From<&Leg> for KeptLeg {
    fn from(leg: &Leg) -> Self {
        Self { node_id: leg.node_id.clone(), call_id: leg.call_id.clone() }
    }
}

impl From<KeptLeg> for Leg {
    fn from(leg: KeptLeg) -> Self {
        Self { node_id: leg.node_id, call_id: leg.call_id }
    }
}

impl From<Message> for KeptMessage {
    fn from(message: Message) -> Self {
        let Message { role, content, tools } = message;
        match role {
            Role::User => Self::User(content),
            Role::Assistant if tools.is_empty() => Self::Assistant(content),
            Role::Assistant => {
                Self::Asking { content, tools: tools.into_iter().map(KeptToolUse::from).collect() }
            }
        }
    }
}

impl From<KeptMessage> for Message {
    fn from(message: KeptMessage) -> Self {
        match message {
            KeptMessage::User(content) => Self { role: Role::User, content, tools: Vec::new() },
            KeptMessage::Assistant(content) => Self { role: Role::Assistant, content, tools: Vec::new() },
            KeptMessage::Asking { content, tools } => {
                let tools = tools.into_iter().map(ToolUse::from).collect();
                Self { role: Role::Assistant, content, tools }
            }
        }
    }
}

impl From<ToolUse> for KeptToolUse {
    fn from(tool_use: ToolUse) -> Self {
        let ToolUse { call: ToolCall { id, name, arguments }, result } = tool_use;
        Self { id, name, arguments, result }
    }
}

impl From<KeptToolUse> for ToolUse {
    fn from(kept: KeptToolUse) -> Self {
        let KeptToolUse { id, name, arguments, result } = kept;
        Self { call: ToolCall { id, name, arguments }, result }
    }
}
