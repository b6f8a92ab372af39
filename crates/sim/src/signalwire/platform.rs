//! What all parts of the simulator share, and the way of an event from a call to a socket, past the faults.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    call::World,
    clock::{Clock, Now},
    faults::{FaultBox, Then},
    hub::{Frame, Hub},
    journal::Journal,
    line::Line,
    recordings::Recordings,
    switches::Switches,
    telephones::Telephones,
    wire,
};

/// An event that is to follow the next one waits this long for it.
const REORDER_PATIENCE: Duration = Duration::from_millis(500);
/// Calls that are kept after their end, for tests to look at.
const ENDED_CALLS: usize = 400;
/// A file that takes longer than this to fetch cannot be played.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The simulated provider.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) faults: FaultBox,
    pub(crate) hub: Hub,
    pub(crate) recordings: Recordings,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) fetcher: reqwest::Client,
    pub(crate) project: String,
    pub(crate) token: String,
    /// Key of webhook signatures.
    pub(crate) signing_key: String,
    /// Where recordings are served, without a slash at the end.
    pub(crate) recordings_url: Arc<str>,
    /// How many times faster than life the caller speaks.
    pub(crate) speed: u32,
    switches: Mutex<Switches>,
    telephones: Mutex<Telephones>,
    calls: Mutex<Calls>,
    violations: Mutex<Vec<Value>>,
}

#[derive(Debug, Default)]
struct Calls {
    by_id: HashMap<String, Arc<Line>>,
    ended: VecDeque<String>,
}

/// What a platform is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) project: String,
    pub(crate) token: String,
    pub(crate) signing_key: String,
    pub(crate) recordings_url: String,
    pub(crate) speed: u32,
    pub(crate) switches: Switches,
}

impl Platform {
    /// Builds a platform without listeners.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn build(setup: Setup) -> anyhow::Result<Arc<Self>> {
        let fetcher = reqwest::Client::builder().no_proxy().timeout(FETCH_TIMEOUT).build()?;
        Ok(Arc::new(Self {
            clock: Clock::start(),
            journal: Journal::new(),
            faults: FaultBox::default(),
            hub: Hub::default(),
            recordings: Recordings::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            fetcher,
            project: setup.project,
            token: setup.token,
            signing_key: setup.signing_key,
            recordings_url: setup.recordings_url.into(),
            speed: setup.speed,
            switches: Mutex::new(setup.switches),
            telephones: Mutex::default(),
            calls: Mutex::default(),
            violations: Mutex::default(),
        }))
    }

    /// The readings in force.
    pub(crate) fn switches(&self) -> Switches {
        *self.switches.lock().expect("no holder of the switches panics")
    }

    /// Changes the readings.
    pub(crate) fn set_switches(&self, switches: Switches) {
        *self.switches.lock().expect("no holder of the switches panics") = switches;
    }

    /// What surrounds a call now.
    pub(crate) fn world(&self) -> World {
        World {
            now: self.clock.now(),
            switches: self.switches(),
            connect_fails: None,
            stream_faults: self.faults.streams(),
            telephones: self.telephones(),
        }
    }

    /// Who can be called.
    pub(crate) fn telephones(&self) -> Telephones {
        Arc::clone(&self.telephones.lock().expect("no holder of the telephones panics"))
    }

    /// Changes who can be called.
    pub(crate) fn set_telephones(&self, telephones: Telephones) {
        *self.telephones.lock().expect("no holder of the telephones panics") = telephones;
    }

    /// Writes into the journal, now.
    pub(crate) fn note(&self, event: &str, fields: Value) {
        self.journal.record(self.clock.now().at_ms, event, fields);
    }

    /// Notes something that a correct client would not have done.
    pub(crate) fn violate(&self, call_id: Option<&str>, what: &str) {
        tracing::warn!(violation = what, "the client broke the protocol");
        let violation = json!({ "at_ms": self.clock.now().at_ms, "call_id": call_id, "what": what });
        self.note("violation", json!({ "call_id": call_id, "what": what }));
        self.violations.lock().expect("no holder of the violations panics").push(violation);
    }

    /// Everything that a correct client would not have done.
    pub(crate) fn violations(&self) -> Vec<Value> {
        self.violations.lock().expect("no holder of the violations panics").clone()
    }

    /// A call, live or ended lately.
    pub(crate) fn line(&self, call_id: &str) -> Option<Arc<Line>> {
        self.calls().by_id.get(call_id).cloned()
    }

    /// All calls that are kept.
    pub(crate) fn lines(&self) -> Vec<Arc<Line>> {
        self.calls().by_id.values().cloned().collect()
    }

    /// Calls that have not ended.
    pub(crate) fn live_calls(&self) -> usize {
        let calls = self.calls();
        calls.by_id.len() - calls.ended.len()
    }

    pub(crate) fn add_line(&self, call_id: String, line: Arc<Line>) {
        self.calls().by_id.insert(call_id, line);
    }

    /// Keeps an ended call for a while.
    pub(crate) fn retire_line(&self, call_id: String) {
        let mut calls = self.calls();
        calls.ended.push_back(call_id);
        if calls.ended.len() > ENDED_CALLS
            && let Some(oldest) = calls.ended.pop_front()
        {
            calls.by_id.remove(&oldest);
        }
    }

    /// Sends an event to a session, unless a fault has it otherwise.
    pub(crate) fn send_event(
        self: &Arc<Self>,
        session: Option<&str>,
        event_type: &'static str,
        state: &str,
        params: &Value,
    ) {
        let about = json!({ "event_type": event_type, "state": state, "call_id": params.get("call_id"),
            "control_id": params.get("control_id") });
        let Some(session) = session else {
            self.note("event_lost", about);
            return;
        };
        let frame = self.event_frame(session, event_type, params, &about);
        let Some(fault) = self.faults.on_event(event_type, state) else {
            self.deliver(session, frame, &about);
            return;
        };
        self.note("fault_applied", json!({ "fault": fault, "about": about }));
        match fault {
            Then::Drop => {
                if let Some(socket) = self.hub.socket_of(session) {
                    socket.gone.cancel();
                }
                self.note("event_lost", about);
            }
            Then::Delay { ms } => {
                self.deliver_later(session.to_owned(), frame, about, Duration::from_millis(ms));
            }
            Then::Duplicate => {
                self.deliver(session, frame.clone(), &about);
                self.deliver(session, frame, &about);
            }
            Then::Reorder => {
                let id = frame.ack.as_ref().map(|(id, _)| id.clone()).unwrap_or_default();
                self.hub.hold(session, frame);
                self.release_later(session.to_owned(), id);
            }
            Then::Lose | Then::Refuse { .. } => self.note("event_lost", about),
        }
    }

    fn event_frame(&self, session: &str, event_type: &str, params: &Value, about: &Value) -> Frame {
        let Now { unix, .. } = self.clock.now();
        let id = uuid::Uuid::new_v4().to_string();
        let envelope = json!({ "event_type": event_type, "event_channel": session, "timestamp": unix,
            "project_id": self.project, "space_id": "voice-sim", "params": params });
        Frame {
            text: wire::request(&id, "signalwire.event", envelope).to_string(),
            not_before: None,
            ack: Some((id, event_type.to_owned())),
            event: Some(about.clone()),
        }
    }

    fn deliver(&self, session: &str, frame: Frame, about: &Value) {
        let keep = self.switches().replay_after_resume;
        if !self.hub.deliver(session, frame, keep) {
            self.note(if keep { "event_kept" } else { "event_lost" }, about.clone());
        }
    }

    fn deliver_later(self: &Arc<Self>, session: String, frame: Frame, about: Value, after: Duration) {
        let platform = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::time::sleep(after).await;
            platform.deliver(&session, frame, &about);
        });
    }

    fn release_later(self: &Arc<Self>, session: String, id: String) {
        let platform = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::time::sleep(REORDER_PATIENCE).await;
            platform.hub.release(&session, &id);
        });
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().expect("no holder of the calls panics")
    }
}
