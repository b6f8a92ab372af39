//! The call of a telephone whose audio comes as a stream: commands go to the platform as ever, and the platform is told to
//! bring the audio to a gateway, again whenever it does not come or breaks off.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::mpsc;
use voice_call::{Event, TransferFailure};
use voice_signalwire::{Client, Leg};

use super::{StreamLine, now};
use crate::{
    adapters::{
        dialling::{self, Dial},
        trunk::{News, Pickup, Platform, Trunk},
    },
    kept::{Page, Stage},
    leg::Leg as AudioLeg,
    media::MediaPlace,
    ports::{LINE_QUEUE, Line, LineEvent},
    sound::AudioFormat,
};

/// A stream that has not come by then is asked for again.
const STREAM_WAIT: Duration = Duration::from_secs(3);

/// One that was refused, or broke off, is asked for again after this: the platform may not have noticed yet.
const RETRY: Duration = Duration::from_millis(250);

/// How streams come in the format that telephones have anyway.
const FORMAT: AudioFormat = AudioFormat::Mulaw;

/// Nobody has this call who could hand it over.
const NOT_TRANSFERRED: Event = Event::TransferFailed { reason: TransferFailure::Failed };

/// Where the audio of a call is brought to.
#[derive(Debug)]
pub(crate) struct Media {
    /// Where it arrives.
    pub place: MediaPlace,
    /// The gateway's address for streams, without a token.
    pub url: String,
    /// Where the grid begins on which all calls speak.
    pub origin: Instant,
}

/// The platform's side of a call.
#[derive(Debug)]
pub(super) struct Telephone {
    pub(super) trunk: Trunk,
    url: String,
    /// When its stream is to be asked for.
    ask_at: Option<Instant>,
    had_stream: bool,
    /// Whether the call knows that its stream is missing.
    is_loss_told: bool,
}

/// Opens the line of a call that rings here.
pub(crate) fn answer(
    client: Client,
    leg: Leg,
    own_number: String,
    media: Media,
    page: Arc<Page>,
    platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    let (command_sender, commands) = mpsc::channel(LINE_QUEUE);
    let (out, events) = mpsc::channel(LINE_QUEUE);
    let line = line(Trunk::new(client, leg, own_number, Pickup::Ringing, page), media, out);
    (Line { commands: command_sender, events, format: Some(FORMAT) }, line.run(commands, Some(platform)))
}

/// Opens the line of a call that another process had. Its stream went with that one: it is asked for anew.
pub(crate) fn take_back(
    client: Client,
    (leg, own_number): (Leg, String),
    media: Media,
    stage: Stage,
    page: Arc<Page>,
    platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    let (command_sender, commands) = mpsc::channel(LINE_QUEUE);
    let (out, events) = mpsc::channel(LINE_QUEUE);
    let mut line = line(Trunk::taken_back(client, leg, own_number, stage, page), media, out);
    if stage == Stage::Talking {
        line.await_stream();
    }
    (Line { commands: command_sender, events, format: Some(FORMAT) }, line.run(commands, Some(platform)))
}

/// Opens the line of a call that is placed.
pub(crate) fn place(
    client: Client,
    dial: Dial,
    media: Media,
    page: Arc<Page>,
    mut platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    let (command_sender, mut commands) = mpsc::channel(LINE_QUEUE);
    let (out, events) = mpsc::channel(LINE_QUEUE);
    let work = async move {
        let answered = dialling::ring(&client, &dial, &page, &out, &mut commands, &mut platform).await;
        if let Some(leg) = answered {
            let mut line = line(Trunk::new(client, leg, dial.from, Pickup::Answered, page), media, out);
            line.await_stream();
            line.run(commands, Some(platform)).await;
        }
    };
    (Line { commands: command_sender, events, format: Some(FORMAT) }, work)
}

fn line(trunk: Trunk, media: Media, out: mpsc::Sender<LineEvent>) -> StreamLine {
    let Media { place, url, origin } = media;
    let mut line = StreamLine::new(FORMAT, true, out, origin);
    line.mouth.disconnected(now());
    line.place = Some(place);
    line.telephone = Some(Telephone { trunk, url, ask_at: None, had_stream: false, is_loss_told: false });
    line
}

/// The next news of the platform's side, if there is one.
pub(super) async fn next(telephone: &mut Option<Telephone>) -> Option<News> {
    match telephone {
        Some(telephone) => telephone.trunk.next().await,
        None => std::future::pending().await,
    }
}

impl Telephone {
    /// When the stream is to be asked for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Asks for the stream in a moment.
    pub(super) fn ask_soon(&mut self, now: Instant) {
        self.ask_at = Some(now + RETRY);
    }

    /// The stream is there. Gives whether the call knows that it was missing.
    pub(super) fn stream_came(&mut self) -> bool {
        self.ask_at = None;
        self.had_stream = true;
        std::mem::take(&mut self.is_loss_told)
    }

    pub(super) fn hang_up(&mut self) {
        self.ask_at = None;
        self.trunk.hang_up();
    }

    /// Ends the call at the platform if it is not over yet.
    pub(super) async fn leave(self) {
        self.trunk.leave().await;
    }
}

impl StreamLine {
    pub(super) fn take_told(&mut self, told: &Platform) {
        let Some(telephone) = &mut self.telephone else { return };
        match told {
            Platform::Event { leg, tag, event } => {
                let news = telephone.trunk.take_event(leg, tag.as_deref(), event);
                self.take_news(news);
            }
            Platform::Dial { tag, event } => {
                let news = telephone.trunk.take_dial(tag, event);
                self.take_news(news);
            }
            Platform::Lost => {
                telephone.trunk.lost();
                self.told.push(LineEvent::Degraded("LINE_LOST"));
            }
            Platform::Restored => {
                if telephone.trunk.restored() {
                    self.told.push(LineEvent::Degraded("LINE_RESTORED"));
                }
            }
        }
    }

    pub(super) fn take_news(&mut self, news: Option<News>) {
        match news {
            Some(News::Call(event)) => self.take_call_news(event),
            Some(News::StreamOver) => {
                let now = now();
                self.broken(now);
                if let Some(telephone) =
                    self.telephone.as_mut().filter(|telephone| telephone.ask_at.is_some())
                {
                    telephone.ask_soon(now);
                }
            }
            None => {}
        }
    }

    fn take_call_news(&mut self, event: Event) {
        match event {
            Event::HungUp | Event::LineFailed => {
                self.close();
                self.broken_at = None;
                if let Some(telephone) = &mut self.telephone {
                    telephone.ask_at = None;
                }
                self.over(event);
            }
            Event::Answered => {
                self.tell(event);
                self.await_stream();
            }
            Event::TransferFailed { .. } => {
                self.tell(event);
                self.take_stream_back();
            }
            event => self.tell(event),
        }
    }

    /// Has the audio brought here, from now on.
    fn await_stream(&mut self) {
        let now = now();
        self.broken_at = Some(now);
        if let Some(telephone) = &mut self.telephone {
            telephone.ask_at = Some(now);
        }
    }

    /// Has the audio brought here again, if it was let go.
    fn take_stream_back(&mut self) {
        if self.leg.is_none() && self.broken_at.is_none() && !self.is_over {
            self.await_stream();
        }
    }

    /// Asks for the stream if it is time to.
    pub(super) fn ask_for_stream(&mut self, now: Instant) {
        let (Some(telephone), Some(place)) = (&mut self.telephone, &self.place) else { return };
        if telephone.ask_at.is_none_or(|at| at > now) {
            return;
        }
        if telephone.trunk.is_down() {
            telephone.ask_soon(now);
            return;
        }
        if telephone.had_stream && !std::mem::replace(&mut telephone.is_loss_told, true) {
            self.told.push(LineEvent::Degraded("LINE_LOST"));
        }
        let url = format!("{}/{}", telephone.url, place.token(Timestamp::now()));
        telephone.trunk.connect_stream(&url);
        telephone.ask_at = Some(now + STREAM_WAIT);
    }

    /// Hands the call over.
    pub(super) fn transfer(&mut self, number: &str) {
        self.stop_listening();
        self.let_go(|trunk, stream| trunk.transfer(number, stream));
    }

    /// Calls whom the call is to be handed to.
    pub(super) fn call_target(&mut self, number: &str) {
        self.stop_listening();
        match &mut self.telephone {
            Some(telephone) => telephone.trunk.call_target(number),
            None => self.tell(NOT_TRANSFERRED),
        }
    }

    pub(super) fn join_target(&mut self) {
        // He may have hung up just now, which the call is being told.
        if self.telephone.as_ref().is_some_and(|telephone| telephone.trunk.has_target()) {
            self.let_go(Trunk::join_target);
        }
    }

    pub(super) fn drop_target(&mut self) {
        if let Some(telephone) = &mut self.telephone {
            telephone.trunk.drop_target();
            self.take_stream_back();
        }
    }

    /// What caller and colleague say to each other is not ours to hear.
    fn stop_listening(&mut self) {
        self.is_listening = false;
        self.ear.end();
    }

    /// The call's audio goes elsewhere.
    fn let_go(&mut self, to: impl FnOnce(&mut Trunk, Option<AudioLeg>)) {
        let Some(telephone) = &mut self.telephone else { return self.tell(NOT_TRANSFERRED) };
        let now = now();
        self.mouth.cut(now, self.leg.as_ref().map(|leg| &leg.outbox));
        self.mouth.disconnected(now);
        self.broken_at = None;
        telephone.ask_at = None;
        to(&mut telephone.trunk, self.leg.take());
    }
}
