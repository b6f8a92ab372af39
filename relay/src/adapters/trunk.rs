//! A call at the platform, whichever way its audio goes: answering, who has answered, digits, another leg, the end.
//!
//! Events can be lost with a dropped connection, so that a command's result counts where its event does not come.

mod pickup;
mod target;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use voice_call::{Answerer, Event, TransferFailure};
use voice_signalwire::{
    Answer, CallEvent, CallState, Client, ConnectState, DetectEvent, DialEvent, Error, Leg, NotReached,
};

pub(super) use self::pickup::Pickup;
use self::target::Target;
use crate::{
    kept::{KeptLeg, Page, Stage},
    leg::Leg as AudioLeg,
};

/// How long the other number may ring.
const TRANSFER_RING: Duration = Duration::from_secs(30);

/// How long the platform looks for who has answered, and for the end of a machine's greeting.
const DETECTION: Duration = Duration::from_secs(40);

/// A call that is over here is ended there within this.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the switchboard tells a line.
#[derive(Clone, Debug)]
pub(crate) enum Platform {
    /// Something happened to the call.
    Event {
        /// How to address it.
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
    /// The connection is down.
    Lost,
    /// The connection is up again; events in between were lost.
    Restored,
}

/// What the call is connected to besides us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    None,
    /// Another telephone.
    Phone,
    /// A stream of its audio.
    Stream,
    /// Still the stream, whose end comes first; then another telephone.
    StreamThenPhone,
}

/// Results of commands.
#[derive(Debug)]
enum Answered {
    Call(Result<(), Error>),
    Ended(Result<(), Error>),
    Connected(Connection, Result<(), Error>),
    Detect(Result<(), Error>),
    Digits(Result<(), Error>),
    /// Somebody is called under this tag.
    Called(String, Result<(), Error>),
    /// He is being told something.
    Told(String, Result<(), Error>),
    /// Of a command that nothing depends on.
    Nothing,
}

/// Something that came of the call itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The call has to know.
    Call(Event),
    /// The stream of its audio is not there, or not any more.
    StreamOver,
}

/// A call at the platform.
#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) client: Client,
    pub(super) leg: Leg,
    /// Where it is written down what the platform does for this call.
    pub(super) page: Arc<Page>,
    /// Our number in this call.
    own_number: String,
    pickup: Pickup,
    /// The detection of who has answered, while it matters.
    detection: Option<String>,
    /// Digits on their way.
    digits: Option<String>,
    connection: Connection,
    /// Whom the call is to be handed to, if he was called by himself.
    target: Option<Target>,
    work: JoinSet<Answered>,
    is_down: bool,
    is_over: bool,
}

impl Trunk {
    pub(super) fn new(client: Client, leg: Leg, own_number: String, pickup: Pickup, page: Arc<Page>) -> Self {
        page.update(|kept| kept.leg = Some(KeptLeg::from(&leg)));
        Self {
            client,
            leg,
            page,
            own_number,
            pickup,
            detection: None,
            digits: None,
            connection: Connection::None,
            target: None,
            work: JoinSet::new(),
            is_down: false,
            is_over: false,
        }
    }

    /// A call that another process had.
    pub(super) fn taken_back(
        client: Client,
        leg: Leg,
        own_number: String,
        stage: Stage,
        page: Arc<Page>,
    ) -> Self {
        let (pickup, connection) = match stage {
            Stage::Ringing => (Pickup::Unsure, Connection::None),
            Stage::Talking => (Pickup::Answered, Connection::None),
            Stage::HandedOver => (Pickup::Answered, Connection::Phone),
        };
        let mut trunk = Self { connection, ..Self::new(client, leg, own_number, pickup, page) };
        trunk.take_target_back(stage);
        trunk
    }

    /// Whether this is how the platform addresses the call itself.
    pub(super) fn is_of(&self, leg: &Leg) -> bool {
        self.leg.call_id == leg.call_id
    }

    /// Whether the platform cannot be told anything now.
    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    /// Whether the call is over there.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Looks for who has answered.
    pub(super) fn screen(&mut self) {
        let control = control_id();
        let detect = self.client.detect_machine(&self.leg, &control, DETECTION);
        self.detection = Some(control);
        self.work.spawn(async move { Answered::Detect(detect.await) });
    }

    pub(super) fn send_digits(&mut self, digits: &str) {
        let control = control_id();
        let send = self.client.send_digits(&self.leg, &control, digits);
        self.digits = Some(control);
        self.work.spawn(async move { Answered::Digits(send.await) });
    }

    /// Hands the call to a number.
    pub(super) fn transfer(&mut self, number: &str, stream: Option<AudioLeg>) {
        let (from, to) = (self.own_number.clone(), number.to_owned());
        self.connect(stream, move |client, leg| client.connect_phone(leg, &from, &to, TRANSFER_RING));
    }

    /// Connects the call to somebody. A stream of its audio ends with that, and not before: its other end is kept until
    /// the platform has let go, which may take a socket that closes by itself for the end of the call.
    fn connect(
        &mut self,
        stream: Option<AudioLeg>,
        to: impl FnOnce(&Client, &Leg) -> Answer + Send + 'static,
    ) {
        let has_stream = self.connection == Connection::Stream;
        self.connection = if has_stream { Connection::StreamThenPhone } else { Connection::Phone };
        let leave = has_stream.then(|| self.client.disconnect(&self.leg));
        let (client, leg) = (self.client.clone(), self.leg.clone());
        self.work.spawn(async move {
            if let Some(leave) = leave {
                // That it was not connected any more is as well.
                let _ = leave.await;
            }
            if let Some(leg) = stream {
                leg.outbox.close();
            }
            Answered::Connected(Connection::Phone, to(&client, &leg).await)
        });
    }

    /// Has the audio of the call brought to a WebSocket, and taken from it.
    pub(super) fn connect_stream(&mut self, url: &str) {
        self.connection = Connection::Stream;
        let connect = self.client.connect_stream(&self.leg, url);
        self.work.spawn(async move { Answered::Connected(Connection::Stream, connect.await) });
    }

    pub(super) fn hang_up(&mut self) {
        let end = self.client.end(&self.leg, "hangup");
        self.work.spawn(async move { Answered::Ended(end.await) });
    }

    /// The call does not exist any more.
    pub(super) fn hung_up(&mut self) -> Option<News> {
        (!std::mem::replace(&mut self.is_over, true)).then_some(News::Call(Event::HungUp))
    }

    /// The connection to the platform is down.
    pub(super) fn lost(&mut self) {
        self.is_down = true;
    }

    /// It is up again. Gives whether it was down.
    pub(super) fn restored(&mut self) -> bool {
        let was_down = std::mem::replace(&mut self.is_down, false);
        if was_down && matches!(self.pickup, Pickup::Unsure) {
            self.answer();
        }
        was_down
    }

    /// Takes what concerns the call itself, or whom it is to be handed to.
    pub(super) fn take_event(&mut self, leg: &Leg, tag: Option<&str>, event: &CallEvent) -> Option<News> {
        if !self.is_of(leg) {
            return self.take_target_event(leg, tag, event);
        }
        match event {
            CallEvent::State(CallState::Answered) => self.answered(),
            CallEvent::State(CallState::Ending | CallState::Ended) | CallEvent::NotReached(_) => {
                self.hung_up()
            }
            CallEvent::Detect { control_id, event } => self.detected(control_id, *event),
            CallEvent::DigitsSent { control_id } => {
                let ours = self.digits.take_if(|ours| ours == control_id);
                ours.map(|_| News::Call(Event::DigitsSent))
            }
            CallEvent::Connect(state) => self.connection_changed(*state),
            CallEvent::State(CallState::Ringing)
            | CallEvent::Play { .. }
            | CallEvent::Record(_)
            | CallEvent::Collect(_) => None,
        }
    }

    fn connection_changed(&mut self, state: ConnectState) -> Option<News> {
        if self.connection == Connection::StreamThenPhone && state != ConnectState::Disconnected {
            self.connection = Connection::Phone;
        }
        match (self.connection, state) {
            (Connection::Phone, ConnectState::Connected) => self.connected(),
            (Connection::Phone, ConnectState::Failed(why)) => Some(self.not_transferred(to_failure(why))),
            (Connection::Phone, ConnectState::Disconnected) => {
                self.hang_up();
                None
            }
            (Connection::Stream, ConnectState::Failed(_) | ConnectState::Disconnected) => {
                self.connection = Connection::None;
                Some(News::StreamOver)
            }
            (Connection::Phone | Connection::Stream, ConnectState::Connecting)
            | (Connection::Stream, ConnectState::Connected)
            | (Connection::None | Connection::StreamThenPhone, _) => None,
        }
    }

    fn not_transferred(&mut self, reason: TransferFailure) -> News {
        self.connection = Connection::None;
        self.drop_target();
        News::Call(Event::TransferFailed { reason })
    }

    fn detected(&mut self, control: &str, event: DetectEvent) -> Option<News> {
        if self.detection.as_deref() != Some(control) {
            return None;
        }
        let answerer = match event {
            DetectEvent::Human => Answerer::Human,
            DetectEvent::Machine => Answerer::Machine,
            DetectEvent::Unknown => Answerer::Unknown,
            // Nothing more will be known of a machine, so this is when to speak; else it means nothing any more.
            DetectEvent::Ready | DetectEvent::Over => {
                self.detection = None;
                return Some(News::Call(Event::MachineReady));
            }
        };
        Some(News::Call(Event::AnswererDetected { answerer }))
    }

    /// What comes of commands, and of waiting for events that were lost. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Option<News> {
        let (picked_up, told) = (self.pickup.due(), self.target.as_ref().and_then(Target::due));
        tokio::select! {
            Some(answered) = self.work.join_next() => self.take_answer(answered.ok()?),
            () = until(picked_up) => self.answered(),
            () = until(told) => self.target_told(),
        }
    }

    fn take_answer(&mut self, answered: Answered) -> Option<News> {
        match answered {
            Answered::Call(result) => self.answer_answered(result),
            // Which of the two is gone the platform does not say; the caller's end is told by an event of its own.
            Answered::Connected(_, Err(Error::Gone)) if self.target.is_some() => {
                Some(self.not_transferred(TransferFailure::HungUp))
            }
            Answered::Ended(Err(Error::Gone)) | Answered::Connected(_, Err(Error::Gone)) => self.hung_up(),
            Answered::Connected(Connection::Stream, Err(error)) => {
                tracing::warn!(%error, "a call could not be connected to its stream");
                (self.connection == Connection::Stream).then_some(News::StreamOver)
            }
            Answered::Connected(_, Err(error)) => {
                tracing::warn!(%error, "a call could not be handed over");
                Some(self.not_transferred(TransferFailure::Failed))
            }
            Answered::Called(tag, Err(error)) => self.not_called(&tag, &error),
            Answered::Told(control, Err(error)) => self.not_told(&control, &error),
            Answered::Detect(Err(error)) => {
                tracing::warn!(%error, "who has answered cannot be found out");
                self.detection = None;
                Some(News::Call(Event::AnswererDetected { answerer: Answerer::Unknown }))
            }
            Answered::Digits(Err(error)) => {
                tracing::warn!(%error, "digits could not be dialled");
                self.digits = None;
                Some(News::Call(Event::DigitsFailed))
            }
            Answered::Ended(Ok(()) | Err(_))
            | Answered::Connected(_, Ok(()))
            | Answered::Detect(Ok(()))
            | Answered::Digits(Ok(()))
            | Answered::Called(_, Ok(()))
            | Answered::Told(_, Ok(()))
            | Answered::Nothing => None,
        }
    }

    /// Ends the call there if it is not over yet, and whoever is or was to talk with the caller goes with it.
    pub(super) async fn leave(mut self) {
        self.drop_target();
        if !self.is_over {
            self.hang_up();
        }
        let carried_out = async { while self.work.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, carried_out).await;
    }
}

fn to_failure(why: NotReached) -> TransferFailure {
    match why {
        NotReached::Busy => TransferFailure::Busy,
        NotReached::NoAnswer => TransferFailure::NoAnswer,
        NotReached::Other => TransferFailure::Failed,
    }
}

/// What the switchboard tells, if it tells anything.
pub(super) async fn told(platform: &mut Option<mpsc::Receiver<Platform>>) -> Option<Platform> {
    match platform {
        Some(platform) => platform.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) fn control_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
