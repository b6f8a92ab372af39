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
        call_id: String,
        /// What happened.
        event: CallEvent,
    },
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
    /// Nobody answered.
    Failed,
}

/// Reads the params of a `signalwire.event`; `None` for what does not concern calls or cannot be read.
pub(crate) fn parse(params: &Value) -> Option<Event> {
    let event_type = params.get("event_type")?.as_str()?;
    let inner = params.get("params")?;
    let name = event_type.strip_prefix("calling.call.")?;
    if name == "receive" {
        return parse_received(inner).map(Event::CallReceived);
    }
    let call_id = inner.get("call_id")?.as_str()?.to_owned();
    let event = match name {
        "state" => CallEvent::State(parse_state(inner)?),
        "play" => CallEvent::Play { control_id: text(inner, "control_id")?, state: parse_play(inner)? },
        "record" => CallEvent::Record(parse_record(inner)?),
        "collect" => CallEvent::Collect(parse_collect(inner)?),
        "connect" => CallEvent::Connect(parse_connect(inner)?),
        _ => return None,
    };
    Some(Event::Call { call_id, event })
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

fn parse_state(inner: &Value) -> Option<CallState> {
    Some(match inner.get("call_state")?.as_str()? {
        "created" | "ringing" => CallState::Ringing,
        "answered" => CallState::Answered,
        "ending" => CallState::Ending,
        "ended" => CallState::Ended,
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
        "failed" => ConnectState::Failed,
        _ => return None,
    })
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(text_of).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collect(inner: Value) -> CollectEvent {
        let params = json!({ "event_type": "calling.call.collect", "params": inner });
        match parse(&params) {
            Some(Event::Call { event: CallEvent::Collect(event), .. }) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_collect_is_over_only_with_its_terminal_result() {
        let base = json!({ "call_id": "c", "node_id": "n", "control_id": "x" });
        let with = |more: Value| {
            let mut all = base.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            collect(all)
        };
        let partial = with(
            json!({"state": "collecting", "final": false, "result": {"type": "speech", "params": {"text": "hel"}}}),
        );
        assert_eq!(
            (partial.is_over, partial.heard),
            (false, Heard::Speech { text: "hel".into(), is_final: false })
        );
        let last = with(
            json!({"state": "finished", "final": true, "result": {"type": "speech", "params": {"text": "hello"}}}),
        );
        assert_eq!(
            (last.is_over, last.heard),
            (true, Heard::Speech { text: "hello".into(), is_final: true })
        );
        assert!(with(json!({"result": {"type": "no_input"}})).is_over);
        assert!(!with(json!({"result": {"type": "start_of_input"}})).is_over);
        let digits =
            with(json!({"state": "finished", "result": {"type": "digit", "params": {"digits": 12}}}));
        assert_eq!(digits.heard, Heard::Digits("12".into()));
    }

    #[test]
    fn unknown_events_states_and_shapes_are_nothing() {
        for params in [
            json!({}),
            json!({"event_type": "messaging.receive", "params": {}}),
            json!({"event_type": "calling.call.play", "params": {"call_id": "c", "control_id": "x", "state": "dancing"}}),
            json!({"event_type": "calling.call.receive", "params": {"call_id": "c"}}),
            json!({"event_type": 7, "params": []}),
        ] {
            assert_eq!(parse(&params), None, "{params}");
        }
    }
}
