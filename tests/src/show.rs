//! Shows a call on a terminal as it happens; plain lines where there is none.

use std::{collections::BTreeSet, io::IsTerminal as _, time::Duration};

use voice_proto::relay::v1::{
    Activity, CallState, PlaybackKind, TranscriptSource, TurnPart, TurnTimings, call_event::Event,
};

/// Columns of a latency waterfall.
const WATERFALL: usize = 40;

/// Where and how lines are written.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    has_colour: bool,
    has_unicode: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Caller = 36,
    Assistant = 32,
    Dim = 90,
    Warning = 33,
}

impl Screen {
    /// Finds out what standard output can show.
    pub fn detect() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var_os(name)?.into_string().ok());
        Self {
            has_colour: std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb,
            has_unicode: locale.is_some_and(|locale| locale.to_uppercase().replace('-', "").contains("UTF8")),
        }
    }

    /// One line about the demo itself.
    pub fn step(&self, text: &str) {
        println!("{}", self.paint(Colour::Dim, text));
    }

    /// One event of a call.
    pub fn event(&self, at: Duration, event: &Event) {
        if let Some((colour, text)) = self.describe(event) {
            println!("{:>7.2} s  {}", at.as_secs_f64(), self.paint(colour, &text));
        }
        if let Event::TurnTimings(timings) = event {
            self.waterfall(timings);
        }
    }

    fn describe(&self, event: &Event) -> Option<(Colour, String)> {
        Some(match event {
            Event::StateChanged(change) => {
                let (state, activity) = (change.state(), change.activity());
                match (state, activity) {
                    (CallState::Active, Activity::Thinking) => (Colour::Dim, "           (thinking)".into()),
                    (CallState::Active, _) => return None,
                    (CallState::Ended, _) => {
                        (Colour::Dim, format!("call over: {}", change.end_reason().as_str_name()))
                    }
                    (state, _) => (Colour::Dim, format!("call: {}", state.as_str_name())),
                }
            }
            Event::SpeechStarted(_) => (Colour::Caller, "caller     (speaks)".into()),
            Event::Transcript(words) if words.source() == TranscriptSource::Provider => {
                (Colour::Dim, format!("caller     ... {}", words.text))
            }
            Event::Transcript(words) => (Colour::Caller, format!("caller     \"{}\"", words.text)),
            Event::PlaybackStarted(playback) => {
                let what = match playback.kind() {
                    PlaybackKind::Reply | PlaybackKind::Greeting => "assistant ",
                    PlaybackKind::Filler => "(filler)  ",
                    PlaybackKind::Apology => "(apology) ",
                    PlaybackKind::Say => "(say)     ",
                    PlaybackKind::Voicemail => "(message) ",
                    PlaybackKind::NoInput
                    | PlaybackKind::Goodbye
                    | PlaybackKind::Busy
                    | PlaybackKind::Transfer
                    | PlaybackKind::Unspecified => "(prompt)  ",
                };
                let engines: BTreeSet<&str> =
                    playback.clips.iter().map(|clip| clip.engine.as_str()).collect();
                let engines = engines.into_iter().collect::<Vec<_>>().join(", ");
                (Colour::Assistant, format!("{what} \"{}\"  [{engines}]", playback.text))
            }
            Event::PlaybackInterrupted(cut) => {
                (Colour::Warning, format!("interrupted; the caller had heard: \"{}\"", cut.heard))
            }
            Event::TurnFailed(failed) => {
                (Colour::Warning, format!("turn {} failed: {}", failed.turn_id, failed.reason))
            }
            Event::MessageLeft(left) => {
                (Colour::Caller, format!("message    {}", left.recording_urls.join(" ")))
            }
            Event::ToolCalled(called) => {
                (Colour::Dim, format!("tool       {}({})", called.name, called.arguments))
            }
            Event::ToolEnded(ended) => {
                let outcome =
                    ended.outcome().as_str_name().trim_start_matches("TOOL_OUTCOME_").to_lowercase();
                (Colour::Dim, format!("tool       {}: {outcome} {}", ended.name, ended.reason))
            }
            Event::TurnCancelled(cancelled) => (
                Colour::Dim,
                format!("turn {} given up: {}", cancelled.turn_id, cancelled.reason().as_str_name()),
            ),
            Event::SpeechDismissed(dismissed) => {
                (Colour::Dim, format!("dismissed: {} {}", dismissed.reason().as_str_name(), dismissed.text))
            }
            Event::InterruptionRepaired(repaired) => {
                (Colour::Assistant, format!("assistant  goes on after playback {}", repaired.playback_id))
            }
            Event::SpeculationSettled(settled) => (
                Colour::Dim,
                format!("turn {} begun early: {}", settled.turn_id, settled.outcome().as_str_name()),
            ),
            Event::Degraded(degraded) => (Colour::Warning, format!("degraded: {}", degraded.reason)),
            Event::DigitPressed(digit) => (Colour::Caller, format!("caller     pressed {}", digit.digit)),
            Event::AnswererDetected(found) => {
                (Colour::Dim, format!("answered by {}", found.answerer().as_str_name()))
            }
            Event::SayEnded(said) => {
                (Colour::Dim, format!("say {}: {}", said.say_id, said.outcome().as_str_name()))
            }
            Event::Instructed(told) => (Colour::Dim, format!("instructed: {}", told.text)),
            Event::DigitsSent(sent) => (Colour::Dim, format!("digits dialled: {}", sent.digits)),
            Event::TransferConnected(_) => (Colour::Dim, "transferred".into()),
            Event::TransferFailed(failed) => {
                let why = failed.reason().as_str_name().trim_start_matches("TRANSFER_FAILURE_REASON_");
                (Colour::Warning, format!("nobody took the call over: {}", why.to_lowercase()))
            }
            Event::SpeechEnded(_)
            | Event::ReplyDelta(_)
            | Event::PlaybackFinished(_)
            | Event::TurnTimings(_) => return None,
        })
    }

    /// Where the time of a turn went: one bar for each part, where it began and how long it was.
    fn waterfall(&self, timings: &TurnTimings) {
        let total: Duration = timings.parts.iter().map(part_duration).sum();
        let scale = WATERFALL as f64 / total.as_secs_f64().max(0.001);
        let block = if self.has_unicode { "\u{2588}" } else { "#" };
        let mut begun = Duration::ZERO;
        for part in &timings.parts {
            let duration = part_duration(part);
            let from = (begun.as_secs_f64() * scale) as usize;
            let bar = ((duration.as_secs_f64() * scale).round() as usize).max(1);
            let millis = duration.as_secs_f64() * 1_000.0;
            let line = format!(
                "           {:<13}{:>6.0} ms  {}{}",
                part.name,
                millis,
                " ".repeat(from),
                block.repeat(bar)
            );
            println!("{}", self.paint(Colour::Dim, &line));
            begun += duration;
        }
        let millis = total.as_secs_f64() * 1_000.0;
        println!("{}", self.paint(Colour::Dim, &format!("           {:<13}{millis:>6.0} ms", "total")));
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        let text =
            if self.has_unicode { text.to_owned() } else { text.replace(|c: char| !c.is_ascii(), "?") };
        if self.has_colour { format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8) } else { text }
    }
}

/// How long a part took.
pub fn part_duration(part: &TurnPart) -> Duration {
    part.part_duration.and_then(|duration| duration.try_into().ok()).unwrap_or_default()
}
