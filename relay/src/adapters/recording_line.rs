//! The recording door: one call's audio path over `SignalWire`'s Relay commands.
//!
//! Two operations run side by side for as long as the call listens. The **tape** records what the caller says; the
//! **ear** tells when he begins and ends, with words as they come. Either may end by itself at any time and is then
//! started again; neither is ever a turn on its own. When the ear reports the end of an utterance, the tape is
//! stopped, and its recording, with the instant at which speech began in it, is the utterance.
//!
//! Events can be lost with a dropped connection, so every wait has an end of its own, and after a resume tape and ear
//! are asked to stop and the playback whether it is on: that something is gone means that it had finished.

mod ear;
mod mouth;
mod tape;
mod utterance;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use voice_call::Event;
use voice_signalwire::{CallEvent, Client, Error, Leg};

use self::{ear::Ear, mouth::Mouth, tape::Tape, utterance::Speech};
use super::{
    dialling::{self, Dial},
    trunk::{News, Pickup, Platform, Trunk, control_id, until},
};
use crate::{
    kept::{Page, Running, Stage},
    ports::{LINE_QUEUE, Line, LineCommand, LineEvent},
};

/// How the door listens.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Silence after speech that ends an utterance.
    pub end_silence: Duration,
    /// BCP 47 tag.
    pub language: String,
}

/// Results of commands.
#[derive(Debug)]
enum Answered {
    Record {
        control: String,
        result: Result<Option<String>, Error>,
    },
    TapeStopped {
        control: String,
        result: Result<(), Error>,
    },
    Collect {
        control: String,
        result: Result<(), Error>,
    },
    EarStopped {
        control: String,
        result: Result<(), Error>,
    },
    Play {
        control: String,
        result: Result<(), Error>,
    },
    PlayStopped {
        control: String,
        result: Result<(), Error>,
    },
    PlayProbed {
        control: String,
        result: Result<(), Error>,
    },
    /// The result of a command that nothing depends on.
    Nothing,
}

struct RecordingLine {
    trunk: Trunk,
    settings: Settings,
    out: mpsc::Sender<LineEvent>,
    work: JoinSet<Answered>,
    tape: Tape,
    ear: Ear,
    mouth: Option<Mouth>,
    speech: Option<Speech>,
    utterances: u32,
    is_listening: bool,
    /// Keys in a row that the ear tells together.
    most_digits: usize,
    /// Whether the platform listens for us; otherwise silence on the tape ends an utterance.
    has_ear: bool,
}

/// Opens the line of a call that rings here: what the session holds of it, and the work that drives it.
pub(crate) fn open(
    client: Client,
    leg: Leg,
    own_number: String,
    settings: Settings,
    page: Arc<Page>,
    platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    begin(Trunk::new(client, leg, own_number, Pickup::Ringing, page), settings, Running::default(), platform)
}

/// Opens the line of a call that another process had, and stops what runs for it.
pub(crate) fn take_back(
    client: Client,
    (leg, own_number): (Leg, String),
    settings: Settings,
    (stage, running): (Stage, Running),
    page: Arc<Page>,
    platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    begin(Trunk::taken_back(client, leg, own_number, stage, page), settings, running, platform)
}

fn begin(
    trunk: Trunk,
    settings: Settings,
    running: Running,
    platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    let (command_sender, commands) = mpsc::channel(LINE_QUEUE);
    let (out, events) = mpsc::channel(LINE_QUEUE);
    let mut line = RecordingLine::new(trunk, settings, out);
    line.stop_running(running);
    (Line { commands: command_sender, events, format: None }, line.run(commands, platform))
}

/// Opens the line of a call that is placed.
pub(crate) fn place(
    client: Client,
    dial: Dial,
    settings: Settings,
    page: Arc<Page>,
    mut platform: mpsc::Receiver<Platform>,
) -> (Line, impl Future<Output = ()> + Send + 'static) {
    let (command_sender, mut commands) = mpsc::channel(LINE_QUEUE);
    let (out, events) = mpsc::channel(LINE_QUEUE);
    let work = async move {
        let answered = dialling::ring(&client, &dial, &page, &out, &mut commands, &mut platform).await;
        if let Some(leg) = answered {
            let trunk = Trunk::new(client, leg, dial.from, Pickup::Answered, page);
            RecordingLine::new(trunk, settings, out).run(commands, platform).await;
        }
    };
    (Line { commands: command_sender, events, format: None }, work)
}

impl RecordingLine {
    fn new(trunk: Trunk, settings: Settings, out: mpsc::Sender<LineEvent>) -> Self {
        Self {
            trunk,
            settings,
            out,
            work: JoinSet::new(),
            tape: Tape::default(),
            ear: Ear::default(),
            mouth: None,
            speech: None,
            utterances: 0,
            is_listening: false,
            most_digits: 1,
            has_ear: true,
        }
    }

    /// Stops what another process has left running: what is started then is this one's.
    fn stop_running(&mut self, running: Running) {
        let Running { tape, ear, playback } = running;
        if let Some(control) = tape {
            self.tape = Tape::left_running(control);
            self.stop_tape();
        }
        if let Some(control) = ear {
            self.ear = Ear::left_running(control);
            self.stop_ear();
        }
        if let Some(control) = playback {
            self.stop_playback(&control);
        }
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<LineCommand>,
        mut platform: mpsc::Receiver<Platform>,
    ) {
        loop {
            self.keep_listening();
            let deadline = self.next_deadline();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                told = platform.recv() => match told {
                    Some(Platform::Event { leg, tag, event }) => self.take_event(&leg, tag.as_deref(), event).await,
                    Some(Platform::Dial { tag, event }) => {
                        let news = self.trunk.take_dial(&tag, &event);
                        self.take_news(news).await;
                    }
                    Some(Platform::Lost) => self.lost().await,
                    Some(Platform::Restored) => self.restored().await,
                    None => break,
                },
                news = self.trunk.next() => self.take_news(news).await,
                Some(answered) = self.work.join_next() => {
                    if let Ok(answered) = answered {
                        self.take_answer(answered).await;
                    }
                }
                () = until(deadline) => self.expire().await,
            }
        }
        self.trunk.leave().await;
    }

    async fn obey(&mut self, command: LineCommand) {
        match command {
            LineCommand::Answer => self.trunk.answer(),
            // Only a line that is placed dials, and it has by now.
            // The platform ends utterances here, so none is open to be forgotten.
            LineCommand::Dial | LineCommand::DropUtterance => {}
            LineCommand::Screen => self.trunk.screen(),
            LineCommand::SendDigits { digits } => self.trunk.send_digits(&digits),
            LineCommand::Listen => self.is_listening = true,
            LineCommand::ExpectDigits { most } => {
                self.most_digits = most;
                self.stop_ear();
            }
            LineCommand::EndUtterance => {
                self.stop_ear();
                self.end_utterance().await;
            }
            LineCommand::Play { playback, sounds, skip: _ } => self.play(playback, sounds),
            LineCommand::Stop { playback } => self.stop(playback).await,
            LineCommand::Transfer { number } => {
                self.stop_listening();
                self.trunk.transfer(&number, None);
            }
            LineCommand::CallTarget { number } => {
                self.stop_listening();
                self.trunk.call_target(&number);
            }
            LineCommand::TellTarget(announcement) => self.trunk.tell_target(announcement),
            LineCommand::JoinTarget => self.trunk.join_target(None),
            LineCommand::DropTarget => self.trunk.drop_target(),
            LineCommand::HangUp => self.trunk.hang_up(),
        }
    }

    async fn take_event(&mut self, leg: &Leg, tag: Option<&str>, event: CallEvent) {
        let news = self.trunk.take_event(leg, tag, &event);
        self.take_news(news).await;
        if !self.trunk.is_of(leg) {
            return;
        }
        match event {
            CallEvent::Play { control_id, state } => self.played(&control_id, state).await,
            CallEvent::Record(event) => self.recorded(event).await,
            CallEvent::Collect(event) => self.heard(event).await,
            CallEvent::State(_)
            | CallEvent::NotReached(_)
            | CallEvent::Detect { .. }
            | CallEvent::DigitsSent { .. }
            | CallEvent::Connect(_) => {}
        }
    }

    async fn take_news(&mut self, news: Option<News>) {
        match news {
            Some(News::Call(event)) => {
                if event == Event::HungUp {
                    self.is_listening = false;
                    self.cut_utterance().await;
                }
                self.tell(event).await;
            }
            // Nobody asked for one.
            Some(News::StreamOver) | None => {}
        }
    }

    async fn take_answer(&mut self, answered: Answered) {
        match answered {
            Answered::Record { control, result } => self.record_answered(&control, result).await,
            Answered::TapeStopped { control, result } => self.tape_stopped(&control, result).await,
            Answered::Collect { control, result } => self.collect_answered(&control, result).await,
            Answered::EarStopped { control, result } => self.ear_stopped(&control, &result),
            Answered::Play { control, result } => self.play_answered(&control, result).await,
            Answered::PlayStopped { control, result } => self.play_stopped(&control, result).await,
            Answered::PlayProbed { control, result } => self.play_probed(&control, result).await,
            Answered::Nothing => {}
        }
    }

    async fn hung_up(&mut self) {
        let news = self.trunk.hung_up();
        self.take_news(news).await;
    }

    /// What caller and colleague say to each other is not ours to hear.
    fn stop_listening(&mut self) {
        self.is_listening = false;
        self.speech = None;
        self.stop_tape();
        self.stop_ear();
    }

    async fn lost(&mut self) {
        self.trunk.lost();
        self.degraded("LINE_LOST").await;
    }

    /// Finds out what became of everything that was open while nobody listened.
    async fn restored(&mut self) {
        if !self.trunk.restored() {
            return;
        }
        self.degraded("LINE_RESTORED").await;
        self.stop_ear();
        if let Some(speech) = &mut self.speech
            && !speech.is_over
        {
            // Whether he still speaks cannot be known; the next tape has what follows.
            speech.is_over = true;
            self.tell(Event::SpeechEnded).await;
        } else if self.speech.is_none() && self.mouth.is_none() && self.tape.is_on() {
            // He may have spoken while nobody listened. If not, the turn will find nothing said.
            self.speech = Some(Speech { started: self.tape.since(), parts: Vec::new(), is_over: true });
        }
        self.stop_tape();
        self.reconcile_mouth();
        if !self.tape.is_on() {
            self.tape_over(None).await;
        }
    }

    /// Starts the tape and the ear whenever they should run and do not.
    fn keep_listening(&mut self) {
        if !self.is_listening || self.trunk.is_over() || self.trunk.is_down() {
            return;
        }
        self.keep_tape();
        self.keep_ear();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let tape = if self.is_listening && !self.trunk.is_down() {
            self.tape.next_deadline(self.speech.is_some())
        } else {
            None
        };
        let ear = if self.is_listening && !self.trunk.is_down() && self.has_ear {
            self.ear.next_deadline()
        } else {
            None
        };
        [tape, ear].into_iter().flatten().min()
    }

    async fn expire(&mut self) {
        let now = Instant::now();
        self.ear.expire(now);
        self.expire_tape(now).await;
    }

    async fn tell(&self, event: Event) {
        let _ = self.out.send(LineEvent::Call(event)).await;
    }

    async fn degraded(&self, reason: &'static str) {
        let _ = self.out.send(LineEvent::Degraded(reason)).await;
    }
}
