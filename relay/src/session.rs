//! Drives one call: executes what the core decides, and tells it what happens. No policy lives here.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use voice_call::{
    Call, ClipId, Command, Destination, Event, Item, Notice, PlaybackId, PlaybackKind, Refusal,
    SpeculationOutcome, State, TurnId, TurnRequest, UtteranceId, invariants::Invariants,
};

use crate::{
    assistants::Assistant,
    journal::Played,
    phrases::PhraseBook,
    ports::{Clip, Line, LineCommand, LineEvent, Recording, Sound, Speech, Turn, TurnEvent, Turns},
    registry::{Ask, Asked, CallRecord, Control},
};

/// Results of the call's own work on their way to the core.
const RESULT_QUEUE: usize = 256;

/// The preferred engine has one second for its first byte, and the fallback is fast; more than this is a dead service.
const CLIP_PATIENCE: Duration = Duration::from_millis(2_400);

/// What every call uses.
#[derive(Clone)]
pub(crate) struct Tools {
    /// Has turns worked on.
    pub turns: Arc<dyn Turns>,
    /// Makes speech.
    pub speech: Arc<dyn Speech>,
    /// Speech that was made beforehand.
    pub phrases: Arc<PhraseBook>,
    /// Where callers go when turn after turn fails.
    pub fallback_number: Option<String>,
    /// Whether a call that has moved to another engine stays with its voice.
    pub is_voice_sticky: bool,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

/// One call being conducted.
#[derive(Debug)]
pub(crate) struct Session {
    call: Call,
    record: Arc<CallRecord>,
    assistant: Arc<Assistant>,
    line: Line,
    control: mpsc::Receiver<Control>,
    tools: Tools,
    clips: HashMap<ClipId, Clip>,
    /// Who speaks in a playback that has not started to sound.
    played: HashMap<PlaybackId, Vec<Played>>,
    recordings: HashMap<UtteranceId, Vec<Recording>>,
    turns: HashMap<TurnId, AbortHandle>,
    work: JoinSet<()>,
    results: mpsc::Receiver<Done>,
    report: mpsc::Sender<Done>,
    /// The engine that the call has moved to; empty for the preferred one.
    engine: String,
    invariants: Invariants,
}

/// A result of the call's own work.
#[derive(Debug)]
enum Done {
    Clip(ClipId, Option<Clip>),
    Turn(TurnId, TurnEvent),
}

impl Session {
    /// Takes charge of a call.
    pub(crate) fn new(
        call: Call,
        record: Arc<CallRecord>,
        assistant: Arc<Assistant>,
        line: Line,
        control: mpsc::Receiver<Control>,
        tools: Tools,
    ) -> Self {
        let (report, results) = mpsc::channel(RESULT_QUEUE);
        Self {
            call,
            record,
            assistant,
            line,
            control,
            tools,
            clips: HashMap::new(),
            played: HashMap::new(),
            recordings: HashMap::new(),
            turns: HashMap::new(),
            work: JoinSet::new(),
            results,
            report,
            engine: String::new(),
            invariants: Invariants::default(),
        }
    }

    /// Conducts the call to its end. Whatever it still has in the works then is dropped with it.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(command) = self.call.poll_command() {
                self.check(&command);
                self.execute(command).await;
            }
            if matches!(self.call.state(), State::Ended { .. }) {
                break;
            }
            let timeout = self.call.next_timeout().map(tokio::time::Instant::from_std);
            tokio::select! {
                event = self.line.events.recv() => self.take_line_event(event),
                Some(done) = self.results.recv() => self.take_done(done),
                Some(control) = self.control.recv() => match control {
                    Control::End => self.call.handle(now(), Event::EndRequested),
                    Control::Drain => self.call.handle(now(), Event::DrainStarted),
                    Control::Ask(ask, reply) => {
                        // Whoever asked may have gone; what he asked for is done all the same.
                        let _ = reply.send(self.ask(ask));
                    }
                },
                Some(_) = self.work.join_next() => {}
                () = sleep_until(timeout) => self.call.handle_timeout(now()),
            }
        }
        self.record.update(|status| status.ended_at = Some(Timestamp::now()));
        self.record.journal.close();
        // Revocations that are under way are worth a moment; syntheses and watchers are not.
        for (_, turn) in self.turns.drain() {
            turn.abort();
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while self.work.join_next().await.is_some() {}
        })
        .await;
    }

    fn ask(&mut self, ask: Ask) -> Result<Asked, Refusal> {
        match ask {
            Ask::Say { text, interrupts } => self.call.say(now(), &text, interrupts).map(Asked::Say),
            Ask::Instruct(text) => self.call.instruct(text).map(|()| Asked::Done),
            Ask::SendDigits(digits) => self.call.send_digits(now(), digits).map(|()| Asked::Done),
            Ask::Transfer(number) => self.call.transfer(now(), number).map(|()| Asked::Done),
        }
    }

    /// A broken rule is a bug: it shows in tests and in debug builds.
    fn check(&mut self, command: &Command) {
        let verdict = self.invariants.check_command(now(), command);
        debug_assert!(verdict.is_ok(), "{verdict:?}: {command:?}");
    }

    fn take_line_event(&mut self, event: Option<LineEvent>) {
        match event {
            None => self.call.handle(now(), Event::LineFailed),
            Some(LineEvent::Call(event)) => {
                if let Event::PlaybackFinished { playback } | Event::PlaybackFailed { playback } = &event {
                    self.invariants.playback_over(*playback);
                }
                self.call.handle(now(), event);
            }
            Some(LineEvent::UtteranceEnded { utterance, recordings }) => {
                self.recordings.insert(utterance, recordings);
                self.call.handle(now(), Event::UtteranceEnded { utterance });
            }
            Some(LineEvent::Degraded(reason)) => self.note(Notice::Degraded { reason }),
        }
    }

    fn take_done(&mut self, done: Done) {
        let event = match done {
            Done::Clip(clip, Some(made)) => {
                let duration = made.duration;
                if made.is_fallback {
                    self.engine.clone_from(&made.engine);
                }
                self.clips.insert(clip, made);
                Event::ClipReady { clip, duration }
            }
            Done::Clip(clip, None) => {
                // The engine may be one that is not there any more.
                self.engine.clear();
                Event::ClipFailed { clip }
            }
            Done::Turn(turn, TurnEvent::Progressed(progress)) => Event::TurnProgressed { turn, progress },
            Done::Turn(turn, TurnEvent::Failed { reason }) => Event::TurnFailed { turn, reason },
        };
        self.call.handle(now(), event);
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Answer => self.tell(LineCommand::Answer).await,
            Command::Listen => self.tell(LineCommand::Listen).await,
            Command::EndUtterance => self.tell(LineCommand::EndUtterance).await,
            Command::DropUtterance => self.tell(LineCommand::DropUtterance).await,
            // Asked of lines that tell pauses; there is none yet.
            Command::Transcribe { .. } => {}
            Command::ForgetClips { clips } => self.clips.retain(|clip, _| !clips.contains(clip)),
            Command::StartTurn(request) => self.start_turn(request),
            Command::CancelTurn { turn } => self.cancel_turn(turn),
            Command::Synthesize { clip, kind, text } => self.synthesize(clip, kind, text),
            Command::Play { playback, items, skip } => {
                let sounds: Vec<_> = items.into_iter().filter_map(|item| self.sound(item)).collect();
                self.played.insert(playback, sounds.iter().map(Played::from).collect());
                self.tell(LineCommand::Play { playback, sounds, skip }).await;
            }
            Command::StopPlayback { playback } => self.tell(LineCommand::Stop { playback }).await,
            Command::Dial => self.tell(LineCommand::Dial).await,
            Command::Screen => self.tell(LineCommand::Screen).await,
            Command::SendDigits { digits } => self.tell(LineCommand::SendDigits { digits }).await,
            Command::Transfer { to } => {
                let number = match to {
                    Destination::Fallback => self.tools.fallback_number.clone().unwrap_or_default(),
                    Destination::Number { number } => number,
                };
                self.tell(LineCommand::Transfer { number }).await;
            }
            Command::HangUp => self.tell(LineCommand::HangUp).await,
            Command::Report(notice) => self.note(notice),
        }
    }

    async fn tell(&mut self, command: LineCommand) {
        if self.line.commands.send(command).await.is_err() {
            self.call.handle(now(), Event::LineFailed);
        }
    }

    /// The clips of a playback are used once.
    fn sound(&mut self, item: Item) -> Option<Sound> {
        match item {
            Item::Clip(clip) => self.clips.get(&clip).cloned().map(Sound::Clip),
            Item::Text(text) => Some(Sound::Text(text)),
        }
    }

    fn synthesize(&mut self, clip: ClipId, kind: PlaybackKind, text: String) {
        let prepared = if kind == PlaybackKind::Greeting && text.is_empty() {
            self.assistant.greeting_clip.clone()
        } else if kind == PlaybackKind::Reply {
            None
        } else {
            self.tools.phrases.find(&self.assistant, &text)
        };
        if let Some(prepared) = prepared {
            let event = Event::ClipReady { clip, duration: prepared.duration };
            self.clips.insert(clip, prepared);
            self.call.handle(now(), event);
            return;
        }
        let engine = if self.tools.is_voice_sticky { &self.engine } else { "" };
        let Assistant { voice, language, .. } = &*self.assistant;
        let work = self.tools.speech.clip(&text, voice, language, engine, CLIP_PATIENCE);
        let report = self.report.clone();
        self.work.spawn(async move {
            let made = work.await;
            if let Err(error) = &made {
                tracing::warn!(%error, "a clip could not be made");
            }
            let _ = report.send(Done::Clip(clip, made.ok())).await;
        });
    }

    fn start_turn(&mut self, request: TurnRequest) {
        let TurnRequest { turn, utterances, earlier_text, history, instructions, budget, is_speculative } =
            request;
        let prompt: Vec<_> = std::iter::once(self.assistant.prompt.clone()).chain(instructions).collect();
        if !is_speculative {
            self.record.update(|status| status.turns += 1);
        }
        let recordings = utterances
            .iter()
            .filter_map(|utterance| self.recordings.get(utterance))
            .flatten()
            .cloned()
            .collect();
        let mut events = self.tools.turns.start(Turn {
            call_id: self.record.call_id.clone(),
            turn,
            recordings,
            earlier_text,
            history,
            prompt: prompt.join("\n\n"),
            language: self.assistant.language.clone(),
            budget,
        });
        let report = self.report.clone();
        let task = self.work.spawn(async move {
            while let Some(event) = events.next().await {
                if report.send(Done::Turn(turn, event)).await.is_err() {
                    return;
                }
            }
        });
        self.turns.insert(turn, task);
    }

    fn cancel_turn(&mut self, turn: TurnId) {
        if let Some(task) = self.turns.remove(&turn) {
            task.abort();
        }
        self.work.spawn(self.tools.turns.cancel(&self.record.call_id, turn));
    }

    fn note(&mut self, notice: Notice) {
        if let Notice::StateChanged { state, activity } = &notice {
            self.record.update(|status| (status.state, status.activity) = (*state, *activity));
        }
        if let Notice::SpeculationSettled { outcome: SpeculationOutcome::Kept, .. } = &notice {
            self.record.update(|status| status.turns += 1);
        }
        if let Notice::TurnTimings { parts, .. } = &notice {
            for part in parts {
                metrics::histogram!("turn_part_seconds", "part" => part.name)
                    .record(part.duration.as_secs_f64());
            }
        }
        let played = match &notice {
            Notice::PlaybackStarted { playback, .. } => self.played.remove(playback).unwrap_or_default(),
            _ => Vec::new(),
        };
        self.record.journal.push(Timestamp::now(), notice, played);
    }
}

/// Tokio's clock, so that paused-time tests move the core too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
