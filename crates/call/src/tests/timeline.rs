//! A clock, a call, and a line that does what it is told.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    Call, ClipId, Command, Config, Event, Item, Notice, PlaybackId, PlaybackKind, Progress, Recogniser,
    TimedPart, Tool, ToolAsk, ToolCall, ToolOutcome, TurnRequest, UtteranceId, invariants::Invariants,
};

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Something that the model asks for.
pub(super) fn asked(id: &str, tool: Tool) -> ToolAsk {
    let call = ToolCall { id: id.into(), name: "a_tool".into(), arguments: "{}".into() };
    ToolAsk { call, tool }
}

pub(super) struct Timeline {
    pub(super) now: Instant,
    pub(super) call: Call,
    pub(super) commands: Vec<Command>,
    started: Instant,
    invariants: Invariants,
    pending: Vec<(ClipId, PlaybackKind, String)>,
    texts: HashMap<ClipId, (PlaybackKind, String, Duration)>,
    plays: Vec<(PlaybackId, Vec<Item>, Instant)>,
    /// How much of each playback was left out.
    pub(super) skips: Vec<Duration>,
    /// When sound began and ended.
    sounds: Vec<(Instant, Instant)>,
    /// Clips of own phrases become ready at once, as they are made beforehand.
    on: Option<(PlaybackId, Duration)>,
    newest_turn: Option<TurnRequest>,
}

impl Timeline {
    fn new(call: Call, now: Instant) -> Self {
        let mut line = Self::of(call, now);
        line.event(Event::Answered);
        line
    }

    /// A call that nobody has answered yet.
    pub(super) fn ringing(make: impl FnOnce(Instant) -> Call) -> Self {
        let now = origin();
        Self::of(make(now), now)
    }

    /// Asks something of the call, as the outside does.
    pub(super) fn ask<T>(&mut self, ask: impl FnOnce(&mut Call, Instant) -> T) -> T {
        let answer = ask(&mut self.call, self.now);
        self.collect();
        answer
    }

    fn of(call: Call, now: Instant) -> Self {
        let mut line = Self {
            now,
            started: now,
            call,
            commands: Vec::new(),
            invariants: Invariants::default(),
            pending: Vec::new(),
            texts: HashMap::new(),
            plays: Vec::new(),
            skips: Vec::new(),
            sounds: Vec::new(),
            on: None,
            newest_turn: None,
        };
        line.collect();
        line
    }

    pub(super) fn answered() -> Self {
        Self::answered_with(|_| {})
    }

    pub(super) fn answered_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let now = origin();
        Self::new(Call::answer(now, config), now)
    }

    pub(super) fn turned_away() -> Self {
        let now = origin();
        Self::new(Call::turn_away(now, Config::default()), now)
    }

    pub(super) fn in_turn() -> Self {
        Self::in_turn_with(|_| {})
    }

    pub(super) fn in_turn_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut line = Self::answered_with(change);
        line.finish_playback();
        line.utterance(1);
        line
    }

    /// In the middle of a reply of one clip.
    pub(super) fn speaking(text: &str, duration: Duration) -> Self {
        let mut line = Self::in_turn();
        line.progress(Progress::Transcript("a question".into()));
        line.progress(Progress::ReplyDelta(text.into()));
        line.progress(Progress::ReplyFinished);
        line.resolve_clips(Some(duration));
        line.start_playback();
        line
    }

    /// A turn whose model asks for something and says nothing.
    pub(super) fn asking(tool: Tool) -> Self {
        let mut line = Self::in_turn();
        line.progress(Progress::Transcript("a question".into()));
        line.asks(&[asked("call", tool)]);
        line
    }

    /// The model asks for something and has written all that it says.
    pub(super) fn asks(&mut self, asked: &[ToolAsk]) {
        self.progress(Progress::ToolsAsked(asked.to_vec()));
        self.progress(Progress::ReplyFinished);
    }

    /// What became of everything that the model asked for.
    pub(super) fn tools_ended(&self) -> Vec<(&str, ToolOutcome, &str)> {
        let ended = self.commands.iter().filter_map(|command| match command {
            Command::Report(Notice::ToolEnded { tool_call, outcome, reason, .. }) => {
                Some((tool_call.as_str(), *outcome, *reason))
            }
            _ => None,
        });
        ended.collect()
    }

    pub(super) fn event(&mut self, event: Event) {
        if let Event::PlaybackFinished { playback } | Event::PlaybackFailed { playback } = &event {
            self.invariants.playback_over(*playback);
            if self.on.is_some_and(|(on, _)| on == *playback) {
                self.on = None;
            }
        }
        self.call.handle(self.now, event);
        self.collect();
    }

    pub(super) fn progress(&mut self, progress: Progress) {
        let turn = self.turn_started().turn;
        self.event(Event::TurnProgressed { turn, progress });
    }

    pub(super) fn utterance(&mut self, id: u32) {
        self.event(Event::SpeechStarted);
        self.event(Event::SpeechEnded);
        self.event(Event::UtteranceEnded { utterance: UtteranceId(id) });
    }

    /// A whole turn, spoken.
    pub(super) fn answer(&mut self, text: &str) {
        self.progress(Progress::Transcript("a question".into()));
        self.progress(Progress::ReplyDelta(text.into()));
        self.progress(Progress::ReplyFinished);
        self.make_clips();
        while self.on.is_some() {
            self.finish_playback();
        }
    }

    pub(super) fn make_clips(&mut self) {
        self.resolve_clips(Some(ms(1_000)));
        self.start_playback();
    }

    pub(super) fn fail_clips(&mut self) {
        self.resolve_clips(None);
    }

    pub(super) fn resolve_clips(&mut self, duration: Option<Duration>) {
        for (clip, kind, text) in std::mem::take(&mut self.pending) {
            self.texts.insert(clip, (kind, text, duration.unwrap_or_default()));
            match duration {
                Some(duration) => self.event(Event::ClipReady { clip, duration }),
                None => self.event(Event::ClipFailed { clip }),
            }
        }
    }

    /// Words of the caller, as far as they are recognised.
    pub(super) fn hears(&mut self, text: &str) {
        let (text, stable, source) = (text.to_owned(), 0, Recogniser::Worker);
        self.event(Event::PartialHeard { text, stable, source, completeness: None });
    }

    /// What is being made.
    pub(super) fn pending_texts(&self) -> Vec<&str> {
        self.pending.iter().map(|(_, _, text)| text.as_str()).collect()
    }

    /// A clip that is told of by hand.
    pub(super) fn clip_known(&mut self, clip: ClipId, duration: Duration) {
        let made =
            self.pending.iter().position(|(pending, _, _)| *pending == clip).expect("it was asked for");
        let (clip, kind, text) = self.pending.remove(made);
        self.texts.insert(clip, (kind, text, duration));
    }

    pub(super) fn start_playback(&mut self) {
        if let Some((playback, duration)) = self.on {
            self.event(Event::PlaybackStarted { playback });
            self.sounds.push((self.now, self.now + duration));
        }
    }

    pub(super) fn finish_playback(&mut self) {
        if let Some((playback, duration)) = self.on {
            self.wait(duration);
            self.event(Event::PlaybackFinished { playback });
        }
    }

    /// The stop of the newest playback is confirmed.
    pub(super) fn stop_confirmed(&mut self) {
        let playback = self.last_playback();
        self.event(Event::PlaybackFinished { playback });
    }

    /// Lets time pass on the core alone: nothing is reported to it.
    pub(super) fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.call.next_timeout().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.call.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// Lets time pass on a line that works: clips of phrases are ready at once, playbacks end when they should.
    pub(super) fn run_until_idle_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.resolve_phrases();
            let end = self.on.and_then(|(playback, _)| self.sounds.last().map(|(_, end)| (playback, *end)));
            let next = self.call.next_timeout().unwrap_or(until).min(until);
            match end {
                Some((playback, end)) if end <= next => {
                    self.now = end;
                    self.event(Event::PlaybackFinished { playback });
                }
                _ => {
                    self.now = next.max(self.now);
                    self.call.handle_timeout(self.now);
                    self.collect();
                }
            }
        }
    }

    fn resolve_phrases(&mut self) {
        let is_silent = self.on.is_none();
        self.resolve_clips(Some(ms(1_000)));
        if is_silent {
            self.start_playback();
        }
    }

    fn collect(&mut self) {
        while let Some(command) = self.call.poll_command() {
            self.invariants
                .check_command(self.now, &command)
                .unwrap_or_else(|rule| panic!("{rule}: {command:?}"));
            match &command {
                Command::Synthesize { clip, kind, text } => self.pending.push((*clip, *kind, text.clone())),
                Command::StartTurn(request) => self.newest_turn = Some(request.clone()),
                Command::Play { playback, items, skip } => {
                    let whole: Duration = items.iter().map(|item| self.item_duration(item)).sum();
                    let duration = whole.saturating_sub(*skip);
                    self.skips.push(*skip);
                    self.plays.push((*playback, items.clone(), self.now));
                    self.on = Some((*playback, duration));
                }
                Command::StopPlayback { .. } => {
                    if let Some((_, end)) = self.sounds.last_mut() {
                        *end = self.now.min(*end);
                    }
                    self.on = None;
                }
                _ => {}
            }
            self.commands.push(command);
        }
        // Own phrases are made beforehand, so the first one is there at once.
        if self.plays.is_empty() && !self.pending.is_empty() {
            self.resolve_clips(Some(ms(1_000)));
            self.start_playback();
        }
        self.invariants.check_call(&self.call, self.started).unwrap();
    }

    fn item_duration(&self, item: &Item) -> Duration {
        match item {
            Item::Clip(clip) => self.texts[clip].2,
            Item::Text(_) => ms(1_000),
        }
    }

    pub(super) fn played(&self) -> Vec<String> {
        self.plays
            .iter()
            .map(|(_, items, _)| {
                let texts = items.iter().map(|item| match item {
                    Item::Clip(clip) => self.texts[clip].1.clone(),
                    Item::Text(text) => text.clone(),
                });
                texts.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    pub(super) fn playback_kinds(&self) -> Vec<PlaybackKind> {
        let clips = self.plays.iter().filter_map(|(_, items, _)| match items.first() {
            Some(Item::Clip(clip)) => Some(self.texts[clip].0),
            Some(Item::Text(_)) | None => None,
        });
        clips.collect()
    }

    pub(super) fn last_items(&self) -> usize {
        self.plays.last().map_or(0, |(_, items, _)| items.len())
    }

    pub(super) fn last_texts(&self) -> Vec<String> {
        let items = self.plays.last().map(|(_, items, _)| items.clone()).unwrap_or_default();
        items
            .into_iter()
            .filter_map(|item| if let Item::Text(text) = item { Some(text) } else { None })
            .collect()
    }

    pub(super) fn last_playback(&self) -> PlaybackId {
        self.plays.last().expect("something was played").0
    }

    pub(super) fn newest_playback(&self) -> PlaybackId {
        self.plays.last().map_or(PlaybackId(0), |play| play.0)
    }

    pub(super) fn find(&self, matches: impl Fn(&Command) -> bool) -> bool {
        self.commands.iter().any(matches)
    }

    /// The newest turn.
    pub(super) fn turn_started(&self) -> TurnRequest {
        self.newest_turn.clone().expect("a turn was started")
    }

    pub(super) fn interrupted(&self) -> (String, String) {
        let notice = self.commands.iter().rev().find_map(|command| match command {
            Command::Report(Notice::PlaybackInterrupted { said, heard, .. }) => {
                Some((said.clone(), heard.clone()))
            }
            _ => None,
        });
        notice.expect("a playback was interrupted")
    }

    pub(super) fn failed(&self, wanted: &str) -> bool {
        self.find(|command| matches!(command, Command::Report(Notice::TurnFailed { reason, .. }) if reason == wanted))
    }

    pub(super) fn timings(&self) -> Vec<TimedPart> {
        let parts = self.commands.iter().rev().find_map(|command| match command {
            Command::Report(Notice::TurnTimings { parts, .. }) => Some(parts.clone()),
            _ => None,
        });
        parts.expect("timings were reported")
    }

    pub(super) fn won(&self) -> Duration {
        let won = self.commands.iter().rev().find_map(|command| match command {
            Command::Report(Notice::TurnTimings { won, .. }) => Some(*won),
            _ => None,
        });
        won.expect("timings were reported")
    }

    pub(super) fn first_sound_after(&self, instant: Instant) -> Option<Instant> {
        self.sounds.iter().map(|(begin, _)| *begin).find(|begin| *begin > instant)
    }

    pub(super) fn silences_since(&self, instant: Instant) -> Vec<Duration> {
        let mut from = instant;
        let mut gaps = Vec::new();
        for (begin, end) in self.sounds.iter().filter(|(begin, _)| *begin >= instant) {
            gaps.push(begin.saturating_duration_since(from));
            from = *end;
        }
        gaps
    }
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn origin() -> Instant {
    Instant::now()
}
