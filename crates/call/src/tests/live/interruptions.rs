//! Voices over the assistant: those that mean it, and coughs.

use super::{super::message, *};
use crate::{DismissReason, PlaybackKind, Role, SayOutcome, TurnId};

#[test]
fn a_backchannel_over_a_reply_is_repaired_within_half_a_second_and_nothing_is_lost() {
    let text = "One two three four five six seven eight nine ten. ";
    let mut line = Timeline::replying(live, text, ms(2_500));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    let (_, heard) = line.interrupted();
    line.progress(Progress::ReplyDelta("And eleven.".into()));
    line.progress(Progress::ReplyFinished);
    assert!(!line.find(|command| matches!(command, Command::CancelTurn { .. })));
    line.wait(ms(350));
    let noise_ended = line.goes_quiet(2, ms(350));
    assert!(line.find(|command| *command == Command::Transcribe { utterance: UtteranceId(2) }));
    line.wait(ms(250));
    line.transcribed(2, "Mhm.");
    let repaired = line.until(noise_ended, is_play);
    assert!(repaired <= ms(500), "{repaired:?}");
    assert!(line.is_repaired() && line.find(|command| *command == Command::DropUtterance));
    let dismissed = Notice::SpeechDismissed { reason: DismissReason::Backchannel, text: "Mhm.".into() };
    assert!(line.find(|command| *command == Command::Report(dismissed.clone())));
    let skip = *line.skips.last().unwrap();
    assert!(ms(1_800) < skip && skip <= ms(2_500), "it goes on at the word that was broken: {skip:?}");
    line.start_playback();
    line.event(Event::SpeechStarted);
    assert_eq!(line.interrupted().1, heard, "what was heard is not counted twice");
    line.stop_confirmed();
    line.event(Event::SpeechAbandoned);
    line.start_playback();
    line.resolve_clips(Some(ms(1_000)));
    line.finish_playback();
    line.start_playback();
    line.finish_playback();
    let whole = format!("{text}And eleven.");
    assert_eq!(line.call.history().last(), Some(&message(Role::Assistant, &whole)));
    assert_eq!(line.starts(), 0);
}

#[test]
fn a_cough_over_a_reply_is_repaired_without_asking_anybody() {
    let mut line = Timeline::replying(live, "One two three four five. ", ms(1_000));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    line.wait(ms(180));
    let noise_ended = line.goes_quiet(2, ms(180));
    let repaired = line.until(noise_ended, is_play);
    assert!(repaired <= ms(500), "{repaired:?}");
    assert!(!line.find(|command| matches!(command, Command::Transcribe { .. } | Command::StartTurn(_))));
}

#[test]
fn words_over_a_reply_are_an_interruption() {
    let mut line = Timeline::replying(eager, "One two three four five. ", ms(1_000));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    line.wait(ms(600));
    line.goes_quiet(2, ms(600));
    assert_eq!(line.starts(), 0, "the words come first");
    line.wait(ms(100));
    line.transcribed(2, "Okay, stop.");
    assert!(line.find(|command| matches!(command, Command::CancelTurn { turn: TurnId(1) })));
    line.wait(ms(1));
    assert!(line.turn_started().is_speculative);
    line.wait(ms(400));
    line.ended(2);
    line.progress(Progress::Transcript("Okay, stop.".into()));
    assert!(!line.is_repaired());
    assert_eq!(line.call.history().last().unwrap().role, Role::Assistant);
}

#[test]
fn yes_to_a_question_is_an_answer() {
    let mut line = Timeline::replying(live, "Shall I book it for you now? I can do that. ", ms(1_500));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    line.wait(ms(300));
    line.goes_quiet(2, ms(300));
    line.transcribed(2, "Yes.");
    line.wait(ms(400));
    line.ended(2);
    assert_eq!(line.turn_started().utterances, [UtteranceId(2)]);
}

#[test]
fn whoever_speaks_for_long_means_it_and_the_work_is_cancelled() {
    let mut line = Timeline::replying(live, "One two three four five. ", ms(1_000));
    line.event(Event::SpeechStarted);
    line.wait(ms(1_400));
    assert!(!line.find(|command| matches!(command, Command::CancelTurn { .. })));
    line.wait(ms(200));
    assert!(line.find(|command| matches!(command, Command::CancelTurn { turn: TurnId(1) })));
    let mut line = Timeline::replying(live, "One two three four five. ", ms(1_000));
    line.event(Event::SpeechStarted);
    line.hears("I wanted");
    assert!(line.find(|command| matches!(command, Command::CancelTurn { turn: TurnId(1) })), "words show it");
}

#[test]
fn a_backchannel_whose_words_come_late_is_repaired_all_the_same() {
    let mut line = Timeline::replying(live, "One two three four five six seven. ", ms(1_500));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    line.wait(ms(400));
    line.goes_quiet(2, ms(400));
    line.wait(ms(400));
    line.ended(2);
    let plays = line.played().len();
    line.progress(Progress::Transcript("Okay.".into()));
    assert!(line.is_repaired());
    assert_eq!(line.played().len(), plays + 1);
    assert!(line.find(|command| matches!(command, Command::CancelTurn { turn: TurnId(2) })));
    line.start_playback();
    line.finish_playback();
    assert_eq!(
        line.call.history().last(),
        Some(&message(Role::Assistant, "One two three four five six seven."))
    );
}

#[test]
fn a_cough_while_the_answer_is_made_costs_nothing() {
    let mut line = Timeline::listening(live);
    line.says(1, ms(1_000));
    line.wait(ms(400));
    line.ended(1);
    line.event(Event::SpeechStarted);
    line.wait(ms(150));
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("Here you are. ".into()));
    line.progress(Progress::ReplyFinished);
    line.resolve_clips(Some(ms(1_000)));
    let plays = line.played().len();
    line.goes_quiet(2, ms(150));
    assert_eq!(line.played().len(), plays, "nothing is said into it");
    line.wait(ms(200));
    assert_eq!((line.played().len(), line.starts()), (plays + 1, 1));
    line.start_playback();
    line.finish_playback();
    assert_eq!(line.call.history().last(), Some(&message(Role::Assistant, "Here you are.")));
}

#[test]
fn a_turn_that_fails_while_the_caller_coughs_is_tried_again() {
    let mut line = Timeline::listening(live);
    line.says(1, ms(1_000));
    line.wait(ms(400));
    line.ended(1);
    line.event(Event::SpeechStarted);
    line.event(Event::TurnFailed { turn: TurnId(1), reason: "LLM_TIMEOUT".into() });
    line.wait(ms(150));
    line.goes_quiet(2, ms(150));
    line.wait(ms(200));
    let again = line.turn_started();
    assert_eq!((again.turn, again.utterances), (TurnId(2), vec![UtteranceId(1)]));
}

#[test]
fn the_greeting_and_what_the_outside_says_go_on_after_a_cough() {
    let mut line = Timeline::answered_with(live);
    let say = line.ask(|call, now| call.say(now, "The shop closes soon.", false)).unwrap();
    line.wait(ms(500));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    line.wait(ms(160));
    line.goes_quiet(1, ms(160));
    line.wait(ms(200));
    line.start_playback();
    line.finish_playback();
    line.resolve_clips(Some(ms(1_000)));
    line.start_playback();
    line.finish_playback();
    use PlaybackKind::{Greeting, Say};
    assert_eq!(line.playback_kinds(), [Greeting, Greeting, Say]);
    let outcome = Notice::SayEnded { say, outcome: SayOutcome::Heard, heard: "The shop closes soon.".into() };
    assert!(line.find(|command| *command == Command::Report(outcome.clone())));
    let greeting = "Hello, thanks for calling. How can I help you?";
    assert_eq!(line.call.history()[0], message(Role::Assistant, greeting));
    assert_eq!(line.call.history().len(), 2, "the greeting is told once");
}

#[test]
fn a_line_that_cannot_seek_says_the_broken_clip_again() {
    let mut line = Timeline::replying(|_| {}, "One two three four five. ", ms(3_000));
    line.event(Event::SpeechStarted);
    let (_, heard) = line.interrupted();
    line.stop_confirmed();
    line.event(Event::SpeechAbandoned);
    assert_eq!(line.skips.last(), Some(&Duration::ZERO));
    line.start_playback();
    line.wait(ms(500));
    line.event(Event::SpeechStarted);
    assert_eq!(line.interrupted().1, heard, "he has heard that much already");
}
