//! Events of the platform, typed. Unknown fields and values are tolerated everywhere.

use std::time::Duration;

use serde_json::Value;

use crate::{Leg, SessionState, frame::text_of};

/// Something that happened on the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A session is up.
    Connected {
        /// Whether calls of an earlier connection live on in it.
        restored: bool,
    },
    /// What is needed to resume the session after a restart; keep the newest.
    SessionChanged(SessionState),
    /// The connection is down; it is being made again. Events are being lost.
    Disconnected,
    /// Somebody calls.
    CallReceived(CallReceived),
    /// Something happened to a call.
    Call {
        /// The call.
        leg: Leg,
        /// The tag that we dialled it with, where the platform repeats it.
        tag: Option<String>,
        /// What happened.
        event: CallEvent,
    },
    /// Something came of dialling.
    Dial {
        /// Chosen by us.
        tag: String,
        /// What came of it.
        event: DialEvent,
    },
}

/// What comes of dialling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialEvent {
    /// Somebody has answered.
    Answered(Leg),
    /// Nobody has.
    Failed(NotReached),
}

/// Why nobody was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReached {
    /// The line is in use.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Something else.
    Other,
}

impl NotReached {
    fn of(reason: Option<&str>) -> Self {
        match reason {
            Some("busy") => Self::Busy,
            Some("noAnswer" | "no_answer" | "noanswer" | "timeout") => Self::NoAnswer,
            Some(_) | None => Self::Other,
        }
    }
}

/// A call that rings.
#[derive(Clone, PartialEq, Eq)]
pub struct CallReceived {
    /// How to address it.
    pub leg: Leg,
    /// The context it came in on.
    pub context: String,
    /// Number of the caller.
    pub from: String,
    /// Number that was called.
    pub to: String,
}

impl std::fmt::Debug for CallReceived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Numbers of callers stay out of logs.
        f.debug_struct("CallReceived")
            .field("leg", &self.leg)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Something that happened to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEvent {
    /// The call's own state.
    State(CallState),
    /// The call ended before anybody had answered.
    NotReached(NotReached),
    /// Digits have been dialled into it.
    DigitsSent {
        /// Chosen by us.
        control_id: String,
    },
    /// Something is known of who has answered.
    Detect {
        /// Chosen by us.
        control_id: String,
        /// What.
        event: DetectEvent,
    },
    /// A playback.
    Play {
        /// Chosen by us.
        control_id: String,
        /// What became of it.
        state: PlayState,
    },
    /// A recording.
    Record(RecordEvent),
    /// The ear.
    Collect(CollectEvent),
    /// A connection to another leg.
    Connect(ConnectState),
}

/// What is known of who has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectEvent {
    /// A person.
    Human,
    /// A machine.
    Machine,
    /// It cannot be told.
    Unknown,
    /// The machine records from now on.
    Ready,
    /// Nothing more will be found out.
    Over,
}

/// State of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Not answered.
    Ringing,
    /// Sound flows.
    Answered,
    /// Being taken down.
    Ending,
    /// Over.
    Ended,
}

/// State of a playback. A stop and a natural end look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayState {
    /// Sound has started, or goes on.
    Playing,
    /// Held.
    Paused,
    /// Over.
    Finished,
    /// Could not be played.
    Failed,
}

/// What happened to a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordEvent {
    /// Chosen by us.
    pub control_id: String,
    /// What became of it.
    pub state: RecordState,
    /// Where the audio is.
    pub url: Option<String>,
    /// Its length.
    pub duration: Option<Duration>,
}

/// State of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// It runs.
    Recording,
    /// Held.
    Paused,
    /// Over, with audio.
    Finished,
    /// Over, without speech.
    NoInput,
}

/// What the ear heard.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectEvent {
    /// Chosen by us.
    pub control_id: String,
    /// Whether the operation is over.
    pub is_over: bool,
    /// What was heard.
    pub heard: Heard,
}

/// What the ear heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Speech or a digit has begun.
    Start,
    /// Words, which may still change unless `is_final`.
    Speech {
        /// The words.
        text: String,
        /// Whether they are the last ones.
        is_final: bool,
    },
    /// Keys.
    Digits(String),
    /// Nothing came.
    NoInput,
    /// Something came that is neither speech nor a key.
    NoMatch,
    /// It does not work.
    Failed,
}

/// State of a connection to another leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectState {
    /// Being made.
    Connecting,
    /// The two can talk.
    Connected,
    /// Taken apart.
    Disconnected,
    /// It could not be made.
    Failed(NotReached),
}

/// Reads the params of a `signalwire.event`; `None` for what does not concern calls or cannot be read.
pub(crate) fn parse(params: &Value) -> Option<Event> {
    let event_type = params.get("event_type")?.as_str()?;
    let inner = params.get("params")?;
    let name = event_type.strip_prefix("calling.call.")?;
    if name == "receive" {
        return parse_received(inner).map(Event::CallReceived);
    }
    if name == "dial" {
        return parse_dial(inner);
    }
    let call_id = text(inner, "call_id")?;
    let leg = Leg { node_id: text(inner, "node_id").unwrap_or_default(), call_id };
    let event = match name {
        "state" => parse_state(inner)?,
        "send_digits" => CallEvent::DigitsSent { control_id: text(inner, "control_id")? },
        "detect" => CallEvent::Detect { control_id: text(inner, "control_id")?, event: parse_detect(inner)? },
        "play" => CallEvent::Play { control_id: text(inner, "control_id")?, state: parse_play(inner)? },
        "record" => CallEvent::Record(parse_record(inner)?),
        "collect" => CallEvent::Collect(parse_collect(inner)?),
        "connect" => CallEvent::Connect(parse_connect(inner)?),
        _ => return None,
    };
    Some(Event::Call { leg, tag: text(inner, "tag"), event })
}

fn parse_received(inner: &Value) -> Option<CallReceived> {
    let device = inner.get("device").and_then(|device| device.get("params"));
    let number = |names: [&str; 2]| {
        names.iter().find_map(|name| device?.get(name).and_then(text_of)).unwrap_or_default()
    };
    Some(CallReceived {
        leg: Leg { node_id: text(inner, "node_id")?, call_id: text(inner, "call_id")? },
        context: text(inner, "context").or_else(|| text(inner, "protocol")).unwrap_or_default(),
        from: number(["from_number", "from"]),
        to: number(["to_number", "to"]),
    })
}

fn parse_state(inner: &Value) -> Option<CallEvent> {
    let reason = inner.get("end_reason").and_then(Value::as_str);
    Some(match inner.get("call_state")?.as_str()? {
        "created" | "ringing" => CallEvent::State(CallState::Ringing),
        "answered" => CallEvent::State(CallState::Answered),
        "ending" => CallEvent::State(CallState::Ending),
        "ended" if matches!(reason, Some("busy" | "noAnswer" | "decline" | "error")) => {
            CallEvent::NotReached(NotReached::of(reason))
        }
        "ended" => CallEvent::State(CallState::Ended),
        _ => return None,
    })
}

fn parse_dial(inner: &Value) -> Option<Event> {
    let tag = text(inner, "tag")?;
    let event = match inner.get("dial_state")?.as_str()? {
        "answered" => {
            let call = inner.get("call")?;
            let leg = Leg { node_id: text(call, "node_id")?, call_id: text(call, "call_id")? };
            DialEvent::Answered(leg)
        }
        "failed" => DialEvent::Failed(NotReached::of(inner.get("reason").and_then(Value::as_str))),
        _ => return None,
    };
    Some(Event::Dial { tag, event })
}

fn parse_detect(inner: &Value) -> Option<DetectEvent> {
    let params = inner.get("detect")?.get("params")?;
    Some(match params.get("event")?.as_str()? {
        "HUMAN" => DetectEvent::Human,
        "MACHINE" => DetectEvent::Machine,
        "UNKNOWN" => DetectEvent::Unknown,
        "READY" => DetectEvent::Ready,
        "finished" | "error" => DetectEvent::Over,
        _ => return None,
    })
}

fn parse_play(inner: &Value) -> Option<PlayState> {
    Some(match inner.get("state")?.as_str()? {
        "playing" => PlayState::Playing,
        "paused" => PlayState::Paused,
        "finished" => PlayState::Finished,
        "error" => PlayState::Failed,
        _ => return None,
    })
}

fn parse_record(inner: &Value) -> Option<RecordEvent> {
    let state = match inner.get("state")?.as_str()? {
        "recording" => RecordState::Recording,
        "paused" => RecordState::Paused,
        "finished" | "error" => RecordState::Finished,
        "no_input" => RecordState::NoInput,
        _ => return None,
    };
    // Top-level in captured events, but inside `record` in others.
    let field = |name: &str| inner.get(name).or_else(|| inner.get("record")?.get(name));
    let seconds = field("duration").and_then(text_of).and_then(|text| text.parse::<f64>().ok());
    Some(RecordEvent {
        control_id: text(inner, "control_id")?,
        state,
        url: field("url").and_then(Value::as_str).map(str::to_owned),
        duration: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    })
}

fn parse_collect(inner: &Value) -> Option<CollectEvent> {
    let control_id = text(inner, "control_id")?;
    let result = inner.get("result")?;
    let kind = result.get("type")?.as_str()?;
    let is_collecting = inner.get("state").and_then(Value::as_str) == Some("collecting");
    let is_final = inner.get("final").and_then(Value::as_bool) != Some(false);
    let params = result.get("params");
    let param = |name: &str| params.and_then(|params| params.get(name)).and_then(text_of);
    let heard = match kind {
        "start_of_input" => Heard::Start,
        "speech" => {
            Heard::Speech { text: param("text").unwrap_or_default(), is_final: is_final && !is_collecting }
        }
        "digit" => Heard::Digits(param("digits").unwrap_or_default()),
        "no_input" => Heard::NoInput,
        "no_match" => Heard::NoMatch,
        "error" => Heard::Failed,
        _ => return None,
    };
    let is_over = !is_collecting && is_final && heard != Heard::Start;
    Some(CollectEvent { control_id, is_over, heard })
}

fn parse_connect(inner: &Value) -> Option<ConnectState> {
    Some(match inner.get("connect_state")?.as_str()? {
        "connecting" => ConnectState::Connecting,
        "connected" => ConnectState::Connected,
        "disconnected" => ConnectState::Disconnected,
        "failed" => ConnectState::Failed(NotReached::of(inner.get("failed_reason").and_then(Value::as_str))),
        _ => return None,
    })
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(text_of).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
