//! What the caller is doing, and when he has finished.
//!
//! A line of live audio tells pauses and leaves it to the call what they are: a breath within an utterance, its end
//! (after a silence that is short or long by how finished the words sound), or the end of something that wants no answer.

use std::time::{Duration, Instant};

use voice_speech::{Completeness, Remark};

use super::talk::{Cx, Talk};
use crate::{
    Command, Config, DismissReason, EndpointReason, Notice, Recogniser, UtteranceId, turn::Beginning,
};

/// An utterance whose audio is not closed by then is lost; the line keeps its address, so this is rare.
const CLOSING_WAIT: Duration = Duration::from_secs(8);

/// Whoever has spoken over the assistant for so long means it, whatever he says.
const MEANT_AFTER: Duration = Duration::from_millis(1_500);

/// After so much silence something that was no interruption is taken for over: half of what a repair may take.
const REPAIR_AFTER: Duration = Duration::from_millis(250);

/// So much voice and no more is no word: over the assistant, where it takes more to be noticed at all, and in quiet.
const LITTLE_VOICE_OVER: Duration = Duration::from_millis(180);
const LITTLE_VOICE: Duration = Duration::from_millis(80);

/// What the caller is doing.
#[derive(Debug)]
pub(crate) enum Caller {
    Quiet,
    Speaking(Hearing),
    /// He has finished; the audio is being closed.
    Closing {
        ended_at: Instant,
        silent_since: Option<Instant>,
        deadline: Instant,
    },
}

/// An utterance that is going on.
#[derive(Debug)]
pub(crate) struct Hearing {
    since: Instant,
    deadline: Instant,
    pub(super) pause: Option<Pause>,
    /// The newest words.
    words: String,
    /// How finished they are by whoever recognised them.
    judged: Option<Completeness>,
    /// All the words, by the line's own recogniser.
    pub(super) line_words: Option<String>,
    /// How often a turn was begun before the end.
    pub(super) attempts: u32,
}

/// A silence within an utterance.
#[derive(Debug)]
pub(crate) struct Pause {
    pub(super) utterance: UtteranceId,
    pub(super) silent_since: Instant,
    voiced: Duration,
    verdict: Verdict,
}

/// What the words up to a pause are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    Speech,
    Dismissed(DismissReason),
}

/// What is to be done for the caller when nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The audio of his utterance never came.
    Lost,
    /// He has spoken too long.
    TooLong,
    /// He has spoken long enough over the assistant to mean it.
    Meant,
    /// He may have finished.
    Speculate,
    /// He has finished.
    Endpoint(EndpointReason),
    /// What he said wants no answer.
    Dismiss(DismissReason),
}

// === impl Hearing ===

impl Hearing {
    pub(super) fn new(cx: &Cx<'_>) -> Self {
        Self {
            since: cx.now,
            deadline: cx.now + cx.config.max_utterance,
            pause: None,
            words: String::new(),
            judged: None,
            line_words: None,
            attempts: 0,
        }
    }

    pub(super) fn completeness(&self, config: &Config) -> Completeness {
        self.judged.unwrap_or_else(|| voice_speech::completeness(&self.words, &config.language))
    }

    fn endpoint(&self, config: &Config, pause: &Pause) -> (Instant, EndpointReason) {
        let (silence, reason) = match self.completeness(config) {
            Completeness::Hesitant => (config.endpoint.long_silence, EndpointReason::LongSilence),
            Completeness::Finished | Completeness::Unclear => {
                (config.endpoint.silence, EndpointReason::ShortSilence)
            }
        };
        (pause.silent_since + silence, reason)
    }
}

// === impl Talk ===

impl Talk {
    pub(super) fn speech_paused(
        &mut self,
        cx: &mut Cx<'_>,
        utterance: UtteranceId,
        silent_since: Instant,
        voiced: Duration,
    ) {
        self.speech_resumed(cx);
        let is_suspended = self.suspended.is_some();
        let Caller::Speaking(hearing) = &mut self.caller else { return };
        let pause =
            Pause { utterance, silent_since: silent_since.min(cx.now), voiced, verdict: Verdict::Unknown };
        // Whether the assistant goes on hangs on the words.
        if is_suspended && !is_noise(hearing, &pause, LITTLE_VOICE_OVER) {
            cx.out.push(Command::Transcribe { utterance });
        }
        hearing.pause = Some(pause);
    }

    pub(super) fn speech_resumed(&mut self, cx: &mut Cx<'_>) {
        let Caller::Speaking(hearing) = &mut self.caller else { return };
        if hearing.pause.take().is_some() {
            // They say nothing of what he says now.
            hearing.words.clear();
            hearing.judged = None;
            self.caller_went_on(cx);
        }
    }

    pub(super) fn partial_heard(
        &mut self,
        cx: &mut Cx<'_>,
        text: String,
        stable: usize,
        source: Recogniser,
        judged: Option<Completeness>,
    ) {
        let is_meant = self.suspended.is_some() && self.dismissal(cx.config, &text).is_none();
        cx.out.report(Notice::PartialTranscript { text: text.clone(), stable, source });
        if let Caller::Speaking(hearing) = &mut self.caller {
            if source == Recogniser::Line {
                hearing.told(&text, stable);
            }
            hearing.words = text;
            hearing.judged = judged;
            if is_meant {
                self.mean_it(cx);
            }
        }
    }

    /// The words up to a pause are known.
    pub(super) fn transcribed(&mut self, cx: &mut Cx<'_>, utterance: UtteranceId, text: String) {
        let dismissal = self.dismissal(cx.config, &text);
        let Caller::Speaking(hearing) = &mut self.caller else { return };
        let Some(pause) = hearing.pause.as_mut().filter(|pause| pause.utterance == utterance) else { return };
        pause.verdict = dismissal.map_or(Verdict::Speech, Verdict::Dismissed);
        hearing.words.clone_from(&text);
        hearing.judged = None;
        if !text.is_empty() {
            let stable = text.chars().count();
            cx.out.report(Notice::PartialTranscript { text, stable, source: Recogniser::Worker });
        }
        if dismissal.is_none() {
            self.mean_it(cx);
        }
    }

    /// Why words want no answer, if they want none. Nothing but a question is answered by "mhm".
    pub(super) fn dismissal(&self, config: &Config, text: &str) -> Option<DismissReason> {
        let over = match (&self.suspended, &self.interrupted) {
            (Some(suspended), _) => Some(suspended.is_asking()),
            (None, Some(interrupted)) => Some(interrupted.is_asking),
            (None, None) => None,
        };
        match (voice_speech::remark(text, &config.language), over) {
            (Remark::Nothing, _) => Some(DismissReason::Noise),
            (Remark::Backchannel, Some(false)) => Some(DismissReason::Backchannel),
            (Remark::Backchannel, Some(true) | None) | (Remark::Speech, _) => None,
        }
    }

    /// When something is to be done for the caller, and what.
    pub(super) fn caller_due(&self, config: &Config) -> Option<(Instant, Due)> {
        match &self.caller {
            Caller::Quiet => None,
            Caller::Closing { deadline, .. } => Some((*deadline, Due::Lost)),
            Caller::Speaking(hearing) => {
                let limit = (hearing.deadline, Due::TooLong);
                let next = match &hearing.pause {
                    None => self.suspended.is_some().then(|| (hearing.since + MEANT_AFTER, Due::Meant)),
                    Some(pause) => Some(self.pause_due(config, hearing, pause)),
                };
                next.filter(|(at, _)| *at <= limit.0).or(Some(limit))
            }
        }
    }

    fn pause_due(&self, config: &Config, hearing: &Hearing, pause: &Pause) -> (Instant, Due) {
        let (endpoint, reason) = hearing.endpoint(config, pause);
        let little = if self.suspended.is_some() { LITTLE_VOICE_OVER } else { LITTLE_VOICE };
        let dismissal = match pause.verdict {
            Verdict::Dismissed(reason) => Some(reason),
            Verdict::Unknown if is_noise(hearing, pause, little) => Some(DismissReason::Noise),
            Verdict::Unknown | Verdict::Speech => None,
        };
        if let Some(dismissal) = dismissal {
            let is_over_assistant = self.suspended.is_some() || self.interrupted.is_some();
            let at = if is_over_assistant { pause.silent_since + REPAIR_AFTER } else { endpoint };
            return (at, Due::Dismiss(dismissal));
        }
        match self.speculation_due(config, hearing, pause) {
            Some(at) if at <= endpoint => (at, Due::Speculate),
            Some(_) | None => (endpoint, Due::Endpoint(reason)),
        }
    }

    /// Does for the caller what is due.
    pub(super) fn attend(&mut self, cx: &mut Cx<'_>, due: Due) {
        match due {
            Due::Lost => self.nothing_said(cx, None),
            Due::Meant => self.mean_it(cx),
            Due::Speculate => self.speculate(cx),
            Due::TooLong => {
                cx.out.push(Command::EndUtterance);
                self.end_speech(cx, EndpointReason::TooLong);
            }
            Due::Endpoint(reason) => {
                cx.out.push(Command::EndUtterance);
                self.end_speech(cx, reason);
            }
            Due::Dismiss(reason) => self.dismiss(cx, reason),
        }
    }

    /// The line tells the end of speech.
    pub(super) fn speech_ended(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.caller, Caller::Speaking(_)) {
            self.end_speech(cx, EndpointReason::Line);
        }
    }

    fn end_speech(&mut self, cx: &mut Cx<'_>, reason: EndpointReason) {
        let (silent_since, line_words) = match &mut self.caller {
            Caller::Speaking(hearing) => {
                (hearing.pause.as_ref().map(|pause| pause.silent_since), hearing.line_words.take())
            }
            Caller::Quiet | Caller::Closing { .. } => (None, None),
        };
        let deadline = cx.now + CLOSING_WAIT;
        self.caller = Caller::Closing { ended_at: cx.now, silent_since, deadline };
        let silence = silent_since.map_or(Duration::ZERO, |since| cx.now.saturating_duration_since(since));
        cx.out.report(Notice::SpeechEnded { reason, silence });
        self.keep_speculation(cx);
        if let Some(words) = line_words {
            self.begin_draft(cx, &words);
        }
    }

    /// The audio of an utterance is closed: it is answered, unless that was begun before.
    pub(super) fn utterance_ended(&mut self, cx: &mut Cx<'_>, utterance: UtteranceId) {
        if self.closing.is_some() {
            return;
        }
        let was_unnoticed = matches!(self.caller, Caller::Quiet);
        if matches!(&self.caller, Caller::Speaking(hearing) if hearing.pause.is_some()) {
            self.end_speech(cx, EndpointReason::Line);
        }
        let beginning = match self.caller {
            Caller::Closing { silent_since: Some(silent_since), .. } => Beginning::Endpoint { silent_since },
            Caller::Closing { ended_at, .. } => Beginning::Closed { speech_ended: Some(ended_at) },
            Caller::Quiet | Caller::Speaking(_) => Beginning::Closed { speech_ended: None },
        };
        let is_begun = self.turn.as_ref().is_some_and(|turn| turn.utterances.contains(&utterance));
        if is_begun && self.suspended.is_none() {
            self.caller = Caller::Quiet;
            return;
        }
        self.caller = Caller::Quiet;
        self.quiet_since = cx.now;
        // Its beginning was not noticed, so what is going on was not stopped yet.
        if self.suspended.is_none() && (self.turn.is_some() || was_unnoticed && !self.mouth.is_silent()) {
            self.suspend(cx);
        }
        self.mean_it(cx);
        if !self.take_down(cx, utterance) {
            self.begin_turn(cx, beginning, Some(utterance));
        }
    }

    /// What the caller said wants no answer.
    fn dismiss(&mut self, cx: &mut Cx<'_>, reason: DismissReason) {
        let Caller::Speaking(hearing) = &mut self.caller else { return };
        let text = match reason {
            DismissReason::Noise => String::new(),
            DismissReason::Backchannel => std::mem::take(&mut hearing.words),
        };
        let since = hearing.pause.as_ref().map(|pause| pause.silent_since);
        cx.out.push(Command::DropUtterance);
        cx.out.report(Notice::SpeechDismissed { reason, text });
        self.nothing_said(cx, since);
    }

    /// The line tells that there was a noise, but nothing was said.
    pub(super) fn speech_abandoned(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.caller, Caller::Quiet) {
            cx.out.report(Notice::SpeechDismissed { reason: DismissReason::Noise, text: String::new() });
            self.nothing_said(cx, None);
        }
    }

    /// Whatever was broken off goes on. With the end of the noise, where it is known.
    fn nothing_said(&mut self, cx: &mut Cx<'_>, since: Option<Instant>) {
        self.caller = Caller::Quiet;
        self.quiet_since = cx.now;
        self.end_speculation(cx.out, crate::SpeculationOutcome::NothingSaid);
        self.end_draft(cx.out, crate::SpeculationOutcome::NothingSaid);
        self.repair(cx, since);
        if self.turn.is_some() {
            return;
        }
        if self.carry.utterances.is_empty() && self.carry.text.is_empty() {
            self.resume_interrupted(cx, since);
        } else {
            self.begin_turn(cx, Beginning::Closed { speech_ended: None }, None);
        }
    }

    /// Notes what a turn that was begun before the end heard.
    pub(super) fn heard_early(&mut self, cx: &mut Cx<'_>, text: &str) {
        let dismissal = self.dismissal(cx.config, text);
        if let Caller::Speaking(hearing) = &mut self.caller
            && let Some(pause) = &mut hearing.pause
        {
            pause.verdict = dismissal.map_or(Verdict::Speech, Verdict::Dismissed);
            text.clone_into(&mut hearing.words);
            hearing.judged = None;
        }
    }
}

/// Whether there was so little voice that it was no word.
fn is_noise(hearing: &Hearing, pause: &Pause, little: Duration) -> bool {
    pause.voiced <= little && hearing.words.is_empty()
}
