//! A second leg (a transfer to another telephone), and digits that the platform dials into the call.

use serde_json::json;

use super::{Call, NODE_ID, Output};
use crate::signalwire::params::{ControlId, Device};

/// Ticks that the other telephone rings: 300 ms.
const CONNECT_TICKS: u64 = 15;

/// A leg to somebody else.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(super) peer_id: String,
    pub(super) device: Device,
    pub(super) tag: Option<String>,
    pub(super) since: u64,
    pub(super) fails_with: Option<String>,
    pub(super) is_connected: bool,
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
    /// Lets what takes time come to its end.
    pub(super) fn advance_bridge(&mut self) {
        if let Some(sending) = self.sending.take_if(|sending| self.ticks >= sending.until) {
            let params = json!({ "control_id": sending.control_id, "state": "finished" });
            self.event("calling.call.send_digits", "finished", params);
        }
        let is_due =
            |bridge: &&mut Bridge| !bridge.is_connected && self.ticks >= bridge.since + CONNECT_TICKS;
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
    pub(super) fn leave_bridge(&mut self) {
        if self.bridge.is_none() {
            return;
        }
        self.peer_event("ended", json!({ "end_reason": "hangup" }));
        self.connect_event("disconnected", json!({}));
        self.note("disconnected", json!({}));
        self.bridge = None;
    }

    /// Says how the second leg is.
    pub(super) fn peer_event(&mut self, state: &str, extra: serde_json::Value) {
        let Some(bridge) = &self.bridge else { return };
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
    pub(super) fn connect_event(&mut self, state: &str, extra: serde_json::Value) {
        let Some(bridge) = &self.bridge else { return };
        let mut params = json!({ "connect_state": state, "tag": bridge.tag, "peer": { "call_id": bridge.peer_id,
            "node_id": NODE_ID, "tag": bridge.tag, "device": bridge.device } });
        merge(&mut params, extra);
        self.event("calling.call.connect", state, params);
    }
}

fn merge(into: &mut serde_json::Value, extra: serde_json::Value) {
    if let (serde_json::Value::Object(into), serde_json::Value::Object(extra)) = (into, extra) {
        into.extend(extra);
    }
}
