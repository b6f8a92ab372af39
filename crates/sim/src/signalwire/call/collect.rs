//! The platform's ears: start of input, partial and final results, keys, and the timers around them.

use std::time::Duration;

use serde_json::{Value, json};
use voice_audio::vad::{EnergyVad, Transition};

use super::{Call, caller::CallerFrame};
use crate::signalwire::{
    params::{CollectSpeech, CollectWhat, ControlId, Seconds},
    switches::Switches,
};

/// The VAD says "started" after three voiced frames; three more make the 120 ms that a recogniser takes to be sure.
const ONSET_FRAMES: u64 = 3;
/// Frames between partial results: 300 ms.
const PARTIAL_FRAMES: u64 = 15;

/// A running collect.
#[derive(Debug)]
pub(crate) struct Collect {
    pub(super) control_id: ControlId,
    what: CollectWhat,
    speech: Option<(CollectSpeech, EnergyVad)>,
    frames: u64,
    /// Frame at which the input timers were started.
    timers_since: Option<u64>,
    voice: Voice,
    words: Vec<String>,
    words_told: usize,
    digits: String,
    last_digit_at: u64,
    has_input: bool,
    /// Frame of the last input, or of the beginning.
    idle_since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Silent,
    /// Voice since this frame, not told yet.
    Onset(u64),
    /// Told at this frame.
    Speaking(u64),
}

/// Something that a collect has to say.
#[derive(Debug, PartialEq)]
pub(crate) struct Collected {
    control_id: ControlId,
    /// `start_of_input`, or by which state it goes.
    pub(super) kind: Kind,
    result: Value,
}

/// What a collect's event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StartOfInput,
    Partial,
    /// A final result after which a continuous collect goes on.
    FinalGoesOn,
    Final,
    Error,
}

impl Collected {
    /// The collect cannot go on.
    pub(super) fn error(collect: Collect) -> Self {
        Self { control_id: collect.control_id, kind: Kind::Error, result: json!({ "type": "error" }) }
    }
}

impl Collect {
    pub(super) fn new(control_id: ControlId, what: CollectWhat) -> Self {
        let speech = what.speech.clone().map(|speech| {
            let vad = EnergyVad::new(Duration::from_secs_f64(speech.end_silence_timeout.0));
            (speech, vad)
        });
        let timers_since = what.start_input_timers.then_some(0);
        Self {
            control_id,
            what,
            speech,
            frames: 0,
            timers_since,
            voice: Voice::Silent,
            words: Vec::new(),
            words_told: 0,
            digits: String::new(),
            last_digit_at: 0,
            has_input: false,
            idle_since: 0,
        }
    }

    /// The input timers run from now, if they do not yet.
    pub(super) fn start_timers(&mut self) {
        self.timers_since.get_or_insert(self.frames);
    }

    /// The result of ending it now: nothing was collected.
    pub(super) fn stopped(&self) -> Collected {
        self.collected(Kind::Final, json!({ "type": "no_input" }))
    }

    /// Takes 20 ms of the caller.
    pub(super) fn frame(&mut self, caller: &CallerFrame, switches: &Switches) -> Vec<Collected> {
        self.frames += 1;
        let mut out = Vec::new();
        let transition = self.speech.as_mut().and_then(|(_, vad)| vad.push(&caller.samples));
        self.words.extend(caller.words.iter().cloned());
        if transition == Some(Transition::Started) {
            self.voice = Voice::Onset(self.frames);
        }
        if let Voice::Onset(since) = self.voice
            && (self.frames >= since + ONSET_FRAMES || transition == Some(Transition::Ended))
        {
            self.voice = Voice::Speaking(self.frames);
            self.input_started(&mut out);
        }
        if let Voice::Speaking(since) = self.voice {
            self.idle_since = self.frames;
            if transition == Some(Transition::Ended) {
                self.speech_ended(&mut out);
            } else if self.has_spoken_too_long(since) {
                out.push(self.collected(Kind::Final, json!({ "type": "no_match" })));
            } else if (self.frames - since) % PARTIAL_FRAMES == PARTIAL_FRAMES - 1 {
                out.extend(self.partial());
            }
        }
        if out.iter().all(|collected| collected.kind != Kind::Final) {
            out.extend(self.timed_out(switches));
        }
        out
    }

    /// Takes a key.
    pub(super) fn press(&mut self, digit: char) -> Vec<Collected> {
        let Some(wanted) = self.what.digits.clone() else { return Vec::new() };
        let mut out = Vec::new();
        self.input_started(&mut out);
        self.last_digit_at = self.frames;
        self.idle_since = self.frames;
        let is_terminator = wanted.terminators.contains(digit);
        if !is_terminator {
            self.digits.push(digit);
        }
        if is_terminator || self.digits.len() >= wanted.max as usize {
            out.push(self.digits_result(is_terminator.then_some(digit)));
        }
        out
    }

    fn input_started(&mut self, out: &mut Vec<Collected>) {
        if !self.has_input && self.what.send_start_of_input {
            out.push(self.collected(Kind::StartOfInput, json!({ "type": "start_of_input" })));
        }
        self.has_input = true;
    }

    fn speech_ended(&mut self, out: &mut Vec<Collected>) {
        let text = std::mem::take(&mut self.words).join(" ");
        let confidence = if text.is_empty() { 0.0 } else { 90.0 };
        let kind = if self.what.continuous { Kind::FinalGoesOn } else { Kind::Final };
        out.push(self.collected(kind, speech_result(&text, confidence)));
        self.voice = Voice::Silent;
        self.words_told = 0;
        self.has_input = false;
    }

    fn partial(&mut self) -> Option<Collected> {
        if !self.what.partial_results || self.words.len() == self.words_told {
            return None;
        }
        self.words_told = self.words.len();
        Some(self.collected(Kind::Partial, speech_result(&self.words.join(" "), 50.0)))
    }

    fn has_spoken_too_long(&self, since: u64) -> bool {
        self.speech.as_ref().is_some_and(|(speech, _)| self.frames - since >= speech.speech_timeout.frames())
    }

    fn timed_out(&mut self, switches: &Switches) -> Option<Collected> {
        if let Some(wanted) = self.what.digits.as_ref().filter(|_| !self.digits.is_empty()) {
            let is_over = self.frames - self.last_digit_at >= wanted.digit_timeout.frames();
            return is_over.then(|| self.digits_result(None));
        }
        let initial = match self.what.initial_timeout {
            Seconds(0.0) if switches.zero_initial_timeout_is_off => None,
            Seconds(0.0) => Some(CollectWhat::DEFAULT_INITIAL_TIMEOUT.frames()),
            seconds => Some(seconds.frames()),
        };
        let timer = self.timers_since.zip(initial).map(|(since, frames)| since.max(self.idle_since) + frames);
        let gives_up = switches.collect_gives_up_seconds;
        let patience = (gives_up > 0.0).then(|| self.idle_since + (gives_up * 50.0) as u64);
        let is_silent = self.voice == Voice::Silent;
        let is_over = is_silent && timer.or(patience).is_some_and(|end| self.frames >= end);
        is_over.then(|| self.collected(Kind::Final, json!({ "type": "no_input" })))
    }

    fn digits_result(&self, terminator: Option<char>) -> Collected {
        let mut params = json!({ "digits": self.digits });
        if let Some(terminator) = terminator {
            params["terminator"] = json!(terminator);
        }
        self.collected(Kind::Final, json!({ "type": "digit", "params": params }))
    }

    fn collected(&self, kind: Kind, result: Value) -> Collected {
        Collected { control_id: self.control_id.clone(), kind, result }
    }
}

fn speech_result(text: &str, confidence: f64) -> Value {
    json!({ "type": "speech", "params": { "text": text, "confidence": confidence } })
}

impl Call {
    /// Sends what a collect has to say, and drops it when that was its last word.
    pub(super) fn take_collected(&mut self, collected: Vec<Collected>) {
        for Collected { control_id, kind, result } in collected {
            let (state, name) = match kind {
                Kind::StartOfInput => (None, "start_of_input"),
                Kind::Partial => (Some(("collecting", false)), "partial"),
                Kind::FinalGoesOn => (Some(("collecting", true)), "final"),
                Kind::Final => (Some(("finished", true)), "final"),
                Kind::Error => (Some(("error", true)), "error"),
            };
            let fields = json!({ "control_id": control_id, "kind": name, "result": result });
            let mut params = json!({ "control_id": control_id, "result": result });
            if let Some((state, is_final)) = state {
                params["state"] = json!(state);
                params["final"] = json!(is_final);
            }
            if matches!(kind, Kind::Final | Kind::Error) {
                self.collect = None;
            }
            self.event("calling.call.collect", name, params);
            self.note("collected", fields);
            let is_prompt = self.playback.as_ref().is_some_and(|playback| playback.control_id == control_id);
            if is_prompt && kind != Kind::Partial {
                self.end_playback("input", "finished");
            }
        }
    }
}
