//! A turn on the words of the line's own recogniser, and the one on the recording that confirms it.

use super::timeline::{Timeline, ms};
use crate::{
    Command, Event, Notice, PlaybackKind, Progress, Recogniser, SpeculationOutcome, TurnId, UtteranceId,
};

impl Timeline {
    /// The caller has said something, and the line has told what.
    fn told(text: &str) -> Self {
        let mut line = Self::answered_with(|config| config.speculation = true);
        line.finish_playback();
        line.tells(text);
        line
    }

    fn tells(&mut self, text: &str) {
        self.event(Event::SpeechStarted);
        self.wait(ms(700));
        let (stable, source) = (text.chars().count(), Recogniser::Line);
        self.event(Event::PartialHeard { text: text.into(), stable, source, completeness: None });
        self.event(Event::SpeechEnded);
    }

    fn went_on(&mut self, turn: u32, progress: Progress) {
        self.event(Event::TurnProgressed { turn: TurnId(turn), progress });
    }

    fn settled(&self) -> Vec<(TurnId, SpeculationOutcome)> {
        let settled = self.commands.iter().filter_map(|command| match command {
            Command::Report(Notice::SpeculationSettled { turn, outcome }) => Some((*turn, *outcome)),
            _ => None,
        });
        settled.collect()
    }

    fn cancelled(&self) -> Vec<TurnId> {
        let cancelled = self.commands.iter().filter_map(|command| match command {
            Command::CancelTurn { turn } => Some(*turn),
            _ => None,
        });
        cancelled.collect()
    }
}

#[test]
fn a_draft_is_the_answer_once_the_recording_confirms_what_was_said() {
    let mut line = Timeline::told("what are your hours");
    let draft = line.turn_started();
    assert!(draft.is_speculative && draft.utterances.is_empty());
    assert_eq!(draft.earlier_text, "what are your hours");
    line.wait(ms(100));
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    let real = line.turn_started();
    assert_eq!((real.turn, real.utterances.as_slice()), (TurnId(2), &[UtteranceId(1)][..]));
    assert_eq!((real.is_speculative, real.answered_text.as_deref()), (false, Some("what are your hours")));
    line.went_on(1, Progress::Transcript("what are your hours".into()));
    line.went_on(1, Progress::ReplyDelta("We open at nine. We close at five.".into()));
    line.went_on(1, Progress::ReplyFinished);
    line.wait(ms(100));
    line.resolve_clips(Some(ms(1_000)));
    assert_eq!(line.playback_kinds(), [PlaybackKind::Greeting], "nothing of it is heard yet");
    line.went_on(2, Progress::Started);
    line.wait(ms(300));
    line.went_on(2, Progress::Transcript("What are your hours?".into()));
    assert_eq!(line.settled(), [(TurnId(1), SpeculationOutcome::Kept)]);
    assert_eq!(line.cancelled(), [TurnId(2)], "no other answer is made");
    let told = Notice::Transcript { turn: TurnId(1), text: "What are your hours?".into() };
    assert!(line.find(|command| *command == Command::Report(told.clone())));
    line.start_playback();
    assert_eq!(line.won(), ms(200));
    let names: Vec<_> = line.timings().iter().map(|part| part.name).collect();
    assert_eq!(
        names,
        ["recording", "first_token", "first_clause", "tts", "queue", "stt", "playback"],
        "in the order in which they were over"
    );
    assert_eq!(line.timings().iter().map(|part| part.duration).sum::<std::time::Duration>(), ms(500));
    line.resolve_clips(Some(ms(1_000)));
    line.finish_playback();
    line.start_playback();
    line.finish_playback();
    let heard: Vec<_> = line.call.history().into_iter().map(|message| message.content).collect();
    assert_eq!(heard[1..], ["What are your hours?", "We open at nine. We close at five."]);
}

#[test]
fn a_draft_of_other_words_is_dropped_unheard() {
    let mut line = Timeline::told("what are your powers");
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    line.went_on(1, Progress::ReplyDelta("I have none. ".into()));
    line.resolve_clips(Some(ms(1_000)));
    line.went_on(2, Progress::Transcript("What are your hours?".into()));
    assert_eq!(line.settled(), [(TurnId(1), SpeculationOutcome::Contradicted)]);
    assert_eq!(line.cancelled(), [TurnId(1)]);
    line.went_on(1, Progress::ReplyDelta("None at all. ".into()));
    line.went_on(2, Progress::ReplyDelta("We open at nine. ".into()));
    line.went_on(2, Progress::ReplyFinished);
    line.make_clips();
    line.finish_playback();
    assert_eq!(line.played()[1..], ["We open at nine."]);
}

#[test]
fn a_draft_that_fails_or_whose_caller_says_nothing_costs_nothing() {
    let mut line = Timeline::told("what are your hours");
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    line.event(Event::TurnFailed { turn: TurnId(1), reason: "LLM_TIMEOUT".into() });
    assert_eq!(line.settled(), [(TurnId(1), SpeculationOutcome::Failed)]);
    assert_eq!(line.cancelled(), []);
    line.answer("We open at nine.");
    assert_eq!(line.played().last().map(String::as_str), Some("We open at nine."));

    let mut line = Timeline::told("hm what");
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    line.went_on(2, Progress::NothingSaid);
    assert_eq!(line.settled(), [(TurnId(1), SpeculationOutcome::NothingSaid)]);
}

#[test]
fn whoever_goes_on_drops_the_draft_and_the_turn() {
    let mut line = Timeline::told("what are your hours");
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    line.event(Event::SpeechStarted);
    assert_eq!(line.cancelled(), [], "it may be a noise");
    line.hears("and where");
    assert_eq!(line.cancelled(), [TurnId(1), TurnId(2)]);
    line.event(Event::SpeechEnded);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    let both = line.turn_started();
    assert_eq!(both.utterances, [UtteranceId(1), UtteranceId(2)]);
    assert_eq!(both.answered_text, None, "what the line has told is not all of it");
}

#[test]
fn a_draft_is_not_begun_before_what_was_said_earlier_is_known_nor_when_it_is_switched_off() {
    let mut line = Timeline::in_turn();
    line.answer("Yes.");
    line.tells("and where are you");
    assert_eq!(line.turn_started().turn, TurnId(1));

    let mut line = Timeline::in_turn_with(|config| config.speculation = true);
    line.tells("and where are you");
    assert_eq!(line.turn_started().turn, TurnId(1));
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    assert_eq!(line.turn_started().utterances, [UtteranceId(1), UtteranceId(2)]);
}
