//! Takes calls in and brings the provider's events to the call that they concern. It never waits for a call: one
//! that does not take its events has hung, and is cut off.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use voice_call::Call;
use voice_signalwire::{CallReceived, Client, DialEvent, Event, Leg};

use crate::{
    adapters::recording_line::{self, Platform},
    assistants::{Assistant, Assistants},
    error::Error,
    outbound::{DialPlan, PlaceCall, Requests},
    ports::LINE_QUEUE,
    registry::{CallRecord, Control, Registry},
    session::{Session, Tools, now},
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
    /// Calls that are to be placed.
    pub orders: mpsc::Receiver<Order>,
    /// Whom they may be placed to.
    pub plan: Arc<DialPlan>,
}

/// A call that is to be placed, and where to say what came of it.
#[derive(Debug)]
pub(crate) struct Order {
    /// The call.
    pub place: PlaceCall,
    /// Gets the call, or why there is none.
    pub reply: oneshot::Sender<Result<Arc<CallRecord>, Error>>,
}

#[derive(Debug, Default)]
struct Lines {
    /// By the platform's id, and by tag where we placed the call.
    by_leg: HashMap<String, mpsc::Sender<Platform>>,
    /// Calls by the first of these.
    live: HashSet<String>,
    requests: Requests,
    sessions: JoinSet<String>,
    passed: VecDeque<String>,
}

impl Switchboard {
    /// Conducts calls until `drain` is cancelled and all calls are over.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>, drain: CancellationToken) {
        let mut lines = Lines::default();
        let mut is_draining = false;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(&mut lines, event, is_draining),
                    None => break,
                },
                Some(Order { place, reply }) = self.orders.recv() => {
                    // Whoever asked may have gone; he finds the call by his request's id.
                    let _ = reply.send(self.place(&mut lines, place, is_draining));
                }
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
            Event::Call { leg, tag, event } => {
                if let Some(tag) = &tag {
                    lines.learn(&leg, tag);
                }
                lines.tell(&leg.call_id.clone(), Platform::Event { leg, event });
            }
            Event::Dial { tag, event } => {
                if let DialEvent::Answered(leg) = &event {
                    lines.learn(leg, &tag);
                }
                lines.tell(&tag, Platform::Dial(event));
            }
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
        let has_room = lines.live.len() < self.max_calls && !is_draining;
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
        let config = assistant.call.clone();
        let call = if has_room { Call::answer(now(), config) } else { Call::turn_away(now(), config) };
        let (platform, events) = mpsc::channel(LINE_QUEUE);
        let own_number = received.to.clone();
        let (line, work) = recording_line::open(
            self.client.clone(),
            received.leg,
            own_number,
            self.door_for(&assistant),
            events,
        );
        let call_id = self.new_call_id();
        let numbers = (received.from, received.to);
        let (record, control) = self.register(call_id, false, received.context, numbers);
        let session = Session::new(call, record.clone(), assistant, line, control, self.tools.clone());
        lines.spawn(leg_id, &record, platform, session, work);
    }

    fn place(
        &self,
        lines: &mut Lines,
        place: PlaceCall,
        is_draining: bool,
    ) -> Result<Arc<CallRecord>, Error> {
        if let Some(call_id) = lines.requests.find(&place)? {
            return self.registry.find(&call_id).ok_or(Error::CallNotFound(call_id));
        }
        self.plan.check(&place.to)?;
        if is_draining {
            return Err(Error::Draining);
        }
        if lines.live.len() >= self.max_calls {
            return Err(Error::CallsAtLimit);
        }
        self.plan.take(Timestamp::now())?;
        let call_id = self.new_call_id();
        lines.requests.remember(place.clone(), call_id.clone());
        let PlaceCall { request_id: _, to, from, context, ring, voicemail, instructions } = place;
        let assistant = self.assistants.of(&context, &from);
        let mut config = assistant.call.clone();
        config.instructions.extend(instructions);
        let call = Call::place(now(), config, voicemail, ring);
        let (platform, events) = mpsc::channel(LINE_QUEUE);
        let dial = recording_line::Dial { tag: call_id.clone(), from: from.clone(), to: to.clone(), ring };
        let (line, work) =
            recording_line::place(self.client.clone(), dial, self.door_for(&assistant), events);
        let (record, control) = self.register(call_id.clone(), true, context, (from, to));
        let session = Session::new(call, record.clone(), assistant, line, control, self.tools.clone());
        lines.spawn(call_id, &record, platform, session, work);
        Ok(record)
    }

    fn new_call_id(&self) -> String {
        format!("{}-{}", self.relay_id, Uuid::now_v7().simple())
    }

    fn door_for(&self, assistant: &Assistant) -> recording_line::Settings {
        recording_line::Settings { language: assistant.language.clone(), ..self.door.clone() }
    }

    fn register(
        &self,
        call_id: String,
        is_outbound: bool,
        context: String,
        numbers: (String, String),
    ) -> (Arc<CallRecord>, mpsc::Receiver<Control>) {
        let (sender, control) = mpsc::channel(CONTROL_QUEUE);
        let record = CallRecord::new(call_id, is_outbound, context, numbers, Timestamp::now(), sender);
        let record = Arc::new(record);
        self.registry.insert(record.clone());
        (record, control)
    }
}

impl Lines {
    fn spawn(
        &mut self,
        key: String,
        record: &CallRecord,
        platform: mpsc::Sender<Platform>,
        session: Session,
        line: impl Future<Output = ()> + Send + 'static,
    ) {
        use tracing::Instrument as _;
        self.by_leg.insert(key.clone(), platform);
        self.live.insert(key.clone());
        let span = tracing::info_span!("call", call.id = %record.call_id);
        let both = async move {
            tracing::info!("call taken");
            tokio::join!(session.run(), line);
            tracing::info!("call over");
            key
        };
        self.sessions.spawn(both.instrument(span));
    }

    /// The platform's id of a call that was known by its tag alone.
    fn learn(&mut self, leg: &Leg, tag: &str) {
        if !self.by_leg.contains_key(&leg.call_id)
            && let Some(line) = self.by_leg.get(tag).cloned()
        {
            self.by_leg.insert(leg.call_id.clone(), line);
        }
    }

    fn tell(&mut self, key: &str, what: Platform) {
        let Some(line) = self.by_leg.get(key) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = line.try_send(what) {
            tracing::error!("a call does not take its events and is cut off");
            let cut_off = line.clone();
            self.by_leg.retain(|_, line| !line.same_channel(&cut_off));
        }
    }

    fn tell_all(&mut self, what: &Platform) {
        for line in self.live.iter().filter_map(|key| self.by_leg.get(key)) {
            let _ = line.try_send(what.clone());
        }
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(key) => {
                self.live.remove(&key);
                self.by_leg.remove(&key);
            }
            Err(error) => tracing::error!(%error, "a call ended with a panic"),
        }
        // What a line was known by besides goes with it.
        self.by_leg.retain(|_, line| !line.is_closed());
        self.live.retain(|key| self.by_leg.contains_key(key));
    }

    fn remember_passed(&mut self, leg_id: String) {
        self.passed.push_back(leg_id);
        if self.passed.len() > PASSED {
            self.passed.pop_front();
        }
    }
}
