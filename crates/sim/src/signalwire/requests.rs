//! A client's frames: session methods answered here, call commands handed to their call.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    call::{NODE_ID, NewDial},
    faults::{Code, Then},
    hub::{Attached, Frame, Outgoing, Socket},
    line,
    params::{Device, Dial, parse},
    platform::Platform,
    wire::{self, Incoming, Refusal},
};

/// Takes a text frame of a client. Whatever it is, it gets an answer and never brings the simulator down.
pub(crate) fn take_frame(platform: &Arc<Platform>, socket: &Arc<Socket>, text: &str) {
    match wire::parse(text) {
        Ok(Incoming::Answer { id }) => take_answer(socket, &id),
        Ok(Incoming::Request { id, method, params }) => {
            let request = Request { platform, socket, id, method, params, delay: Duration::ZERO };
            request.take();
        }
        Err(malformed) => {
            platform.violate(None, &format!("a malformed frame: {}", malformed.reason));
            socket.send_json(&wire::error(malformed.id.as_deref(), malformed.code, &malformed.reason));
        }
    }
}

fn take_answer(socket: &Socket, id: &str) {
    socket.unacked().remove(id);
    let mut state = socket.state();
    if state.disconnect.as_ref().is_some_and(|(ours, _)| ours == id) {
        state.is_leaving = true;
        drop(state);
        socket.send(Outgoing::Close);
    }
}

/// One request on its way.
#[derive(Debug)]
struct Request<'a> {
    platform: &'a Arc<Platform>,
    socket: &'a Arc<Socket>,
    id: String,
    method: String,
    params: Value,
    /// A fault holds the answer back this long.
    delay: Duration,
}

#[derive(Debug, Deserialize)]
struct Connect {
    version: Version,
    authentication: Authentication,
    #[serde(default)]
    contexts: Vec<String>,
    protocol: Option<String>,
    #[serde(default)]
    event_acks: bool,
}

#[derive(Debug, Deserialize)]
struct Version {
    major: u32,
}

#[derive(Debug, Deserialize)]
struct Authentication {
    #[serde(default)]
    project: String,
    #[serde(default)]
    token: String,
}

#[derive(Debug, Deserialize)]
struct Contexts {
    contexts: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct CallAddress {
    node_id: String,
    call_id: String,
}

impl Request<'_> {
    fn take(mut self) {
        if self.socket.state().is_leaving {
            self.platform
                .violate(None, &format!("{} after signalwire.disconnect was confirmed", self.method));
        }
        let Some(fault) = self.platform.faults.on_method(&self.method) else {
            self.answer();
            return;
        };
        self.platform.note("fault_applied", json!({ "fault": fault, "about": { "method": self.method } }));
        match fault {
            Then::Drop => self.socket.gone.cancel(),
            Then::Delay { ms } => {
                self.delay = Duration::from_millis(ms);
                self.answer();
            }
            Then::Refuse { code: Code::Protocol(code) } => {
                self.send(&wire::error(Some(&self.id), code, "refused by a fault"));
            }
            Then::Refuse { code: Code::Result(code) } => {
                self.send(&wire::result(&self.id, json!({ "code": code, "message": "refused by a fault" })));
            }
            Then::Lose | Then::Duplicate | Then::Reorder => {}
        }
    }

    fn answer(&self) {
        let session = self.socket.state().session.clone();
        match (self.method.as_str(), session) {
            ("signalwire.connect", None) => self.connect(),
            ("signalwire.connect", Some(_)) => {
                self.refuse(None, &Refusal::protocol(-32_600, "this socket is connected already"));
            }
            (method, None) => {
                self.refuse(None, &Refusal::protocol(-32_002, format!("{method} before signalwire.connect")));
            }
            ("signalwire.ping", Some(_)) => self.send(&wire::result(&self.id, self.params.clone())),
            ("signalwire.receive", Some(session)) => self.receive(&session),
            ("signalwire.unreceive", Some(session)) => self.unreceive(&session),
            ("calling.dial", Some(session)) => self.dial(session),
            (method, Some(session)) if method.starts_with("calling.") => self.command(&session),
            (method, Some(_)) => {
                self.refuse(None, &Refusal::protocol(-32_601, format!("method not found: {method}")));
            }
        }
    }

    // --- session

    fn connect(&self) {
        let connect: Connect = match parse("ConnectParams", &self.params) {
            Ok(connect) => connect,
            Err(refusal) => return self.refuse(None, &refusal),
        };
        if !matches!(connect.version.major, 2 | 3) {
            return self
                .refuse(None, &Refusal::invalid_params("ConnectParams", "version is neither 2 nor 3"));
        }
        let Authentication { project, token } = &connect.authentication;
        if *project != self.platform.project || *token != self.platform.token {
            self.platform.note("connect_refused", json!({ "socket": self.socket.id }));
            let message = "Authentication service failed with status ProtocolError, 401 Unauthorized: {}";
            return self.send(&wire::error(Some(&self.id), -32_002, message));
        }
        let hub = &self.platform.hub;
        let attached = hub.attach(self.socket, connect.protocol.as_deref());
        self.socket.state().acks_events = connect.event_acks;
        let Attached { protocol, signature, is_restored } = attached;
        self.platform.note(
            "session_connected",
            json!({ "session": protocol, "restored": is_restored,
            "asked_to_resume": connect.protocol.is_some(), "version": connect.version.major }),
        );
        self.send(&wire::result(
            &self.id,
            json!({
                "session_restored": is_restored,
                "sessionid": uuid::Uuid::new_v4(),
                "nodeid": NODE_ID,
                "identity": uuid::Uuid::new_v4(),
                "authorization": { "project": project, "expires_at": null, "signature": signature,
                    "scopes": ["calling", "messaging", "tasking"] },
                "protocol": protocol,
            }),
        ));
        let blob = |bytes: uuid::Uuid| STANDARD.encode(bytes.as_bytes());
        let state = format!("{}:{}", blob(uuid::Uuid::new_v4()), blob(uuid::Uuid::new_v4()));
        let params = json!({ "authorization_state": state });
        self.platform.send_event(Some(&protocol), "signalwire.authorization.state", "", &params);
        if is_restored {
            hub.replay(&protocol);
        }
        self.subscribe(&protocol, &connect.contexts);
    }

    fn subscribe(&self, session: &str, contexts: &[String]) {
        self.platform.hub.receive(session, contexts);
        line::offer_waiting(self.platform, contexts);
    }

    fn receive(&self, session: &str) {
        match self.contexts("ReceiveParams") {
            Ok(contexts) => {
                let message = format!("Receiving all inbound related to the requested contexts {contexts:?}");
                self.send(&wire::result(&self.id, json!({ "code": "200", "message": message })));
                self.platform.note("contexts_received", json!({ "session": session, "contexts": contexts }));
                self.subscribe(session, &contexts);
            }
            Err(refusal) => self.refuse(None, &refusal),
        }
    }

    fn unreceive(&self, session: &str) {
        match self.contexts("UnreceiveParams") {
            Ok(contexts) => {
                self.platform.hub.unreceive(session, &contexts);
                self.send(&wire::result(&self.id, json!({ "code": "200", "message": "Unreceived" })));
            }
            Err(refusal) => self.refuse(None, &refusal),
        }
    }

    fn contexts(&self, class: &str) -> Result<Vec<String>, Refusal> {
        let Contexts { contexts } = parse(class, &self.params)?;
        if contexts.is_empty() || contexts.iter().any(String::is_empty) {
            return Err(Refusal::invalid_params(class, "contexts are empty"));
        }
        Ok(contexts)
    }

    // --- calls

    fn dial(&self, session: String) {
        match self.dialled(session) {
            Ok(dial) => {
                // The result names no call: that comes with the events.
                self.send(&wire::result(&self.id, json!({ "code": "200", "message": "Dialing" })));
                line::dial(self.platform, dial);
            }
            Err(refusal) => self.refuse(None, &refusal),
        }
    }

    fn dialled(&self, session: String) -> Result<NewDial, Refusal> {
        const CLASS: &str = "DialParams";
        let Dial { tag, devices, .. } = parse(CLASS, &self.params)?;
        if tag.is_empty() {
            return Err(Refusal::invalid_params(CLASS, "tag is empty"));
        }
        let mut devices: Vec<Device> = devices.into_iter().flatten().collect();
        let Some(device) = devices.pop() else {
            return Err(Refusal::invalid_params(CLASS, "no device"));
        };
        if !devices.is_empty() {
            return Err(Refusal::crossed("400", "only one device at a time is simulated"));
        }
        let Device::Phone { from_number, to_number, .. } = &device else {
            return Err(Refusal::invalid_params(CLASS, "only a telephone can be dialled"));
        };
        let is_number = |number: &str| {
            number.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
        };
        if !is_number(from_number) || !is_number(to_number) {
            return Err(Refusal::invalid_params(CLASS, "from_number or to_number is not E.164"));
        }
        let telephone = self.platform.telephones().get(to_number).cloned().unwrap_or_default();
        Ok(NewDial { session, tag, device, telephone })
    }

    fn command(&self, session: &str) {
        let address: CallAddress = match parse("CallParams", &self.params) {
            Ok(address) => address,
            Err(refusal) => return self.refuse(None, &refusal),
        };
        let Some(line) = self.platform.line(&address.call_id).filter(|_| address.node_id == NODE_ID) else {
            return self.refuse(None, &Refusal::fault("404", "no such call"));
        };
        let mut world = self.platform.world();
        if self.method == "calling.connect" {
            world.connect_fails = self.platform.faults.current().connect_fails;
        }
        let mut call = line.call();
        if !call.waits_for_offer() {
            call.adopt(session);
        }
        if call.owner() != Some(session) {
            let refusal = Refusal::fault("409", "the call is controlled by another client");
            call.violate(format!("{}: {}", self.method, refusal.message));
            return self.refuse(Some(&address.call_id), &refusal);
        }
        match call.command(&world, &self.method, &self.params) {
            Ok(mut done) => {
                done["code"] = json!("200");
                done["message"] = json!("OK");
                done["call_id"] = json!(address.call_id);
                done["node_id"] = json!(address.node_id);
                self.send(&wire::result(&self.id, done));
            }
            Err(refusal) => self.refuse(Some(&address.call_id), &refusal),
        }
        line::settle(self.platform, &line, &mut call);
    }

    fn refuse(&self, call_id: Option<&str>, refusal: &Refusal) {
        if refusal.is_violation {
            self.platform.violate(call_id, &format!("{}: {}", self.method, refusal.message));
        }
        self.send(&refusal.frame(&self.id));
    }

    fn send(&self, frame: &Value) {
        let not_before = (self.delay > Duration::ZERO).then(|| Instant::now() + self.delay);
        self.socket.send(Outgoing::Frame(Frame { text: frame.to_string(), not_before, ..Frame::default() }));
    }
}
