//! Drives one call: executes what the core decides, and tells it what happens. No policy lives here.

mod handover;
mod message;
mod sounds;
mod tools;
mod turns;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use voice_call::{
    Call, ClipId, Command, EndReason, Event, Notice, PlaybackId, Progress, Recogniser, Refusal,
    SpeculationOutcome, State, TurnId, UtteranceId, invariants::Invariants,
};

use self::message::Copied;
use crate::{
    assistants::Assistant,
    journal::Played,
    kept::{KeptMessage, Page, Stage},
    messages::MessageDesk,
    outbound::DialPlan,
    phrases::PhraseBook,
    ports::{
        Clip, Ears, Line, LineCommand, LineEvent, Partial, Sound, Speech, ToolEvent, ToolServers, TurnEvent,
        Turns, Utterance,
    },
    registry::{Ask, Asked, CallRecord, Control},
};

/// Results of the call's own work on their way to the core.
const RESULT_QUEUE: usize = 256;

/// Revocations that are under way when a call ends get this long.
const FAREWELL: Duration = Duration::from_secs(1);

/// What every call uses.
#[derive(Clone)]
pub(crate) struct Tools {
    /// Has turns worked on.
    pub turns: Arc<dyn Turns>,
    /// Hears what is said while it is said.
    pub ears: Arc<dyn Ears>,
    /// Makes speech.
    pub speech: Arc<dyn Speech>,
    /// Speech that was made beforehand.
    pub phrases: Arc<PhraseBook>,
    /// Operators' own functions.
    pub servers: Arc<dyn ToolServers>,
    /// Takes in what callers leave.
    pub messages: MessageDesk,
    /// Which numbers may be called.
    pub plan: Arc<DialPlan>,
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
    sounds: HashMap<ClipId, Sound>,
    /// Clips that are being made.
    makers: HashMap<ClipId, AbortHandle>,
    /// Who speaks in a playback that has not started to sound.
    played: HashMap<PlaybackId, Vec<Played>>,
    utterances: HashMap<UtteranceId, Utterance>,
    /// What he says of a message, where the line gives its audio; `None` unless he is leaving one.
    message: Option<HashMap<UtteranceId, Copied>>,
    /// The one that is going on, where the line gives its audio.
    open: Option<UtteranceId>,
    /// Turns that are worked on, with the newest request of each to the language model.
    turns: HashMap<TurnId, (u32, AbortHandle)>,
    /// What is being done outside for the language model.
    tool_calls: HashMap<(TurnId, String), AbortHandle>,
    /// Turns on an utterance that is only likely to be over. One on the words of the line's recogniser stands for a turn
    /// that is counted by itself.
    early: HashSet<TurnId>,
    work: JoinSet<()>,
    /// What is worth a moment even after the call.
    farewells: JoinSet<()>,
    results: mpsc::Receiver<Done>,
    report: mpsc::Sender<Done>,
    /// The engine that the call has moved to; empty for the preferred one.
    engine: String,
    invariants: Invariants,
    /// Where it is written down what another process would have to know; a call that ends with this one has none.
    page: Option<Arc<Page>>,
}

/// A result of the call's own work.
#[derive(Debug)]
enum Done {
    Clip(ClipId, Option<Clip>),
    Grew { clip: ClipId, is_complete: bool },
    Turn(TurnId, TurnEvent),
    Tool(TurnId, String, ToolEvent),
    Partial(UtteranceId, Partial),
    Transcribed(UtteranceId, String),
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
            sounds: HashMap::new(),
            makers: HashMap::new(),
            played: HashMap::new(),
            utterances: HashMap::new(),
            message: None,
            open: None,
            turns: HashMap::new(),
            tool_calls: HashMap::new(),
            early: HashSet::new(),
            work: JoinSet::new(),
            farewells: JoinSet::new(),
            results,
            report,
            engine: String::new(),
            invariants: Invariants::default(),
            page: None,
        }
    }

    /// The same, written down.
    pub(crate) fn on(self, page: Arc<Page>) -> Self {
        Self { page: Some(page), ..self }
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
                Some(_) = self.farewells.join_next() => {}
                () = sleep_until(timeout) => self.call.handle_timeout(now()),
            }
        }
        self.record.update(|status| status.ended_at = Some(Timestamp::now()));
        self.record.journal.close();
        self.work.abort_all();
        let farewells = async { while self.farewells.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, farewells).await;
    }

    fn ask(&mut self, ask: Ask) -> Result<Asked, Refusal> {
        match ask {
            Ask::Say { text, interrupts } => self.call.say(now(), &text, interrupts).map(Asked::Say),
            Ask::Instruct(text) => self.call.instruct(text).map(|()| Asked::Done),
            Ask::SendDigits(digits) => self.call.send_digits(now(), digits).map(|()| Asked::Done),
            Ask::Transfer { number, announcement } => {
                let announcement = announcement.map(|text| self.announced(&text));
                self.call.transfer(now(), number, announcement).map(|()| Asked::Done)
            }
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
                if let Event::UtteranceEnded { .. } = &event {
                    self.open = None;
                }
                self.call.handle(now(), event);
            }
            Some(LineEvent::UtteranceEnded { utterance, recordings }) => {
                self.keep(utterance, Utterance::Recorded(recordings));
                self.call.handle(now(), Event::UtteranceEnded { utterance });
            }
            Some(LineEvent::UtteranceCut { utterance, recordings }) => self.cut_off(utterance, recordings),
            Some(LineEvent::UtteranceOpened { utterance, audio }) => {
                let audio = self.copied(utterance, audio);
                self.listen(utterance, audio);
            }
            Some(LineEvent::Degraded(reason)) => self.note(Notice::Degraded { reason }),
        }
    }

    fn take_done(&mut self, done: Done) {
        let event = match done {
            Done::Clip(clip, made) => self.clip_made(clip, made),
            Done::Grew { clip, is_complete } => match self.clip_grew(clip, is_complete) {
                Some(event) => event,
                None => return,
            },
            Done::Partial(utterance, Partial { text, stable }) if self.open == Some(utterance) => {
                Event::PartialHeard { text, stable, source: Recogniser::Worker, completeness: None }
            }
            // What was said before is known better by now.
            Done::Partial(..) => return,
            Done::Transcribed(utterance, text) => Event::Transcribed { utterance, text },
            Done::Turn(turn, TurnEvent::Progressed(progress)) => Event::TurnProgressed { turn, progress },
            Done::Turn(turn, TurnEvent::ToolsAsked(calls)) => {
                let progress =
                    Progress::ToolsAsked(calls.into_iter().map(|call| self.to_ask(call)).collect());
                Event::TurnProgressed { turn, progress }
            }
            Done::Turn(turn, TurnEvent::Failed { reason }) => Event::TurnFailed { turn, reason },
            Done::Tool(turn, tool_call, ToolEvent::Progressed(words)) => {
                Event::ToolProgressed { turn, tool_call, words }
            }
            Done::Tool(turn, tool_call, ToolEvent::Finished(answer)) => {
                self.tool_calls.remove(&(turn, tool_call.clone()));
                Event::ToolAnswered { turn, tool_call, answer }
            }
        };
        self.call.handle(now(), event);
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Answer => self.tell(LineCommand::Answer).await,
            Command::Listen => self.tell(LineCommand::Listen).await,
            Command::EndUtterance => self.tell(LineCommand::EndUtterance).await,
            Command::DropUtterance => {
                if let Some(utterance) = self.open.take() {
                    self.utterances.remove(&utterance);
                }
                self.tell(LineCommand::DropUtterance).await;
            }
            Command::Transcribe { utterance } => self.transcribe(utterance),
            Command::ForgetClips { clips } => self.forget(&clips),
            Command::StartTurn(request) => self.start_turn(request),
            Command::CancelTurn { turn } => self.cancel_turn(turn),
            Command::CallTool { turn, call } => self.call_tool(turn, call),
            Command::TakeMessage => self.message = Some(HashMap::new()),
            Command::KeepMessage { turn, utterances } => self.keep_message(turn, &utterances),
            Command::ExpectDigits { most } => self.tell(LineCommand::ExpectDigits { most }).await,
            Command::CancelTool { turn, tool_call } => {
                if let Some(task) = self.tool_calls.remove(&(turn, tool_call)) {
                    task.abort();
                }
            }
            Command::Synthesize { clip, kind, text } => self.synthesize(clip, kind, &text),
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
                if let Some(number) = self.take_number(to).await {
                    self.tell(LineCommand::Transfer { number }).await;
                }
            }
            Command::CallTarget { to, announcement } => {
                if let Some(number) = self.take_number(to).await {
                    self.prepare_announcement(&announcement);
                    self.tell(LineCommand::CallTarget { number }).await;
                }
            }
            Command::TellTarget { announcement } => self.announce(announcement),
            Command::JoinTarget => self.tell(LineCommand::JoinTarget).await,
            Command::DropTarget => self.tell(LineCommand::DropTarget).await,
            Command::HangUp => self.tell(LineCommand::HangUp).await,
            Command::Report(notice) => self.note(notice),
        }
    }

    async fn tell(&mut self, command: LineCommand) {
        if self.line.commands.send(command).await.is_err() {
            self.call.handle(now(), Event::LineFailed);
        }
    }

    fn note(&mut self, notice: Notice) {
        if let Notice::StateChanged { state, activity } = &notice {
            self.record.update(|status| (status.state, status.activity) = (*state, *activity));
        }
        if let Notice::SpeculationSettled { turn, outcome } = &notice
            && self.early.remove(turn)
            && *outcome == SpeculationOutcome::Kept
        {
            self.record.update(|status| status.turns += 1);
        }
        if let Notice::TurnTimings { parts, .. } = &notice {
            for part in parts {
                metrics::histogram!("turn_part_seconds", "part" => part.name)
                    .record(part.duration.as_secs_f64());
            }
        }
        let is_kept = matches!(notice, Notice::StateChanged { .. } | Notice::Instructed { .. });
        let played = match &notice {
            Notice::PlaybackStarted { playback, .. } => self.played.remove(playback).unwrap_or_default(),
            _ => Vec::new(),
        };
        self.record.journal.push(Timestamp::now(), notice, played);
        if is_kept {
            self.write_down();
        }
    }

    fn write_down(&self) {
        let Some(page) = &self.page else { return };
        let (history, instructions) = (self.call.memory(), self.call.instructions().to_vec());
        let (turns, sequence) = (self.record.status().turns, self.record.journal.head().sequence);
        let stage = match self.call.state() {
            State::Ringing => Stage::Ringing,
            State::Ending { reason: EndReason::Transferred } => Stage::HandedOver,
            State::Active | State::Ending { .. } | State::Ended { .. } => Stage::Talking,
        };
        page.update(|kept| {
            kept.history = history.into_iter().map(KeptMessage::from).collect();
            (kept.stage, kept.turns, kept.sequence, kept.instructions) =
                (stage, turns, sequence, instructions);
        });
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
