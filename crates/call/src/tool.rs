//! What the language model may ask for beside its words.

use std::time::{Duration, Instant};

/// Something that the model asks for, in its own words: nobody has checked them.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's handle of it.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// A JSON object, or what the model took for one.
    pub arguments: String,
}

/// Something that the model asked for, and what it was told came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// What it asked for.
    pub call: ToolCall,
    /// What it was told: JSON.
    pub result: String,
}

/// Something that the model asks for, and what that comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolAsk {
    /// As the model put it.
    pub call: ToolCall,
    /// What it comes to.
    pub tool: Tool,
}

/// What a request of the model comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Hang up, once the reply has been heard.
    EndCall,
    /// Hand the call over, once the reply has been heard.
    Transfer {
        /// Name of one of the assistant's targets.
        target: String,
        /// What he is told before the two are connected, if anything.
        announcement: Option<String>,
    },
    /// Dial digits into the call, once the reply has been heard.
    SendDigits {
        /// `0-9*#A-D`, `w`, `W`.
        digits: String,
    },
    /// Have the caller press keys, and tell the model which.
    CollectDigits {
        /// What the caller is asked, where the reply does not.
        prompt: String,
        /// After so many keys it is over; `#` ends it sooner.
        most: usize,
    },
    /// Have the caller leave a message, once the reply has been heard.
    TakeMessage {
        /// What the caller is asked, where the reply does not.
        prompt: String,
    },
    /// Somebody outside does it, and tells what came of it.
    External,
    /// It cannot be done.
    Refused {
        /// Stable reason.
        reason: &'static str,
    },
}

/// What became of something that the model asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolOutcome {
    /// It was done.
    Done,
    /// It was not allowed, or makes no sense.
    Refused,
    /// It failed, or took too long.
    Failed,
    /// The caller spoke, or the call ended, before it was done.
    Cancelled,
}

/// Why something that the model asked for was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFailure {
    /// Stable reason.
    pub reason: &'static str,
    /// What the model is told besides; may be empty.
    pub message: String,
}

/// Requests to the model in one turn: the last one may ask for nothing any more.
pub(crate) const MOST_ROUNDS: u32 = 5;

/// Things asked for in one reply.
const MOST_ASKED: usize = 8;

/// For the first key after the question, and for each further one.
const FIRST_KEY: Duration = Duration::from_secs(8);
const NEXT_KEY: Duration = Duration::from_secs(4);

/// What it takes to press a key more: some lines tell keys together, once the last one was pressed.
const KEY: Duration = Duration::from_secs(1);

/// What a turn has asked for, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct ToolWork {
    /// Which request to the model this is.
    pub(crate) round: u32,
    /// Where its words begin in the reply.
    pub(crate) said_from: usize,
    /// Asked for in it, as long as it is not certain that it is to be done.
    pub(crate) asked: Vec<ToolAsk>,
    /// Being done, or done, where the model waits for results.
    pub(crate) open: Vec<OpenTool>,
    /// Requests that are over: the words of each, and what was asked for.
    pub(crate) rounds: Vec<(String, Vec<ToolUse>)>,
    /// To be done once the reply has been heard.
    pub(crate) acts: Vec<ToolAsk>,
    /// How much later the turn has to be answered for it.
    pub(crate) extension: Duration,
}

/// Something that the model waits for.
#[derive(Debug)]
pub(crate) struct OpenTool {
    pub(crate) ask: ToolAsk,
    pub(crate) state: OpenState,
}

#[derive(Debug)]
pub(crate) enum OpenState {
    /// Somebody outside has until then.
    Away { deadline: Instant },
    /// The caller presses keys.
    Collecting { digits: String, last: Option<Instant> },
    /// What the model will be told.
    Over { result: String },
}

// === impl ToolCall ===

impl std::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments hold what callers said.
        f.debug_struct("ToolCall").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl ToolAsk ===

impl ToolAsk {
    /// Whether it is done after the reply, so that nobody waits for a result.
    pub(crate) fn is_act(&self) -> bool {
        match self.tool {
            Tool::EndCall | Tool::Transfer { .. } | Tool::SendDigits { .. } | Tool::TakeMessage { .. } => {
                true
            }
            Tool::CollectDigits { .. } | Tool::External | Tool::Refused { .. } => false,
        }
    }

    pub(crate) fn into_use(self, result: impl Into<String>) -> ToolUse {
        ToolUse { call: self.call, result: result.into() }
    }
}

// === impl ToolWork ===

impl ToolWork {
    pub(crate) fn ask(&mut self, mut asked: Vec<ToolAsk>) {
        asked.truncate(MOST_ASKED);
        self.asked = asked;
    }

    /// Whether anything is waited for.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// How many keys the caller is to press, if he is to press any.
    pub(crate) fn wanted_keys(&self) -> Option<usize> {
        self.open.iter().find_map(|open| match (&open.ask.tool, &open.state) {
            (Tool::CollectDigits { most, .. }, OpenState::Collecting { .. }) => Some(*most),
            _ => None,
        })
    }

    /// When somebody has waited long enough. `idle_since` tells since when the caller has had nothing to listen to.
    pub(crate) fn deadline(&self, idle_since: Option<Instant>) -> Option<Instant> {
        self.open.iter().filter_map(|open| open.deadline(idle_since)).min()
    }

    /// All that was asked for and answered in earlier rounds.
    pub(crate) fn uses(&self) -> Vec<ToolUse> {
        self.rounds.iter().flat_map(|(_, uses)| uses).cloned().collect()
    }
}

// === impl OpenTool ===

impl OpenTool {
    pub(crate) fn deadline(&self, idle_since: Option<Instant>) -> Option<Instant> {
        match &self.state {
            OpenState::Away { deadline } => Some(*deadline),
            OpenState::Collecting { last, .. } => {
                let idle_since = idle_since?;
                let Tool::CollectDigits { most, .. } = self.ask.tool else { return None };
                let first = idle_since + FIRST_KEY + KEY * most as u32;
                Some(last.map_or(first, |last| last.max(idle_since) + NEXT_KEY))
            }
            OpenState::Over { .. } => None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, OpenState::Over { .. })
    }
}

/// What the model is told of something that failed.
pub(crate) fn failed(reason: &str, message: &str) -> String {
    if message.is_empty() {
        return format!("{{\"error\":\"{reason}\"}}");
    }
    format!("{{\"error\":\"{reason}\",\"message\":\"{}\"}}", escaped(message))
}

/// A text within a JSON string.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
