//! One turn in the works, and where its time went.

use std::time::{Duration, Instant};

use voice_speech::ClauseSplitter;

use crate::{TimedPart, TurnId, UtteranceId, tool::ToolWork};

/// A reply is cut into clips of at most this many characters, the limit of the preferred engine.
pub(crate) const CLAUSE_CHARS: usize = 200;

/// A turn from the end of the utterance until its reply has been said.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) id: TurnId,
    /// When the utterance was over.
    pub(crate) ended_at: Instant,
    /// Audio of the user message, as long as it is not transcribed.
    pub(crate) utterances: Vec<UtteranceId>,
    /// Words of the same message that came before.
    pub(crate) earlier_text: String,
    /// All that the caller said, once it is known.
    pub(crate) transcript: Option<String>,
    /// The reply as far as it is written.
    pub(crate) said: String,
    /// The words of the reply that were heard.
    pub(crate) heard: String,
    pub(crate) splitter: Option<ClauseSplitter>,
    /// Whether any of the reply has reached the caller.
    pub(crate) has_sounded: bool,
    /// Whether a worker is to write a reply, or more of it, and whether one has begun.
    pub(crate) is_in_work: bool,
    pub(crate) is_begun: bool,
    /// What the model asks for beside its words.
    pub(crate) tools: ToolWork,
    pub(crate) fillers: u32,
    pub(crate) filler_after: Duration,
    /// When the work last went on.
    pub(crate) last_progress: Instant,
    /// Whether the utterance is only likely to be over: nothing of the turn is told or heard yet.
    pub(crate) is_speculative: bool,
    /// Clauses that are not made before the utterance is over.
    pub(crate) held_clauses: Vec<String>,
    marks: Vec<(&'static str, Instant)>,
    begun_at: Instant,
    work_began: Instant,
    /// When it became certain that a turn that began early is one like any other.
    certain_at: Option<Instant>,
}

/// What a turn begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Audio that the line has closed, maybe some time after the end of speech.
    Closed {
        /// When the line told the end of speech.
        speech_ended: Option<Instant>,
    },
    /// The end of an utterance whose audio is live.
    Endpoint {
        /// When voice was last heard.
        silent_since: Instant,
    },
    /// What is likely to be the end of an utterance.
    LikelyEndpoint {
        /// When voice was last heard.
        silent_since: Instant,
    },
}

impl Turn {
    pub(crate) fn new(
        id: TurnId,
        now: Instant,
        beginning: Beginning,
        utterances: Vec<UtteranceId>,
        earlier_text: String,
    ) -> Self {
        let (begun_at, first) = match beginning {
            Beginning::Closed { speech_ended: None } => (now, None),
            Beginning::Closed { speech_ended: Some(ended) } => (ended, Some("recording")),
            Beginning::Endpoint { silent_since } => (silent_since, Some("endpoint")),
            Beginning::LikelyEndpoint { silent_since } => (silent_since, Some("pause")),
        };
        let mut turn = Self {
            id,
            ended_at: now,
            utterances,
            earlier_text,
            transcript: None,
            said: String::new(),
            heard: String::new(),
            splitter: Some(ClauseSplitter::new(CLAUSE_CHARS)),
            has_sounded: false,
            is_in_work: true,
            is_begun: false,
            tools: ToolWork::default(),
            fillers: 0,
            filler_after: Duration::ZERO,
            last_progress: now,
            is_speculative: matches!(beginning, Beginning::LikelyEndpoint { .. }),
            held_clauses: Vec::new(),
            marks: Vec::new(),
            begun_at: begun_at.min(now),
            work_began: now,
            certain_at: None,
        };
        if let Some(first) = first {
            turn.mark(first, now);
        }
        turn
    }

    /// Whether anybody works on it.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_in_work || self.tools.is_open()
    }

    /// Adds words to the reply.
    pub(crate) fn say_on(&mut self, text: &str) {
        let is_apart = self.said.is_empty() || self.said.ends_with(char::is_whitespace);
        if self.said.len() == self.tools.said_from && !is_apart {
            self.said.push(' ');
        }
        self.said.push_str(text);
    }

    /// The model is asked again, with what it wanted to know.
    pub(crate) fn begin_round(&mut self, now: Instant) {
        self.mark("tools", now);
        self.tools.round += 1;
        self.tools.said_from = self.said.len();
        self.tools.extension = now.saturating_duration_since(self.ended_at);
        self.splitter = Some(ClauseSplitter::new(CLAUSE_CHARS));
        (self.is_in_work, self.is_begun) = (true, false);
        self.last_progress = now;
    }

    /// The reply will be written anew.
    pub(crate) fn forget_reply(&mut self) {
        self.said.truncate(self.tools.said_from);
        self.tools.asked.clear();
        self.held_clauses.clear();
        self.splitter = Some(ClauseSplitter::new(CLAUSE_CHARS));
    }

    /// The utterance is over, so the turn is one like any other.
    pub(crate) fn keep(&mut self, now: Instant) {
        self.is_speculative = false;
        self.certain_at = Some(now);
        self.ended_at = now;
        self.mark("endpoint", now);
    }

    /// The words that it answers are those of `heard`, in whose place it is from now on.
    pub(crate) fn confirm(&mut self, now: Instant, heard: Turn) {
        self.is_speculative = false;
        self.certain_at = Some(now);
        let own = std::mem::replace(&mut self.marks, heard.marks);
        self.marks.extend(own.into_iter().filter(|(name, _)| *name != "pause"));
        self.marks.sort_by_key(|(_, at)| *at);
        self.last_progress = now;
        (self.begun_at, self.ended_at) = (heard.begun_at, heard.ended_at);
        (self.utterances, self.earlier_text) = (heard.utterances, heard.earlier_text);
        (self.fillers, self.filler_after) = (heard.fillers, heard.filler_after);
        self.transcript = heard.transcript;
    }

    /// How much later the reply would be if the work had begun when it became certain what it answers.
    pub(crate) fn won(&self) -> Duration {
        let certain = self.certain_at.unwrap_or(self.work_began);
        let done = self.marked("tts").map_or(certain, |made| made.min(certain));
        done.saturating_duration_since(self.work_began)
    }

    /// Notes that the part `name` of the turn is over; only the first time counts.
    pub(crate) fn mark(&mut self, name: &'static str, now: Instant) {
        self.last_progress = self.last_progress.max(now);
        if !self.marks.iter().any(|(marked, _)| *marked == name) {
            self.marks.push((name, now));
        }
    }

    /// When the part `name` was over.
    pub(crate) fn marked(&self, name: &str) -> Option<Instant> {
        self.marks.iter().find(|(marked, _)| *marked == name).map(|(_, at)| *at)
    }

    /// Contiguous parts from the end of speech to the last mark.
    pub(crate) fn timed_parts(&self) -> Vec<TimedPart> {
        let mut from = self.begun_at;
        let mut parts = Vec::with_capacity(self.marks.len());
        for (name, at) in &self.marks {
            parts.push(TimedPart { name, duration: at.saturating_duration_since(from) });
            from = *at;
        }
        parts
    }
}
