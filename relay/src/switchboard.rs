//! Takes calls in and brings the provider's events to the call that they concern. It never waits for a call: one
//! that does not take its events has hung, and is cut off.

mod lines;
mod takeover;

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use voice_call::{Call, Config as CallConfig};
use voice_signalwire::{CallEvent, CallReceived, CallState, Client, DialEvent, Event, SessionState};

use self::lines::{Lines, call_of};
use crate::{
    adapters::{dialling::Dial, recording_line, stream_line, trunk::Platform},
    assistants::{Assistant, Assistants},
    doors::{Door, StreamDoor},
    error::Error,
    kept::{Claim, KeptCall, Ledger, Page, Running, Stage},
    leg::Leg as AudioLeg,
    outbound::PlaceCall,
    ports::LINE_QUEUE,
    registry::{CallRecord, Control, Origin, Registry},
    session::{Session, Tools, now},
};

/// Controls that may wait for a call.
const CONTROL_QUEUE: usize = 8;

/// The relay's side of the telephone exchange.
#[derive(Debug)]
pub(crate) struct Switchboard {
    /// Where calls are written down; it knows the first part of this relay's call ids.
    pub ledger: Ledger,
    /// Calls that this relay had before it was started, once they are read.
    pub kept: Option<oneshot::Receiver<Vec<(String, KeptCall)>>>,
    /// Sends commands.
    pub client: Client,
    /// Who answers.
    pub assistants: Assistants,
    /// Calls at the same time.
    pub max_calls: usize,
    /// The same of calls that one token has placed or brought.
    pub token_calls: usize,
    /// What every call uses.
    pub tools: Tools,
    /// Where calls are listed.
    pub registry: Arc<Registry>,
    /// How the recording door listens.
    pub door: recording_line::Settings,
    /// How the stream door conducts calls.
    pub stream: StreamDoor,
    /// Calls that are to be placed, or taken in.
    pub orders: mpsc::Receiver<Order>,
}

/// A call that is wanted, and where to say what came of it.
#[derive(Debug)]
pub(crate) enum Order {
    /// One that is to be placed.
    Place {
        /// Its id.
        call_id: String,
        /// The call.
        place: PlaceCall,
        /// The right to dial, where other relays know of the request.
        claim: Option<Claim>,
        /// The token that asks, where it has a limit.
        by: Option<String>,
        /// Gets the call, or why there is none.
        reply: oneshot::Sender<Result<Arc<CallRecord>, Error>>,
    },
    /// One whose audio somebody has brought.
    Converse {
        /// The id that a gateway has given it; such a call can be brought again if its connection breaks.
        call_id: Option<String>,
        /// The call.
        converse: Converse,
        /// Its audio.
        leg: AudioLeg,
        /// The token that asks, where it has a limit.
        by: Option<String>,
        /// Gets the call, or why there is none.
        reply: oneshot::Sender<Result<Arc<CallRecord>, Error>>,
    },
}

/// A call whose audio somebody has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Converse {
    /// Chooses the assistant.
    pub context: String,
    /// Who calls.
    pub caller_number: String,
    /// Whom he calls.
    pub called_number: String,
    /// What the assistant is told beyond its prompt.
    pub instructions: Option<String>,
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
                Some(order) = self.orders.recv() => self.carry_out(&mut lines, order, is_draining),
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

    fn carry_out(&self, lines: &mut Lines, order: Order, is_draining: bool) {
        match order {
            Order::Place { call_id, place, claim, by, reply } => {
                // Whoever asked may have gone; he finds the call by his request's id.
                let _ = reply.send(self.place(lines, call_id, (place, claim), by, is_draining));
            }
            Order::Converse { call_id, converse, leg, by, reply } => {
                // Whoever has gone has taken the audio with him, and the call ends by itself.
                let _ = reply.send(self.converse(lines, call_id, (converse, leg), by, is_draining));
            }
        }
    }

    fn take(&mut self, lines: &mut Lines, event: Event, is_draining: bool) {
        match event {
            Event::CallReceived(received) => self.take_call(lines, received, is_draining),
            Event::Call { leg, tag, event } => {
                if let Some(tag) = &tag {
                    lines.learn(&leg, tag);
                    if event == CallEvent::State(CallState::Ringing) {
                        self.end_unknown(lines, &leg, tag);
                    }
                }
                lines.tell(&leg.call_id.clone(), Platform::Event { leg, tag, event });
            }
            Event::Dial { tag, event } => {
                if let DialEvent::Answered(leg) = &event {
                    lines.learn(leg, &tag);
                    self.end_unknown(lines, leg, &tag);
                }
                let key = call_of(&tag).to_owned();
                lines.tell(&key, Platform::Dial { tag, event });
            }
            Event::Connected { .. } => {
                lines.tell_all(&Platform::Restored);
                self.take_over(lines);
            }
            Event::Disconnected => lines.tell_all(&Platform::Lost),
            Event::SessionChanged(SessionState { protocol, authorization_state }) => {
                self.ledger.keep_session(voice_ledger::Session { protocol, authorization_state });
            }
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
        // Another relay is not to take whoever calls too often.
        let has_room = has_room && self.admit(lines, &assistant, &received.from).is_ok();
        let (platform, events) = mpsc::channel(LINE_QUEUE);
        let CallReceived { leg, context, from, to } = received;
        let (call_id, client) = (self.new_call_id(), self.client.clone());
        // A call without room has one thing to hear, for which the platform needs no stream.
        let door = if has_room { assistant.door } else { Door::Recording };
        let config = self.config_of(&assistant, door);
        let call = if has_room { Call::answer(now(), config) } else { Call::turn_away(now(), config) };
        let numbers = (from, to.clone());
        let page = self.page(&call_id, Origin::Received, door, &context, &numbers, &call);
        let (line, work) = match door {
            Door::Recording => {
                let settings = self.door_for(&assistant);
                let (line, work) = recording_line::open(client, leg, to, settings, page.clone(), events);
                (line, work.boxed())
            }
            Door::Stream => {
                let media = self.stream.media(&call_id);
                let (line, work) = stream_line::answer(client, leg, to, media, page.clone(), events);
                (line, work.boxed())
            }
        };
        let (record, control) = self.register(call_id, Origin::Received, context, numbers, None);
        let session = Session::new(call, record.clone(), assistant, line, control, self.tools_of(door));
        lines.spawn(leg_id, &record, platform, session.on(page), work);
    }

    fn place(
        &self,
        lines: &mut Lines,
        call_id: String,
        (place, claim): (PlaceCall, Option<Claim>),
        by: Option<String>,
        is_draining: bool,
    ) -> Result<Arc<CallRecord>, Error> {
        self.check_room(lines, is_draining, by.as_deref())?;
        let PlaceCall { request_id: _, to, from, context, ring, voicemail, instructions } = place;
        let assistant = self.assistants.of(&context, &from);
        let door = assistant.door;
        let mut config = self.config_of(&assistant, door);
        config.instructions.extend(instructions);
        let call = Call::place(now(), config, voicemail, ring);
        let (platform, events) = mpsc::channel(LINE_QUEUE);
        let dial = Dial { tag: call_id.clone(), from: from.clone(), to: to.clone(), ring, claim };
        let client = self.client.clone();
        let numbers = (from, to);
        let page = self.page(&call_id, Origin::Placed, door, &context, &numbers, &call);
        let (line, work) = match door {
            Door::Recording => {
                let settings = self.door_for(&assistant);
                let (line, work) = recording_line::place(client, dial, settings, page.clone(), events);
                (line, work.boxed())
            }
            Door::Stream => {
                let media = self.stream.media(&call_id);
                let (line, work) = stream_line::place(client, dial, media, page.clone(), events);
                (line, work.boxed())
            }
        };
        let (record, control) = self.register(call_id.clone(), Origin::Placed, context, numbers, by);
        let session = Session::new(call, record.clone(), assistant, line, control, self.tools_of(door));
        lines.spawn(call_id, &record, platform, session.on(page), work);
        Ok(record)
    }

    fn converse(
        &self,
        lines: &mut Lines,
        call_id: Option<String>,
        (converse, leg): (Converse, AudioLeg),
        by: Option<String>,
        is_draining: bool,
    ) -> Result<Arc<CallRecord>, Error> {
        self.check_room(lines, is_draining, by.as_deref())?;
        let Converse { context, caller_number, called_number, instructions } = converse;
        let assistant = self.assistants.of(&context, &called_number);
        self.admit(lines, &assistant, &caller_number)?;
        let mut config = self.stream.config_of(&assistant);
        config.instructions.extend(instructions);
        // Nobody could hand it over.
        config.can_transfer = false;
        let call = Call::answer(now(), config);
        let place = call_id.as_deref().map(|call_id| self.stream.desk.place(call_id));
        let call_id = call_id.unwrap_or_else(|| self.new_call_id());
        let (line, work) = stream_line::open(leg, place, self.stream.origin);
        let (record, control) =
            self.register(call_id.clone(), Origin::Streamed, context, (caller_number, called_number), by);
        let tools = self.stream.tools.clone();
        let session = Session::new(call, record.clone(), assistant, line, control, tools);
        // The platform knows nothing of this call and tells it nothing.
        let (platform, told) = mpsc::channel(1);
        let work = async move {
            work.await;
            drop(told);
        };
        lines.spawn(call_id, &record, platform, session, work);
        Ok(record)
    }

    /// Whether a number may have another call now.
    fn admit(&self, lines: &mut Lines, assistant: &Assistant, number: &str) -> Result<(), Error> {
        let is_his = |call: &&Arc<CallRecord>| call.origin != Origin::Placed && call.caller_number == number;
        let live = self.registry.live().iter().filter(is_his).count();
        lines.callers.admit(number, live, assistant.caller_limits, Timestamp::now())
    }

    fn check_room(&self, lines: &Lines, is_draining: bool, by: Option<&str>) -> Result<(), Error> {
        if is_draining {
            return Err(Error::Draining);
        }
        if lines.live.len() >= self.max_calls {
            return Err(Error::CallsAtLimit);
        }
        let of_token = |by| self.registry.live().iter().filter(|call| call.by.as_deref() == Some(by)).count();
        if by.is_some_and(|by| of_token(by) >= self.token_calls) {
            return Err(Error::TokenCallsAtLimit);
        }
        Ok(())
    }

    fn new_call_id(&self) -> String {
        format!("{}-{}", self.ledger.relay_id(), Uuid::now_v7().simple())
    }

    fn config_of(&self, assistant: &Assistant, door: Door) -> CallConfig {
        match door {
            Door::Recording => assistant.call.clone(),
            Door::Stream => self.stream.config_of(assistant),
        }
    }

    fn tools_of(&self, door: Door) -> Tools {
        match door {
            Door::Recording => self.tools.clone(),
            Door::Stream => self.stream.tools.clone(),
        }
    }

    fn door_for(&self, assistant: &Assistant) -> recording_line::Settings {
        recording_line::Settings { language: assistant.language.clone(), ..self.door.clone() }
    }

    /// Begins to write a call down.
    fn page(
        &self,
        call_id: &str,
        origin: Origin,
        door: Door,
        context: &str,
        (caller_number, called_number): &(String, String),
        call: &Call,
    ) -> Arc<Page> {
        Arc::new(self.ledger.page(
            call_id,
            KeptCall {
                origin,
                door,
                stage: Stage::Ringing,
                context: context.to_owned(),
                caller_number: caller_number.clone(),
                called_number: called_number.clone(),
                created_at: Timestamp::now(),
                leg: None,
                target: None,
                running: Running::default(),
                turns: 0,
                sequence: 0,
                instructions: call.instructions().to_vec(),
                history: Vec::new(),
            },
        ))
    }

    fn register(
        &self,
        call_id: String,
        origin: Origin,
        context: String,
        numbers: (String, String),
        by: Option<String>,
    ) -> (Arc<CallRecord>, mpsc::Receiver<Control>) {
        let (sender, control) = mpsc::channel(CONTROL_QUEUE);
        let record = CallRecord::new(call_id, origin, context, numbers, Timestamp::now(), sender);
        let record = Arc::new(record.counted_for(by));
        self.registry.insert(record.clone());
        (record, control)
    }
}
