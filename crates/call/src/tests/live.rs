//! A line of live audio, which leaves it to the call when an utterance is over.

mod clips;
mod early;
mod interruptions;

use std::time::{Duration, Instant};

use super::{
    grown,
    timeline::{Timeline, ms},
};
use crate::{
    Command, Completeness, Config, EndpointReason, Event, Notice, Progress, Recogniser, SpeculationOutcome,
    UtteranceId,
};

/// What the VAD takes to be sure of a pause.
const HANGOVER: Duration = Duration::from_millis(100);

fn live(config: &mut Config) {
    config.can_seek = true;
    config.filler_after = ms(1_000);
}

fn eager(config: &mut Config) {
    live(config);
    config.speculation = true;
}

impl Timeline {
    /// Greeted, and listening.
    fn listening(change: impl FnOnce(&mut Config)) -> Self {
        let mut line = Self::answered_with(change);
        line.finish_playback();
        line
    }

    /// In the middle of a reply of one clip, after `played` of its 5 s.
    fn replying(change: impl FnOnce(&mut Config), text: &str, played: Duration) -> Self {
        let mut line = Self::listening(change);
        line.says(1, ms(1_000));
        line.wait(ms(400));
        line.ended(1);
        line.progress(Progress::Transcript("a question".into()));
        line.progress(Progress::ReplyDelta(text.into()));
        line.resolve_clips(Some(ms(5_000)));
        line.start_playback();
        line.wait(played);
        line.commands.clear();
        line
    }

    /// The caller speaks for so long, and falls silent. Gives when.
    fn says(&mut self, utterance: u32, voiced: Duration) -> Instant {
        self.event(Event::SpeechStarted);
        self.wait(voiced);
        self.goes_quiet(utterance, voiced)
    }

    fn goes_quiet(&mut self, utterance: u32, voiced: Duration) -> Instant {
        let silent_since = self.now;
        self.wait(HANGOVER);
        self.event(Event::SpeechPaused { utterance: UtteranceId(utterance), silent_since, voiced });
        self.wait(Duration::ZERO);
        silent_since
    }

    fn transcribed(&mut self, utterance: u32, text: &str) {
        self.event(Event::Transcribed { utterance: UtteranceId(utterance), text: text.into() });
    }

    /// The line has ended the utterance as it was told to.
    fn ended(&mut self, utterance: u32) {
        assert!(self.find(|command| *command == Command::EndUtterance), "it was not told to");
        self.event(Event::SpeechEnded);
        self.event(Event::UtteranceEnded { utterance: UtteranceId(utterance) });
    }

    /// How long after `since` the call gives a command.
    fn until(&mut self, since: Instant, wanted: impl Fn(&Command) -> bool) -> Duration {
        self.commands.clear();
        for _ in 0..1_000 {
            if self.find(&wanted) {
                return self.now - since;
            }
            self.wait(ms(10));
        }
        panic!("it never does");
    }

    fn is_settled(&self, wanted: SpeculationOutcome) -> bool {
        self.find(|command| {
            matches!(command, Command::Report(Notice::SpeculationSettled { outcome, .. }) if *outcome == wanted)
        })
    }

    fn is_repaired(&self) -> bool {
        self.find(|command| matches!(command, Command::Report(Notice::InterruptionRepaired { .. })))
    }

    fn starts(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::StartTurn(_))).count()
    }
}

fn is_play(command: &Command) -> bool {
    matches!(command, Command::Play { .. })
}

fn is_end(command: &Command) -> bool {
    *command == Command::EndUtterance
}

#[test]
fn a_short_silence_ends_words_that_sound_finished_and_a_long_one_those_that_do_not() {
    for (words, silence, reason) in [
        ("", ms(500), EndpointReason::ShortSilence),
        ("What are your hours?", ms(500), EndpointReason::ShortSilence),
        ("My number is", ms(1_200), EndpointReason::LongSilence),
        ("It is five five", ms(1_200), EndpointReason::LongSilence),
    ] {
        let mut line = Timeline::listening(live);
        line.event(Event::SpeechStarted);
        line.wait(ms(1_000));
        line.hears(words);
        let quiet = line.now;
        line.goes_quiet(1, ms(1_000));
        assert_eq!(line.until(quiet, is_end), silence, "{words}");
        let ended = Command::Report(Notice::SpeechEnded { reason, silence });
        assert!(line.find(|command| *command == ended), "{words}");
    }
}

#[test]
fn words_that_come_within_the_silence_and_whoever_judges_them_are_believed() {
    let mut line = Timeline::listening(live);
    let quiet = line.says(1, ms(1_000));
    line.wait(ms(200));
    line.hears("I would like to");
    assert_eq!(line.until(quiet, is_end), ms(1_200));

    let mut line = Timeline::listening(live);
    let quiet = line.says(1, ms(1_000));
    line.event(Event::PartialHeard {
        text: "It is done.".into(),
        stable: 11,
        source: Recogniser::Worker,
        completeness: Some(Completeness::Hesitant),
    });
    assert_eq!(line.until(quiet, is_end), ms(1_200));
}

#[test]
fn words_before_a_breath_say_nothing_of_those_after_it() {
    let mut line = Timeline::listening(live);
    line.says(1, ms(1_000));
    line.hears("A table for two and");
    line.wait(ms(300));
    line.event(Event::SpeechResumed);
    line.wait(ms(900));
    let quiet = line.goes_quiet(1, ms(1_900));
    assert_eq!(line.until(quiet, is_end), ms(500));
}

#[test]
fn a_breath_ends_nothing() {
    let mut line = Timeline::listening(live);
    line.says(1, ms(1_000));
    line.wait(ms(300));
    line.event(Event::SpeechResumed);
    line.wait(ms(3_000));
    assert!(!line.find(is_end));
    line.goes_quiet(1, ms(4_000));
    line.wait(ms(400));
    line.ended(1);
    assert_eq!(line.turn_started().utterances, [UtteranceId(1)]);
}

#[test]
fn a_click_in_quiet_is_no_turn() {
    let mut line = Timeline::listening(eager);
    line.says(1, ms(60));
    line.wait(ms(400));
    assert!(line.find(|command| *command == Command::DropUtterance));
    assert_eq!(line.starts(), 0);
    line.commands.clear();
    line.says(2, ms(900));
    assert_eq!(line.turn_started().utterances, [UtteranceId(2)]);
}
