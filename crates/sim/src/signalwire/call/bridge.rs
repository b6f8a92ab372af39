//! A second leg (a transfer to another telephone, or to a call that is up), and digits that the platform dials into
//! the call.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Call, NODE_ID, Output, State, World, commands::Done};
use crate::signalwire::{
    clock::Now,
    params::{self, ControlId, Device, parse},
    switches::StreamEvents,
    wire::Refusal,
};

/// A leg to somebody else.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(super) peer_id: String,
    pub(super) device: Device,
    pub(super) tag: Option<String>,
    /// The tick at which it is decided; another call that is up answers for itself.
    pub(super) due: u64,
    pub(super) fails_with: Option<String>,
    pub(super) is_connected: bool,
    /// What the client is told of it.
    pub(super) events: StreamEvents,
    /// What the other call's caller says, where that is another call.
    said_there: VecDeque<Vec<f32>>,
}

/// Frames of another call that may wait; the two clocks are never further apart.
const MOST_WAITING: usize = 10;

impl Bridge {
    fn new(peer_id: String, device: Device, tag: Option<String>, due: u64) -> Self {
        Self {
            peer_id,
            device,
            tag,
            due,
            fails_with: None,
            is_connected: false,
            events: StreamEvents::Connect,
            said_there: VecDeque::new(),
        }
    }

    /// Whether the other side answers for itself: another call, or a socket.
    pub(super) fn answers_for_itself(&self) -> bool {
        match self.device {
            Device::Call { .. } | Device::Stream(_) => true,
            Device::Phone { .. } => false,
        }
    }
}

/// Digits on their way.
#[derive(Debug)]
pub(crate) struct SendingDigits {
    pub(super) control_id: ControlId,
    pub(super) until: u64,
}

/// Ticks that it takes to dial: 200 ms a digit, `w` half a second, `W` a second. `None` if these are no digits.
pub(super) fn dialling_ticks(digits: &str) -> Option<u64> {
    let ticks = digits.chars().map(|digit| match digit {
        '0'..='9' | '*' | '#' | 'A'..='D' => Some(10),
        'w' => Some(25),
        'W' => Some(50),
        _ => None,
    });
    let ticks: Option<u64> = ticks.sum();
    ticks.filter(|ticks| *ticks > 0)
}

impl Call {
    /// The call leaves the client: nothing that happens to it is told him any more.
    pub(super) fn transfer(&mut self, params: &Value) -> Done {
        let params::Transfer { dest } = parse("CallTransferParams", params)?;
        let is_document = dest.trim_start().starts_with('{') || dest.contains("version:");
        let is_known = dest.starts_with("https://") || dest.starts_with("http://");
        let is_context = dest.strip_prefix("context:").is_some_and(|context| !context.is_empty());
        if !(is_document || is_known || is_context) {
            let why = "dest is an address, a document, or context: and a name";
            return Err(Refusal::invalid_params("CallTransferParams", why));
        }
        self.note("handed_over", json!({ "dest": dest }));
        self.abandon_operations(false);
        self.close_streams("stop");
        self.state = State::HandedOver;
        Ok(json!({}))
    }

    pub(super) fn connect(&mut self, world: &World, params: &Value) -> Done {
        let params::Connect { devices, tag, .. } = parse("CallConnectParams", params)?;
        let Some(device) = devices.into_iter().flatten().next() else {
            return Err(Refusal::invalid_params("CallConnectParams", "no device"));
        };
        if self.bridge.is_some() {
            return Err(Refusal::fault("409", "the call is connected already"));
        }
        self.note("connect_requested", json!({ "device": device }));
        match &device {
            Device::Call { node_id, call_id } if node_id != NODE_ID || *call_id == self.id => {
                Err(Refusal::fault("404", "there is no such call to connect to"))
            }
            Device::Call { call_id, .. } => {
                self.begin_join(call_id.clone(), device, tag);
                Ok(json!({}))
            }
            Device::Stream(to) => {
                let codec = self.check_stream(world, to, "CallConnectParams")?;
                let events = world.switches.stream_connect_events;
                let (peer_id, due) = match &world.connect_fails {
                    Some(_) => (uuid::Uuid::new_v4().to_string(), self.ticks),
                    None => (self.connect_stream(world, to.clone(), codec), u64::MAX),
                };
                let fails_with = world.connect_fails.clone();
                self.bridge = Some(Bridge { fails_with, events, ..Bridge::new(peer_id, device, tag, due) });
                self.connect_event("connecting", json!({}));
                Ok(json!({}))
            }
            Device::Phone { to_number, .. } => {
                let telephone = world.telephones.get(to_number).cloned().unwrap_or_default();
                let outcome = telephone.outcome(device.ring_ticks());
                let fails_with = world.connect_fails.clone().or(outcome.failure.map(str::to_owned));
                let (peer_id, due) = (uuid::Uuid::new_v4().to_string(), self.ticks + outcome.after_ticks);
                self.bridge = Some(Bridge { fails_with, ..Bridge::new(peer_id, device, tag, due) });
                self.peer_event("created", json!({}));
                self.connect_event("connecting", json!({}));
                Ok(json!({}))
            }
        }
    }

    pub(super) fn disconnect(&mut self) -> Done {
        if self.bridge.is_none() {
            return Err(Refusal::fault("400", "the call is not connected"));
        }
        self.leave_bridge("stop");
        Ok(json!({}))
    }

    /// Lets what takes time come to its end.
    pub(super) fn advance_bridge(&mut self) {
        if let Some(sending) = self.sending.take_if(|sending| self.ticks >= sending.until) {
            let params = json!({ "control_id": sending.control_id, "state": "finished" });
            self.event("calling.call.send_digits", "finished", params);
        }
        let is_due = |bridge: &&mut Bridge| {
            let is_decided = bridge.fails_with.is_some() || !bridge.answers_for_itself();
            !bridge.is_connected && is_decided && self.ticks >= bridge.due
        };
        let Some(bridge) = self.bridge.as_mut().filter(is_due) else { return };
        if let Some(reason) = bridge.fails_with.clone() {
            let peer_state = json!({ "end_reason": reason });
            self.peer_event("ended", peer_state);
            self.connect_event("failed", json!({ "failed_reason": reason }));
            self.note("connect_failed", json!({ "reason": reason }));
            self.bridge = None;
            return;
        }
        bridge.is_connected = true;
        self.peer_event("answered", json!({}));
        self.connect_event("connected", json!({}));
        self.note("connected", json!({}));
    }

    /// Takes the legs apart.
    pub(super) fn leave_bridge(&mut self, by: &'static str) {
        let Some(bridge) = &self.bridge else { return };
        let peer_id = bridge.peer_id.clone();
        match bridge.device {
            Device::Call { .. } => {
                self.outputs.push_back(Output::Part { peer_id, is_over: by == "call_ended" });
            }
            Device::Stream(_) => self.close_stream(&peer_id, by),
            Device::Phone { .. } => self.peer_event("ended", json!({ "end_reason": "hangup" })),
        }
        self.connect_event("disconnected", json!({}));
        self.note("disconnected", json!({}));
        self.bridge = None;
    }

    /// Asks for the connection to another call that is up.
    pub(super) fn begin_join(&mut self, peer_id: String, device: Device, tag: Option<String>) {
        self.bridge = Some(Bridge::new(peer_id.clone(), device, tag, self.ticks));
        self.connect_event("connecting", json!({}));
        self.outputs.push_back(Output::Join { peer_id });
    }

    /// Another call of `owner` is to be connected to this one.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn join(&mut self, peer_id: &str, owner: Option<&str>, now: Now) -> Result<(), &'static str> {
        self.now = now;
        if self.state != State::Answered || self.bridge.is_some() || self.owner() != owner {
            return Err("error");
        }
        let device = Device::Call { node_id: NODE_ID.into(), call_id: peer_id.into() };
        let bridge = Bridge::new(peer_id.into(), device, None, self.ticks);
        self.bridge = Some(Bridge { is_connected: true, ..bridge });
        self.connect_event("connected", json!({}));
        Ok(())
    }

    /// What the other call said to being connected.
    pub(crate) fn join_answered(&mut self, peer_id: &str, answer: Result<(), &'static str>, now: Now) {
        self.now = now;
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.peer_id == peer_id) else { return };
        match answer {
            Ok(()) => {
                bridge.is_connected = true;
                self.connect_event("connected", json!({}));
                self.note("connected", json!({}));
            }
            Err(reason) => {
                self.connect_event("failed", json!({ "failed_reason": reason }));
                self.note("connect_failed", json!({ "reason": reason }));
                self.bridge = None;
            }
        }
    }

    /// The caller of the other call has said something.
    pub(crate) fn hear_peer(&mut self, samples: Vec<f32>) {
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.is_connected) else { return };
        bridge.said_there.push_back(samples);
        if bridge.said_there.len() > MOST_WAITING {
            bridge.said_there.pop_front();
        }
    }

    /// Adds the next frame of the other call's caller to what the caller hears.
    pub(super) fn play_peer(&mut self, ear: &mut [f32]) {
        let frame = self.bridge.as_mut().and_then(|bridge| bridge.said_there.pop_front());
        for (sample, said) in ear.iter_mut().zip(frame.into_iter().flatten()) {
            *sample += said;
        }
    }

    /// Has the other call's caller hear what this one says.
    pub(super) fn tell_peer(&mut self, samples: &[f32]) {
        let is_joined =
            |bridge: &&Bridge| bridge.is_connected && matches!(bridge.device, Device::Call { .. });
        let Some(bridge) = self.bridge.as_ref().filter(is_joined) else { return };
        let (peer_id, samples) = (bridge.peer_id.clone(), samples.to_vec());
        self.outputs.push_back(Output::ToPeer { peer_id, samples });
    }

    /// The other call has left.
    pub(crate) fn part(&mut self, peer_id: &str, now: Now) {
        self.now = now;
        if self.bridge.as_ref().is_some_and(|bridge| bridge.peer_id == peer_id) {
            self.connect_event("disconnected", json!({}));
            self.note("disconnected", json!({}));
            self.bridge = None;
        }
    }

    /// The socket that the call is connected to is open.
    pub(super) fn bridge_is_up(&mut self) {
        if let Some(bridge) = &mut self.bridge {
            bridge.is_connected = true;
        }
        self.connect_event("connected", json!({}));
        self.note("connected", json!({}));
    }

    /// The socket that the call was connected to is closed, or could not be opened.
    pub(super) fn bridge_is_gone(&mut self, why: &str) {
        if self.bridge.as_ref().is_some_and(|bridge| bridge.is_connected) {
            self.connect_event("disconnected", json!({}));
            self.note("disconnected", json!({}));
        } else {
            self.connect_event("failed", json!({ "failed_reason": why }));
            self.note("connect_failed", json!({ "reason": why }));
        }
        self.bridge = None;
    }

    /// Says how the second leg is; a socket is none.
    pub(super) fn peer_event(&mut self, state: &str, extra: Value) {
        let Some(bridge) = self.bridge.as_ref().filter(|bridge| !matches!(bridge.device, Device::Stream(_)))
        else {
            return;
        };
        let mut params = json!({ "call_id": bridge.peer_id, "node_id": NODE_ID, "segment_id": self.segment_id,
            "call_state": state, "direction": "outbound", "device": bridge.device, "tag": bridge.tag,
            "peer": { "call_id": self.id, "node_id": NODE_ID } });
        merge(&mut params, extra);
        self.outputs.push_back(Output::Event {
            event_type: "calling.call.state",
            state: state.to_owned(),
            params,
        });
    }

    /// Says how the connection of the two is.
    pub(super) fn connect_event(&mut self, state: &str, extra: Value) {
        let Some(bridge) = &self.bridge else { return };
        match (bridge.events, &bridge.device) {
            (StreamEvents::Connect, _) => {}
            (StreamEvents::None, _) | (StreamEvents::Stream, Device::Phone { .. } | Device::Call { .. }) => {
                return;
            }
            (StreamEvents::Stream, Device::Stream(to)) => {
                let (url, name) = (to.url.clone(), to.name.clone());
                return match state {
                    "connected" => self.stream_event("streaming", &url, name.as_deref()),
                    "disconnected" | "failed" => self.stream_event("finished", &url, name.as_deref()),
                    _ => {}
                };
            }
        }
        let mut params = json!({ "connect_state": state, "tag": bridge.tag, "peer": { "call_id": bridge.peer_id,
            "node_id": NODE_ID, "tag": bridge.tag, "device": bridge.device } });
        merge(&mut params, extra);
        self.event("calling.call.connect", state, params);
    }
}

impl Call {
    fn stream_event(&mut self, state: &str, url: &str, name: Option<&str>) {
        self.event("calling.call.stream", state, json!({ "state": state, "url": url, "name": name }));
    }
}

fn merge(into: &mut Value, extra: Value) {
    if let (Value::Object(into), Value::Object(extra)) = (into, extra) {
        into.extend(extra);
    }
}
