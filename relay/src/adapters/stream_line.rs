//! The stream door: one call's audio path over frames. What comes in goes to the ear, which finds utterances in it; what
//! the assistant says goes out through the mouth, which keeps time.
//!
//! When an utterance ends, whether an interruption was one, and what is said next is decided elsewhere. A leg that breaks
//! is replaced by another connection if the call can get one, and goes on where it was.

mod aside;
mod ear;
mod frames;
mod mouth;
mod telephone;

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{Instrument as _, Span};
use voice_call::{Answerer, Event, PlaybackId};

pub(crate) use self::telephone::{Media, answer, place, take_back};
use self::{
    aside::aside,
    ear::{Ear, Heard},
    mouth::Mouth,
    telephone::Telephone,
};
use super::trunk::{self, Platform};
use crate::{
    error::Error,
    leg::{Leg, LegEvent},
    media::MediaPlace,
    ports::{LINE_QUEUE, Line, LineCommand, LineEvent, LiveAudio, Sound},
    session::now,
    sound::AudioFormat,
};

/// How long a call whose leg broke waits for another one.
const RECONNECT: Duration = Duration::from_secs(10);

/// A peer that sends nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(30);

/// How far audio may come ahead of the time in which it is spoken; what comes beyond it is dropped.
const SURPLUS: Duration = Duration::from_secs(1);

struct StreamLine {
    format: AudioFormat,
    leg: Option<Leg>,
    /// Where other connections of this leg arrive; a leg without can have none.
    place: Option<MediaPlace>,
    /// The platform's side of the call, where it is a telephone's.
    telephone: Option<Telephone>,
    ear: Ear,
    mouth: Mouth,
    out: mpsc::Sender<LineEvent>,
    /// Events to be told.
    told: Vec<LineEvent>,
    is_listening: bool,
    is_hanging_up: bool,
    is_over: bool,
    broken_at: Option<Instant>,
    heard_at: Instant,
    pace: Pace,
    /// Where the grid begins on which this process does what can wait for the next frame.
    origin: Instant,
}

/// Something for which more is to be done than to hear it.
enum Input {
    /// What comes in on the leg besides frames.
    Leg(Option<LegEvent>),
    /// What the call decides; `None` once it is gone.
    Command(Option<LineCommand>),
    /// Another connection of the leg.
    Connected(Option<Leg>),
    /// The platform's answers.
    Telephone(Option<trunk::News>),
    /// The platform's events; `None` once nobody passes them on.
    Told(Option<Platform>),
    /// Nothing but that it is time.
    Due,
}

/// How much audio came, and since when.
#[derive(Debug)]
struct Pace {
    since: Instant,
    taken: Duration,
}

/// Opens the line of a call that a stream of frames has begun.
pub(crate) fn open(
    leg: Leg,
    place: Option<MediaPlace>,
    origin: Instant,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    let (command_sender, commands) = mpsc::channel(LINE_QUEUE);
    let (out, events) = mpsc::channel(LINE_QUEUE);
    let format = leg.format;
    let mut line = StreamLine::new(format, leg.answers_marks, out, origin);
    line.leg = Some(leg);
    line.place = place;
    (Line { commands: command_sender, events, format: Some(format) }, line.run(commands, None))
}

impl StreamLine {
    fn new(format: AudioFormat, answers_marks: bool, out: mpsc::Sender<LineEvent>, origin: Instant) -> Self {
        let now = now();
        Self {
            format,
            ear: Ear::new(format),
            mouth: Mouth::new(format, answers_marks, now),
            leg: None,
            place: None,
            telephone: None,
            out,
            told: Vec::new(),
            is_listening: false,
            is_hanging_up: false,
            is_over: false,
            broken_at: None,
            heard_at: now,
            pace: Pace { since: now, taken: Duration::ZERO },
            origin,
        }
    }

    /// Conducts the line to its end.
    async fn run(self, commands: mpsc::Receiver<LineCommand>, platform: Option<mpsc::Receiver<Platform>>) {
        // A task of its own: frames need no span, and whatever else there is enters it.
        let mut alone = JoinSet::new();
        alone.spawn(self.conduct(commands, platform, Span::current()));
        alone.join_next().await;
    }

    async fn conduct(
        mut self,
        mut commands: mpsc::Receiver<LineCommand>,
        mut platform: Option<mpsc::Receiver<Platform>>,
        span: Span,
    ) {
        let sleep = tokio::time::sleep_until(tokio::time::Instant::now());
        tokio::pin!(sleep);
        loop {
            let now = now();
            span.in_scope(|| self.go_on(now));
            for event in self.told.drain(..) {
                // A session that is gone has closed the commands as well.
                let _ = self.out.send(event).await;
            }
            let wake = tokio::time::Instant::from_std(self.wake_at(now));
            if sleep.deadline() != wake {
                sleep.as_mut().reset(wake);
            }
            let awaited = self.mouth.awaited();
            let (mut place, mut telephone) = (self.place.take(), self.telephone.take());
            let input = {
                let others = async {
                    tokio::select! {
                        biased;
                        command = commands.recv() => Input::Command(command),
                        leg = next_leg(&mut place) => Input::Connected(leg),
                        news = telephone::next(&mut telephone) => Input::Telephone(news),
                        told = trunk::told(&mut platform) => Input::Told(told),
                        () = grown(awaited.as_ref()) => Input::Due,
                        () = &mut sleep => Input::Due,
                    }
                };
                let mut others = pin!(aside(others.instrument(span.clone())));
                loop {
                    // In order: what the call has decided first, so that no flood of frames delays it, and then the frames, of
                    // which there are fifty a second.
                    tokio::select! {
                        biased;
                        input = &mut others => break input,
                        event = next_event(&mut self.leg) => match event {
                            Some(LegEvent::Audio(audio)) => {
                                if self.hear(audio) {
                                    break Input::Due;
                                }
                            }
                            event => break Input::Leg(event),
                        },
                    }
                }
            };
            (self.place, self.telephone) = (place, telephone);
            let is_left = span.in_scope(|| self.attend(input)).is_none();
            if is_left {
                break;
            }
        }
        if self.is_over {
            self.close();
        }
        if let Some(telephone) = self.telephone {
            telephone.leave().instrument(span).await;
        }
    }

    /// Does what has to be done for whatever came; `None` once whoever conducts the call has gone.
    fn attend(&mut self, input: Input) -> Option<()> {
        match input {
            Input::Command(command) => self.obey(command?),
            Input::Leg(event) => self.take(event),
            Input::Connected(leg) => self.connected(leg),
            Input::Telephone(news) => self.take_news(news),
            Input::Told(told) => self.take_told(&told?),
            Input::Due => {}
        }
        Some(())
    }

    /// Does what is due.
    fn go_on(&mut self, now: Instant) {
        if let Some(leg) = &self.leg {
            let told = &mut self.told;
            self.mouth.pump(now, &leg.outbox, |event| told.push(LineEvent::Call(event)));
            if self.heard_at + IDLE <= now {
                leg.outbox.refuse(Error::IdleTimeout);
                self.broken(now);
            } else if leg.outbox.is_gone() {
                self.broken(now);
            }
        }
        if self.broken_at.is_some_and(|at| at + RECONNECT <= now) {
            self.broken_at = None;
            self.over(Event::LineFailed);
        }
        if self.is_hanging_up && (self.leg.is_none() || self.mouth.silent_at() <= now) {
            self.is_hanging_up = false;
            self.close();
            match &mut self.telephone {
                Some(telephone) => telephone.hang_up(),
                None => self.over(Event::HungUp),
            }
        }
        if self.leg.is_none() {
            self.ask_for_stream(now);
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let mouth = self.leg.as_ref().and_then(|_| self.mouth.wake_at(now, self.origin));
        // To the second: whoever sends frames moves it fifty times in each.
        let idle = self.leg.as_ref().map(|_| self.heard_at + IDLE);
        let idle = idle.map(|at| at + Duration::from_secs(1).saturating_sub(since_second(at, self.origin)));
        let ending = self.is_hanging_up.then(|| self.mouth.silent_at());
        let lost = self.broken_at.map(|at| at + RECONNECT);
        let stream = self.telephone.as_ref().filter(|_| self.leg.is_none()).and_then(Telephone::due);
        [mouth, idle, ending, lost, stream].into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    /// Hears what the caller says. Gives whether anything is to be done for it: for most frames there is not.
    fn hear(&mut self, audio: Bytes) -> bool {
        let now = now();
        self.heard_at = now;
        self.listen(audio, now);
        !self.told.is_empty() || self.leg.as_ref().is_some_and(|leg| leg.outbox.is_gone())
    }

    fn take(&mut self, event: Option<LegEvent>) {
        let now = now();
        self.heard_at = now;
        match event {
            Some(LegEvent::Audio(audio)) => self.listen(audio, now),
            Some(LegEvent::Digit(digit)) => self.tell(Event::DigitPressed { digit }),
            Some(LegEvent::Mark(name)) => {
                let told = &mut self.told;
                self.mouth.mark_answered(&name, now, |event| told.push(LineEvent::Call(event)));
            }
            Some(LegEvent::Refused(error)) => {
                if let Some(leg) = self.leg.take() {
                    leg.outbox.refuse(error);
                }
                self.over(Event::LineFailed);
            }
            Some(LegEvent::Broken) => self.broken(now),
            // The platform says what became of a telephone's call.
            None if self.telephone.is_some() => self.broken(now),
            None => {
                self.close();
                self.over(Event::HungUp);
            }
        }
    }

    fn listen(&mut self, audio: Bytes, now: Instant) {
        if !self.is_listening || self.is_over || !self.pace.allows(self.format.duration_of(audio.len()), now)
        {
            return;
        }
        let (mouth, told) = (&mut self.mouth, &mut self.told);
        let position = mouth.position(now);
        self.ear.take(
            audio,
            || mouth.sounding(now),
            |heard| match heard {
                Heard::Started(utterance, batches) => {
                    told.extend(position.clone().map(LineEvent::Call));
                    told.push(LineEvent::Call(Event::SpeechStarted));
                    let audio = LiveAudio { format: self.format, batches };
                    told.push(LineEvent::UtteranceOpened { utterance, audio });
                }
                Heard::Paused { utterance, silent, voiced } => {
                    let silent_since = now.checked_sub(silent).unwrap_or(now);
                    told.push(LineEvent::Call(Event::SpeechPaused { utterance, silent_since, voiced }));
                }
                Heard::Resumed => told.push(LineEvent::Call(Event::SpeechResumed)),
            },
        );
    }

    fn obey(&mut self, command: LineCommand) {
        match command {
            LineCommand::Answer => match &mut self.telephone {
                Some(telephone) => telephone.trunk.answer(),
                // Whoever sends frames has been connected already.
                None => self.tell(Event::Answered),
            },
            // Only a line that is placed dials, and it has by now. Keys come one by one, whether expected or not.
            LineCommand::Dial | LineCommand::ExpectDigits { .. } => {}
            LineCommand::Listen => self.is_listening = true,
            LineCommand::EndUtterance => match self.ear.end() {
                Some(utterance) => {
                    self.tell(Event::SpeechEnded);
                    self.tell(Event::UtteranceEnded { utterance });
                }
                None => self.tell(Event::SpeechAbandoned),
            },
            LineCommand::DropUtterance => drop(self.ear.end()),
            LineCommand::Play { playback, sounds, skip } => self.play(playback, sounds, skip),
            LineCommand::Stop { playback } => {
                self.mouth.cut(now(), self.leg.as_ref().map(|leg| &leg.outbox));
                self.tell(Event::PlaybackFinished { playback });
            }
            LineCommand::Screen => match &mut self.telephone {
                Some(telephone) => telephone.trunk.screen(),
                None => self.tell(Event::AnswererDetected { answerer: Answerer::Unknown }),
            },
            LineCommand::SendDigits { digits } => match &mut self.telephone {
                Some(telephone) => telephone.trunk.send_digits(&digits),
                None => self.tell(Event::DigitsFailed),
            },
            LineCommand::Transfer { number } => self.transfer(&number),
            LineCommand::CallTarget { number } => self.call_target(&number),
            LineCommand::TellTarget(announcement) => {
                if let Some(telephone) = &mut self.telephone {
                    telephone.trunk.tell_target(announcement);
                }
            }
            LineCommand::JoinTarget => self.join_target(),
            LineCommand::DropTarget => self.drop_target(),
            LineCommand::HangUp => self.hang_up(),
        }
    }

    fn play(&mut self, playback: PlaybackId, sounds: Vec<Sound>, skip: Duration) {
        let clips: Vec<_> = sounds
            .into_iter()
            .filter_map(|sound| match sound {
                Sound::Live(clip) => Some(clip),
                // Nobody here can fetch a clip or speak a text.
                Sound::Clip(_) | Sound::Text(_) => None,
            })
            .collect();
        if clips.is_empty() {
            self.tell(Event::PlaybackFailed { playback });
        } else {
            self.mouth.play(playback, clips, skip);
        }
    }

    /// Lets what was sent be heard; what was not sent is not said any more.
    fn hang_up(&mut self) {
        self.is_listening = false;
        self.is_hanging_up = true;
        if self.mouth.is_playing() {
            self.mouth.cut(now(), self.leg.as_ref().map(|leg| &leg.outbox));
        }
    }

    fn connected(&mut self, leg: Option<Leg>) {
        let Some(leg) = leg else { return self.place = None };
        if self.is_over || self.leg.is_none() && self.broken_at.is_none() {
            // It comes too late.
            return leg.outbox.close();
        }
        if leg.format != self.format {
            let message = "is not that of the call".to_owned();
            return leg.outbox.refuse(Error::InvalidField { field: "config.format", message });
        }
        let now = now();
        if self.leg.is_some() {
            self.close();
            self.mouth.disconnected(now);
        }
        self.mouth.connected(leg.answers_marks, now);
        self.heard_at = now;
        let was_broken = self.broken_at.take().is_some();
        if self.telephone.as_mut().map_or(was_broken, Telephone::stream_came) {
            self.told.push(LineEvent::Degraded("LINE_RESTORED"));
        }
        self.leg = Some(leg);
    }

    /// The connection is gone. A leg that can have another one waits for it.
    fn broken(&mut self, now: Instant) {
        if !self.close() || self.is_over {
            return;
        }
        if self.place.is_none() {
            return self.over(Event::LineFailed);
        }
        self.mouth.disconnected(now);
        self.broken_at = Some(now);
        match &mut self.telephone {
            // Whoever hangs up takes his stream with him, and the platform says so in a moment.
            Some(telephone) => telephone.ask_soon(now),
            None => self.told.push(LineEvent::Degraded("LINE_LOST")),
        }
    }

    /// Ends the leg. Gives whether there was one.
    fn close(&mut self) -> bool {
        let leg = self.leg.take();
        if let Some(leg) = &leg {
            leg.outbox.close();
        }
        leg.is_some()
    }

    fn over(&mut self, event: Event) {
        self.is_listening = false;
        self.is_hanging_up = false;
        if !std::mem::replace(&mut self.is_over, true) {
            if let Some(utterance) = self.ear.end() {
                self.told.push(LineEvent::UtteranceCut { utterance, recordings: Vec::new() });
            }
            self.tell(event);
        }
    }

    fn tell(&mut self, event: Event) {
        self.told.push(LineEvent::Call(event));
    }
}

impl Pace {
    /// Whether there is room for audio of this length.
    fn allows(&mut self, audio: Duration, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        if self.taken < passed {
            *self = Self { since: now, taken: Duration::ZERO };
            self.taken = audio;
            return true;
        }
        if self.taken + audio > passed + SURPLUS {
            return false;
        }
        self.taken += audio;
        true
    }
}

/// How far a moment is into a second that is counted from `origin`.
fn since_second(at: Instant, origin: Instant) -> Duration {
    Duration::from_nanos(u64::from(at.saturating_duration_since(origin).subsec_nanos()))
}

async fn next_event(leg: &mut Option<Leg>) -> Option<LegEvent> {
    match leg {
        Some(leg) => leg.events.next().await,
        None => std::future::pending().await,
    }
}

async fn next_leg(place: &mut Option<MediaPlace>) -> Option<Leg> {
    match place {
        Some(place) => place.next().await,
        None => std::future::pending().await,
    }
}

async fn grown(clip: Option<&crate::sound::LiveClip>) {
    match clip {
        Some(clip) => clip.grown().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
