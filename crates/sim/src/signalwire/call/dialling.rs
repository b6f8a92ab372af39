//! A call that the client makes: it rings somewhere, and is answered or is not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Call, NODE_ID, Ring, State, Utterance, World};
use crate::signalwire::{clock::Now, params::Device, telephones::Telephone};

/// An outbound call's own.
#[derive(Clone, Debug)]
pub(crate) struct Dialled {
    pub(super) tag: String,
    device: Device,
    /// What rings there.
    telephone: Telephone,
    /// Whether the client has not been told yet what came of it.
    pub(super) is_pending: bool,
}

impl Dialled {
    pub(super) fn direction(dialled: Option<&Self>) -> &'static str {
        if dialled.is_some() { "outbound" } else { "inbound" }
    }

    pub(super) fn tag(dialled: Option<&Self>) -> &str {
        dialled.map_or("", |dialled| &dialled.tag)
    }
}

/// What a client dials.
#[derive(Clone, Debug)]
pub(crate) struct NewDial {
    /// The client's session.
    pub(crate) session: String,
    /// Chosen by the client.
    pub(crate) tag: String,
    /// A telephone.
    pub(crate) device: Device,
    /// What it does.
    pub(crate) telephone: Telephone,
}

impl Call {
    /// A call that begins to ring at somebody's telephone now.
    pub(crate) fn dialled(id: String, dial: NewDial, recordings_url: Arc<str>, speed: u32, now: Now) -> Self {
        let NewDial { session, tag, device, telephone } = dial;
        let (from, to) = match &device {
            Device::Phone { from_number, to_number, .. } => (from_number.clone(), to_number.clone()),
            Device::Call { .. } | Device::Stream(_) => (String::new(), String::new()),
        };
        let fields = json!({ "from": from, "to": to, "tag": tag });
        let mut call = Self::bare(id, Ring { from, to, context: String::new() }, recordings_url, speed, now);
        call.state = State::Dialling;
        call.owner = Some(session);
        call.dialled = Some(Dialled { tag, device, telephone, is_pending: true });
        call.note("call_dialled", fields);
        call.dial_event("dialing", json!({}));
        call.state_event("created", None);
        call
    }

    /// Lets it ring.
    pub(super) fn advance_dialling(&mut self, world: &World) {
        let Some(dialled) = self.dialled.clone() else { return };
        let outcome = dialled.telephone.outcome(dialled.device.ring_ticks());
        if self.ticks == 1 && outcome.failure.is_none_or(|failure| failure == "noAnswer") {
            self.state_event("ringing", None);
        }
        if self.ticks < outcome.after_ticks {
            return;
        }
        match outcome.failure {
            Some(reason) => self.end(reason, world),
            None => self.picked_up(&dialled),
        }
    }

    fn picked_up(&mut self, dialled: &Dialled) {
        self.state = State::Answered;
        self.answered_at_ms = Some(self.now.at_ms);
        if let Some(dialled) = &mut self.dialled {
            dialled.is_pending = false;
        }
        self.state_event("answered", None);
        let call = json!({ "call_id": self.id, "node_id": NODE_ID, "segment_id": self.segment_id, "tag": dialled.tag,
            "direction": "outbound", "call_state": "answered", "device": self.device(), "dial_winner": "true" });
        self.dial_event("answered", json!({ "call": call }));
        self.note("call_answered", json!({}));
        let Telephone { says_ms, beep, .. } = dialled.telephone;
        let first = (says_ms > 0).then(|| Utterance::murmur(says_ms));
        let said = first.into_iter().chain(beep.then(Utterance::tone));
        for utterance in said {
            self.caller.say(utterance).expect("two are not too many for an empty queue");
        }
    }

    /// Tells a client whose call was not answered why.
    pub(super) fn fail_dial(&mut self, reason: &str) {
        let pending = self.dialled.as_mut().filter(|dialled| dialled.is_pending);
        if let Some(dialled) = pending {
            dialled.is_pending = false;
            self.dial_event("failed", json!({ "reason": reason, "source": "outbound" }));
        }
    }

    /// An event about the dialling; it names no call, only the tag.
    fn dial_event(&mut self, state: &str, mut params: Value) {
        params["node_id"] = json!(NODE_ID);
        params["tag"] = json!(Dialled::tag(self.dialled.as_ref()));
        params["dial_state"] = json!(state);
        self.outputs.push_back(super::Output::Event {
            event_type: "calling.call.dial",
            state: state.to_owned(),
            params,
        });
    }
}
