//! A call at the platform, whichever way its audio goes: answering, who has answered, digits, another leg, the end.
//!
//! Events can be lost with a dropped connection, so that a command's result counts where its event does not come.

mod pickup;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use voice_call::{Answerer, Event};
use voice_signalwire::{CallEvent, CallState, Client, ConnectState, DetectEvent, DialEvent, Error, Leg};

pub(super) use self::pickup::Pickup;
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
        /// What happened.
        event: CallEvent,
    },
    /// Something came of dialling.
    Dial(DialEvent),
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
        Self { connection, ..Self::new(client, leg, own_number, pickup, page) }
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

    /// Hands the call to a number. A stream of its audio ends with that, and not before: its other end is kept until
    /// the platform has let go, which may take a socket that closes by itself for the end of the call.
    pub(super) fn transfer(&mut self, number: &str, stream: Option<AudioLeg>) {
        let has_stream = self.connection == Connection::Stream;
        self.connection = if has_stream { Connection::StreamThenPhone } else { Connection::Phone };
        let leave = has_stream.then(|| self.client.disconnect(&self.leg));
        let (client, leg) = (self.client.clone(), self.leg.clone());
        let (from, to) = (self.own_number.clone(), number.to_owned());
        self.work.spawn(async move {
            if let Some(leave) = leave {
                // That it was not connected any more is as well.
                let _ = leave.await;
            }
            drop(stream);
            let connect = client.connect_phone(&leg, &from, &to, TRANSFER_RING);
            Answered::Connected(Connection::Phone, connect.await)
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

    /// Takes what concerns the call itself.
    pub(super) fn take_event(&mut self, event: &CallEvent) -> Option<News> {
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
            (Connection::Phone, ConnectState::Connected) => Some(News::Call(Event::TransferConnected)),
            (Connection::Phone, ConnectState::Failed) => Some(self.not_transferred()),
            (Connection::Phone, ConnectState::Disconnected) => {
                self.hang_up();
                None
            }
            (Connection::Stream, ConnectState::Failed | ConnectState::Disconnected) => {
                self.connection = Connection::None;
                Some(News::StreamOver)
            }
            (Connection::Phone | Connection::Stream, ConnectState::Connecting)
            | (Connection::Stream, ConnectState::Connected)
            | (Connection::None | Connection::StreamThenPhone, _) => None,
        }
    }

    fn not_transferred(&mut self) -> News {
        self.connection = Connection::None;
        News::Call(Event::TransferFailed)
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
        let due = self.pickup.due();
        tokio::select! {
            Some(answered) = self.work.join_next() => self.take_answer(answered.ok()?),
            () = until(due) => self.answered(),
        }
    }

    fn take_answer(&mut self, answered: Answered) -> Option<News> {
        match answered {
            Answered::Call(result) => self.answer_answered(result),
            Answered::Ended(Err(Error::Gone)) | Answered::Connected(_, Err(Error::Gone)) => self.hung_up(),
            Answered::Connected(Connection::Stream, Err(error)) => {
                tracing::warn!(%error, "a call could not be connected to its stream");
                (self.connection == Connection::Stream).then_some(News::StreamOver)
            }
            Answered::Connected(_, Err(error)) => {
                tracing::warn!(%error, "a call could not be handed over");
                Some(self.not_transferred())
            }
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
            | Answered::Digits(Ok(())) => None,
        }
    }

    /// Ends the call there if it is not over yet.
    pub(super) async fn leave(self) {
        if !self.is_over {
            let end = self.client.end(&self.leg, "hangup");
            let _ = tokio::time::timeout(FAREWELL, end).await;
        }
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
