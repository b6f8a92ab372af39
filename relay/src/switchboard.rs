//! Takes calls in and brings the provider's events to the call that they concern. It never waits for a call: one
//! that does not take its events has hung, and is cut off.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use voice_signalwire::{CallEvent, CallReceived, Client, Event};

use crate::{
    adapters::recording_line::{self, Platform},
    assistants::Assistants,
    ports::{LINE_QUEUE, Line},
    registry::{CallRecord, Control, Registry},
    session::{Session, Tools},
};

/// Controls that may wait for a call.
const CONTROL_QUEUE: usize = 8;

/// Calls that were passed on and may come back.
const PASSED: usize = 256;

/// The relay's side of the telephone exchange.
#[derive(Debug)]
pub(crate) struct Switchboard {
    /// First part of this relay's call ids.
    pub relay_id: String,
    /// Sends commands.
    pub client: Client,
    /// Who answers.
    pub assistants: Assistants,
    /// Calls at the same time.
    pub max_calls: usize,
    /// What every call uses.
    pub tools: Tools,
    /// Where calls are listed.
    pub registry: Arc<Registry>,
    /// How the recording door listens.
    pub door: recording_line::Settings,
}

#[derive(Debug, Default)]
struct Lines {
    by_leg: HashMap<String, mpsc::Sender<Platform>>,
    sessions: JoinSet<String>,
    passed: VecDeque<String>,
}

impl Switchboard {
    /// Conducts calls until `drain` is cancelled and all calls are over.
    pub(crate) async fn run(self, mut events: mpsc::Receiver<Event>, drain: CancellationToken) {
        let mut lines = Lines::default();
        let mut is_draining = false;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(&mut lines, event, is_draining),
                    None => break,
                },
                Some(ended) = lines.sessions.join_next(), if !lines.sessions.is_empty() => {
                    lines.forget(ended);
                }
                () = drain.cancelled(), if !is_draining => {
                    is_draining = true;
                    for call in self.registry.live() {
                        let _ = call.control.try_send(Control::Drain);
                    }
                }
            }
            metrics::gauge!("calls_live").set(lines.sessions.len() as f64);
            if is_draining && lines.sessions.is_empty() {
                break;
            }
        }
    }

    fn take(&self, lines: &mut Lines, event: Event, is_draining: bool) {
        match event {
            Event::CallReceived(received) => self.take_call(lines, received, is_draining),
            Event::Call { call_id, event } => lines.tell(&call_id, event),
            Event::Connected { .. } => lines.tell_all(&Platform::Restored),
            Event::Disconnected => lines.tell_all(&Platform::Lost),
            Event::SessionChanged(_) => {}
        }
    }

    fn take_call(&self, lines: &mut Lines, received: CallReceived, is_draining: bool) {
        let leg_id = received.leg.call_id.clone();
        if lines.by_leg.contains_key(&leg_id) {
            return;
        }
        let has_room = lines.by_leg.len() < self.max_calls && !is_draining;
        if !has_room && !lines.passed.contains(&leg_id) {
            lines.remember_passed(leg_id);
            let pass = self.client.pass(&received.leg);
            lines.sessions.spawn(async move {
                if let Err(error) = pass.await {
                    tracing::warn!(%error, "a call could not be passed on");
                }
                String::new()
            });
            return;
        }
        let assistant = self.assistants.of(&received.context, &received.to);
        let (control_sender, control) = mpsc::channel(CONTROL_QUEUE);
        let call_id = format!("{}-{}", self.relay_id, Uuid::now_v7().simple());
        let numbers = (received.from.clone(), received.to.clone());
        let record = CallRecord::new(call_id, received.context, numbers, Timestamp::now(), control_sender);
        let record = Arc::new(record);
        self.registry.insert(record.clone());
        let (platform, events) = mpsc::channel(LINE_QUEUE);
        let door = recording_line::Settings { language: assistant.language.clone(), ..self.door.clone() };
        let (line, work) = recording_line::open(
            self.client.clone(),
            received.leg,
            (received.from, received.to),
            door,
            events,
        );
        lines.by_leg.insert(leg_id.clone(), platform);
        lines.spawn(leg_id, record, assistant, line, work, control, self.tools.clone(), has_room);
    }
}

impl Lines {
    #[expect(clippy::too_many_arguments, reason = "everything that belongs to one call, handed over once")]
    fn spawn(
        &mut self,
        leg_id: String,
        record: Arc<CallRecord>,
        assistant: Arc<crate::assistants::Assistant>,
        line: Line,
        work: impl Future<Output = ()> + Send + 'static,
        control: mpsc::Receiver<Control>,
        tools: Tools,
        has_room: bool,
    ) {
        use tracing::Instrument as _;
        let span = tracing::info_span!("call", call.id = %record.call_id);
        let session = Session::new(record, assistant, line, control, tools, has_room);
        let both = async move {
            tracing::info!("call taken");
            let line = work;
            tokio::join!(session.run(), line);
            tracing::info!("call over");
            leg_id
        };
        self.sessions.spawn(both.instrument(span));
    }

    fn tell(&mut self, leg_id: &str, event: CallEvent) {
        let Some(line) = self.by_leg.get(leg_id) else { return };
        if line.try_send(Platform::Event(event)).is_err() {
            tracing::error!("a call does not take its events and is cut off");
            self.by_leg.remove(leg_id);
        }
    }

    fn tell_all(&mut self, what: &Platform) {
        for line in self.by_leg.values() {
            let _ = line.try_send(what.clone());
        }
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(leg_id) => {
                self.by_leg.remove(&leg_id);
            }
            Err(error) => {
                tracing::error!(%error, "a call ended with a panic");
                // Its line is gone with it, so the sender has no receiver any more.
                self.by_leg.retain(|_, line| !line.is_closed());
            }
        }
    }

    fn remember_passed(&mut self, leg_id: String) {
        self.passed.push_back(leg_id);
        if self.passed.len() > PASSED {
            self.passed.pop_front();
        }
    }
}
