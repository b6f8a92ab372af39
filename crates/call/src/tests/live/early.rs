//! Answers that are begun before it is certain that the caller has finished.

use super::{super::message, *};
use crate::{Role, TurnId};

#[test]
fn an_answer_that_is_made_within_the_silence_sounds_when_it_is_over() {
    let mut line = Timeline::listening(eager);
    let quiet = line.says(1, ms(1_000));
    let request = line.turn_started();
    assert!(request.is_speculative && request.utterances == [UtteranceId(1)]);
    line.wait(ms(100));
    line.progress(Progress::Transcript("What are your hours?".into()));
    line.wait(ms(100));
    line.progress(Progress::ReplyDelta("We open at nine. We close at five. ".into()));
    line.progress(Progress::ReplyFinished);
    assert_eq!(line.pending_texts(), ["We open at nine."], "only the first clause is made so early");
    line.wait(ms(100));
    line.resolve_clips(Some(ms(1_000)));
    assert!(!line.find(|command| matches!(command, Command::Report(Notice::Transcript { .. }))));
    assert_eq!(line.until(quiet, is_play), ms(500), "the silence is waited for, and nothing more");
    assert!(line.is_settled(SpeculationOutcome::Kept));
    assert_eq!(line.starts(), 0);
    line.start_playback();
    let parts: Vec<_> = line.timings().iter().map(|part| (part.name, part.duration)).collect();
    let expected = [
        ("pause", 100),
        ("stt", 100),
        ("first_token", 100),
        ("first_clause", 0),
        ("tts", 100),
        ("endpoint", 100),
        ("playback", 0),
    ];
    assert_eq!(parts, expected.map(|(name, span)| (name, ms(span))));
    assert_eq!(line.won(), ms(300));
    line.event(Event::SpeechEnded);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    line.resolve_clips(Some(ms(1_000)));
    line.finish_playback();
    line.start_playback();
    line.finish_playback();
    assert_eq!(
        line.call.history()[1..],
        [
            message(Role::User, "What are your hours?"),
            message(Role::Assistant, "We open at nine. We close at five.")
        ]
    );
}

#[test]
fn an_answer_that_is_not_ready_at_the_end_sounds_when_it_is() {
    let mut line = Timeline::listening(eager);
    line.says(1, ms(1_000));
    line.wait(ms(400));
    line.ended(1);
    assert_eq!(line.starts(), 1, "the same turn goes on");
    line.wait(ms(100));
    line.progress(Progress::Transcript("Hello?".into()));
    assert!(line.find(|command| matches!(command, Command::Report(Notice::Transcript { .. }))));
    line.progress(Progress::ReplyDelta("Good day. ".into()));
    line.wait(ms(200));
    line.make_clips();
    let names: Vec<_> = line.timings().iter().map(|part| part.name).collect();
    assert_eq!(names, ["pause", "endpoint", "stt", "first_token", "first_clause", "tts", "playback"]);
    assert_eq!(line.won(), ms(400));
}

#[test]
fn whoever_goes_on_never_hears_of_the_early_answer() {
    let mut line = Timeline::listening(eager);
    line.says(1, ms(1_000));
    line.wait(ms(50));
    line.progress(Progress::Transcript("I want a table.".into()));
    line.progress(Progress::ReplyDelta("For how many? ".into()));
    line.resolve_clips(Some(ms(1_000)));
    let plays = line.played().len();
    line.event(Event::SpeechResumed);
    assert!(line.find(|command| matches!(command, Command::CancelTurn { turn: TurnId(1) })));
    assert!(line.is_settled(SpeculationOutcome::CallerWentOn));
    line.wait(ms(700));
    line.goes_quiet(1, ms(1_700));
    line.wait(ms(400));
    line.ended(1);
    let request = line.turn_started();
    assert_eq!((request.utterances, request.earlier_text.as_str()), (vec![UtteranceId(1)], ""));
    assert_eq!(line.played().len(), plays);
    assert!(!line.find(|command| matches!(command, Command::Report(Notice::ReplyDelta { .. }))));
}

#[test]
fn early_answers_cost_half_as_many_requests_again_at_most() {
    let mut line = Timeline::listening(eager);
    let (utterances, breaths) = (20, 5);
    for utterance in 1..=utterances {
        line.event(Event::SpeechStarted);
        for _ in 0..breaths {
            line.wait(ms(600));
            line.goes_quiet(utterance, ms(600));
            line.wait(ms(200));
            line.event(Event::SpeechResumed);
        }
        line.wait(ms(600));
        line.goes_quiet(utterance, ms(600));
        line.wait(ms(400));
        line.ended(utterance);
        line.answer("Yes. ");
    }
    let starts = line.starts();
    assert!(starts > utterances as usize, "{starts}");
    assert!(starts <= utterances as usize * 3 / 2 + 1, "{starts} requests for {utterances} utterances");
}

#[test]
fn an_early_answer_that_fails_is_tried_again_at_the_end_and_costs_no_apology() {
    let mut line = Timeline::listening(eager);
    line.says(1, ms(1_000));
    line.event(Event::TurnFailed { turn: TurnId(1), reason: "STT_UNAVAILABLE".into() });
    assert!(line.is_settled(SpeculationOutcome::Failed));
    line.wait(ms(400));
    line.ended(1);
    let request = line.turn_started();
    assert!(!request.is_speculative && request.turn == TurnId(2));
    assert!(!line.failed("STT_UNAVAILABLE"));
}

#[test]
fn hesitant_words_are_answered_early_too_but_later() {
    let mut line = Timeline::listening(eager);
    line.event(Event::SpeechStarted);
    line.wait(ms(1_000));
    line.hears("My number is 5 5 5");
    let quiet = line.now;
    line.goes_quiet(1, ms(1_000));
    assert_eq!(line.until(quiet, |command| matches!(command, Command::StartTurn(_))), ms(500));
    assert_eq!(line.until(quiet, is_end), ms(1_200));
}
