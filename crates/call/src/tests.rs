//! The core on a scripted timeline: events at instants, the whole list of commands compared.

mod arbitrary;
mod draft;
mod handover;
mod live;
mod outside;
mod resumption;
mod table;
mod timeline;
mod tools;

use std::time::Duration;

use timeline::{Timeline, ms};

use crate::{
    CancelReason, ClipId, Command, Destination, EndReason, Event, Message, Notice, PlaybackKind, Progress,
    Role, State, TransferFailure, TurnId, UtteranceId,
};

/// A clip has become longer.
fn grown(clip: ClipId, duration: Duration, is_complete: bool) -> Event {
    Event::ClipGrew { clip, duration, is_complete, silences: Vec::new() }
}

fn message(role: Role, content: &str) -> Message {
    Message { role, content: content.into(), tools: Vec::new() }
}

#[test]
fn a_call_is_answered_listened_to_greeted_and_understood() {
    let mut line = Timeline::answered();
    assert_eq!(line.played(), ["Hello, thanks for calling. How can I help you?"]);
    line.finish_playback();
    line.utterance(1);
    let request = line.turn_started();
    assert_eq!(request.utterances, [UtteranceId(1)]);
    assert_eq!(request.history, [message(Role::Assistant, "Hello, thanks for calling. How can I help you?")]);
    line.progress(Progress::Transcript("what are your hours".into()));
    line.progress(Progress::ReplyDelta("We open at nine. We close at five.".into()));
    line.progress(Progress::ReplyFinished);
    line.make_clips();
    line.finish_playback();
    line.finish_playback();
    assert_eq!(line.played()[1..].join(" "), "We open at nine. We close at five.");
    assert_eq!(
        line.call.history()[1..],
        [
            message(Role::User, "what are your hours"),
            message(Role::Assistant, "We open at nine. We close at five.")
        ]
    );
}

#[test]
fn clauses_that_became_ready_during_a_playback_go_out_as_one_playlist() {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Transcript("tell me".into()));
    line.progress(Progress::ReplyDelta("First things first. ".into()));
    line.make_clips();
    let long = "x".repeat(150);
    line.progress(Progress::ReplyDelta(format!("Then {long} comes. After {long} we end. ")));
    line.progress(Progress::ReplyFinished);
    line.make_clips();
    let before = line.played().len();
    line.finish_playback();
    assert_eq!(line.played().len(), before + 1);
    assert_eq!(line.last_items(), 2);
}

#[test]
fn barge_in_stops_playback_and_keeps_only_what_was_heard() {
    let mut line = Timeline::speaking("One two three four five six seven eight nine ten.", ms(5_000));
    line.wait(ms(2_500));
    line.event(Event::SpeechStarted);
    let stop = line.find(|command| matches!(command, Command::StopPlayback { .. }));
    assert!(stop, "playback is stopped");
    let (said, heard) = line.interrupted();
    assert_eq!(said, "One two three four five six seven eight nine ten.");
    let words = heard.split_whitespace().count();
    assert!((4..=6).contains(&words), "half was played, heard is \"{heard}\"");
    line.stop_confirmed();
    line.event(Event::SpeechEnded);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    let request = line.turn_started();
    assert_eq!(request.history.last(), Some(&message(Role::Assistant, &heard)));
    assert_eq!(request.earlier_text, "");
}

#[test]
fn the_greeting_can_be_interrupted_too() {
    let mut line = Timeline::answered();
    line.wait(ms(500));
    line.event(Event::SpeechStarted);
    assert!(line.find(|command| matches!(command, Command::StopPlayback { .. })));
}

#[test]
fn speech_while_thinking_joins_the_next_utterance_as_audio_or_as_text() {
    let mut line = Timeline::in_turn();
    line.event(Event::SpeechStarted);
    assert!(!line.find(|command| matches!(command, Command::CancelTurn { .. })), "it may be a noise");
    line.hears("And for");
    assert!(line.find(|command| matches!(command, Command::CancelTurn { turn: TurnId(1) })));
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    let second = line.turn_started();
    assert_eq!(second.utterances, [UtteranceId(1), UtteranceId(2)]);
    line.progress(Progress::Transcript("I want to book and".into()));
    line.event(Event::SpeechStarted);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(3) });
    let third = line.turn_started();
    assert_eq!((third.utterances, third.earlier_text.as_str()), (vec![UtteranceId(3)], "I want to book and"));
}

#[test]
fn a_cough_while_thinking_starts_the_same_turn_again() {
    let mut line = Timeline::in_turn();
    line.event(Event::SpeechStarted);
    line.event(Event::SpeechAbandoned);
    assert_eq!(line.turn_started().utterances, [UtteranceId(1)]);
}

#[test]
fn a_cough_during_a_reply_lets_it_go_on_where_it_was_broken() {
    let mut line = Timeline::speaking("One two three four five six seven eight nine ten.", ms(5_000));
    line.wait(ms(2_000));
    line.event(Event::SpeechStarted);
    line.stop_confirmed();
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    let plays = line.played().len();
    line.progress(Progress::NothingSaid);
    assert_eq!(line.played().len(), plays + 1);
    assert!(line.find(|command| matches!(
        command,
        Command::Report(Notice::TurnCancelled { reason: CancelReason::NothingSaid, .. })
    )));
}

#[test]
fn a_slow_turn_is_bridged_twice_and_given_up_in_time() {
    let mut line = Timeline::in_turn();
    let begun = line.now;
    line.run_until_idle_for(ms(9_000));
    let kinds = line.playback_kinds();
    assert_eq!(kinds.iter().filter(|kind| **kind == PlaybackKind::Filler).count(), 2, "{kinds:?}");
    assert_eq!(kinds.last(), Some(&PlaybackKind::Apology));
    assert!(line.failed("TURN_DEADLINE"));
    let gaps = line.silences_since(begun);
    assert!(gaps.iter().all(|gap| *gap <= ms(2_300)), "{gaps:?}");
}

#[test]
fn two_fillers_in_two_turns_running_are_avoided() {
    let mut line = Timeline::in_turn();
    line.run_until_idle_for(ms(2_100));
    line.answer("Here you are.");
    line.utterance(2);
    let begun = line.now;
    line.run_until_idle_for(ms(3_000));
    assert!(line.first_sound_after(begun).is_none(), "the second turn is not bridged at once");
    line.run_until_idle_for(ms(500));
    assert!(line.first_sound_after(begun).is_some(), "but a wait this long is");
}

#[test]
fn a_failed_turn_costs_an_apology_and_two_in_a_row_end_the_call() {
    let mut line = Timeline::in_turn();
    line.event(Event::TurnFailed { turn: TurnId(1), reason: "STT_UNAVAILABLE".into() });
    line.make_clips();
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Apology));
    line.finish_playback();
    assert_eq!(line.call.state(), State::Active);
    assert!(!line.turn_started().is_repeated);
    line.utterance(2);
    assert!(line.turn_started().is_repeated);
    line.event(Event::TurnFailed { turn: TurnId(2), reason: "STT_UNAVAILABLE".into() });
    line.run_until_idle_for(ms(6_000));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Failures });
}

#[test]
fn turn_after_turn_that_fails_is_handed_over_when_there_is_somebody() {
    let mut line = Timeline::in_turn_with(|config| config.can_transfer = true);
    line.event(Event::TurnFailed { turn: TurnId(1), reason: "X".into() });
    line.run_until_idle_for(ms(4_000));
    line.utterance(2);
    line.event(Event::TurnFailed { turn: TurnId(2), reason: "X".into() });
    line.run_until_idle_for(ms(6_000));
    assert!(line.find(|command| *command == Command::Transfer { to: Destination::Fallback }));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Transferred });
    line.event(Event::TransferFailed { reason: TransferFailure::NoAnswer });
    line.make_clips();
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Goodbye));
    line.run_until_idle_for(ms(6_000));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Failures });
}

#[test]
fn a_turn_that_another_worker_begins_anew_is_said_once() {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Started);
    line.progress(Progress::ReplyDelta("We are closed. And".into()));
    line.progress(Progress::Started);
    line.answer("We are open.");
    let said: Vec<_> = line.played().into_iter().collect();
    assert!(!format!("{said:?}").contains("closed"), "{said:?}");
    let mut line = Timeline::in_turn();
    line.progress(Progress::Started);
    line.progress(Progress::ReplyDelta("We are closed. And".into()));
    line.make_clips();
    line.progress(Progress::Started);
    assert!(line.failed("WORKER_LOST"), "what is being heard cannot be taken back");
}

#[test]
fn a_silent_caller_is_asked_twice_and_then_told_goodbye() {
    let mut line = Timeline::answered();
    line.run_until_idle_for(ms(60_000));
    use PlaybackKind::{Goodbye, Greeting, NoInput};
    assert_eq!(line.playback_kinds(), [Greeting, NoInput, NoInput, Goodbye]);
    assert!(matches!(line.call.state(), State::Ending { reason: EndReason::NoInput } | State::Ended { .. }));
}

#[test]
fn a_caller_who_speaks_over_the_goodbye_is_there_after_all() {
    let mut line = Timeline::answered();
    while line.playback_kinds().last() != Some(&PlaybackKind::Goodbye) {
        line.run_until_idle_for(ms(100));
    }
    line.event(Event::SpeechStarted);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    assert_eq!(line.turn_started().turn, TurnId(1));
    assert_eq!(line.call.state(), State::Active);
}

#[test]
fn a_clip_that_cannot_be_made_is_spoken_by_the_provider() {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Transcript("hello".into()));
    line.progress(Progress::ReplyDelta("Hello to you. ".into()));
    line.fail_clips();
    assert_eq!(line.last_texts(), ["Hello to you."]);
}

#[test]
fn a_playback_that_cannot_be_fetched_is_spoken_by_the_provider_once() {
    let mut line = Timeline::speaking("Hello to you.", ms(1_000));
    let playback = line.last_playback();
    line.event(Event::PlaybackFailed { playback });
    assert_eq!(line.last_texts(), ["Hello to you."]);
    let playback = line.last_playback();
    let plays = line.played().len();
    line.event(Event::PlaybackFailed { playback });
    assert_eq!(line.played().len(), plays, "what failed in the last resort is given up");
    assert!(line.failed("SPEECH_UNAVAILABLE"));
    line.make_clips();
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Apology), "which was made before");
}

#[test]
fn lost_playback_events_delay_a_call_but_do_not_stop_it() {
    let mut line = Timeline::speaking("Hello to you.", ms(1_000));
    line.wait(ms(3_100));
    assert!(line.call.activity() == Some(crate::Activity::Listening), "the end is assumed two seconds late");
}

#[test]
fn an_utterance_without_an_end_is_ended_here() {
    let mut line = Timeline::answered();
    line.finish_playback();
    line.event(Event::SpeechStarted);
    line.wait(Duration::from_mins(1));
    assert!(line.find(|command| *command == Command::EndUtterance));
}

#[test]
fn hanging_up_releases_the_turn_and_nothing_follows() {
    let mut line = Timeline::in_turn();
    line.event(Event::HungUp);
    assert!(line.find(|command| matches!(command, Command::CancelTurn { .. })));
    assert_eq!(line.call.state(), State::Ended { reason: EndReason::CallerHangup });
    line.commands.clear();
    let progress = Progress::ReplyDelta("Too late. ".into());
    line.event(Event::TurnProgressed { turn: TurnId(1), progress });
    line.event(Event::SpeechStarted);
    assert_eq!(line.commands, []);
}

#[test]
fn late_answers_to_a_cancelled_turn_change_nothing() {
    let mut line = Timeline::in_turn();
    line.event(Event::SpeechStarted);
    line.hears("I mean");
    let before = line.commands.len();
    line.event(Event::TurnProgressed { turn: TurnId(1), progress: Progress::ReplyDelta("Stale. ".into()) });
    line.event(Event::TurnFailed { turn: TurnId(1), reason: "X".into() });
    assert_eq!(line.commands.len(), before);
}

#[test]
fn a_draining_call_finishes_its_turn_and_says_goodbye() {
    let mut line = Timeline::in_turn();
    line.event(Event::DrainStarted);
    assert_eq!(line.call.state(), State::Active);
    line.answer("Here you are.");
    line.run_until_idle_for(ms(4_000));
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Goodbye));
    assert!(matches!(line.call.state(), State::Ending { reason: EndReason::Drain }));
}

#[test]
fn a_call_that_cannot_be_told_of_the_drain_yet_remembers_it() {
    let mut received = Timeline::ringing(|now| crate::Call::answer(now, crate::Config::default()));
    received.event(Event::DrainStarted);
    received.event(Event::Answered);
    received.run_until_idle_for(ms(4_000));
    assert_eq!(received.playback_kinds(), [PlaybackKind::Goodbye]);
    assert!(matches!(received.call.state(), State::Ending { reason: EndReason::Drain }));

    let ring = Duration::from_secs(30);
    let mut placed = Timeline::ringing(|now| {
        crate::Call::place(now, crate::Config::default(), crate::Voicemail::Ignore, ring)
    });
    placed.event(Event::DrainStarted);
    assert!(placed.find(|command| *command == Command::HangUp), "nobody has answered it");
    assert!(matches!(placed.call.state(), State::Ending { reason: EndReason::Drain }));

    let mut given_back = Timeline::speaking("One two three four.", ms(2_000));
    given_back.ask(|call, now| call.transfer(now, "+15553330000".into(), None)).unwrap();
    given_back.event(Event::DrainStarted);
    given_back.stop_confirmed();
    given_back.event(Event::TransferFailed { reason: TransferFailure::Busy });
    given_back.run_until_idle_for(ms(8_000));
    assert_eq!(given_back.playback_kinds().last(), Some(&PlaybackKind::Goodbye));
}

#[test]
fn calls_and_turns_have_limits() {
    let mut line = Timeline::answered_with(|config| config.max_call = Duration::from_secs(5));
    line.run_until_idle_for(ms(9_000));
    assert!(matches!(line.call.state(), State::Ending { reason: EndReason::CallLimit }));
    let mut line = Timeline::in_turn_with(|config| config.max_turns = 1);
    line.answer("Here you are.");
    line.utterance(2);
    line.run_until_idle_for(ms(4_000));
    assert!(matches!(line.call.state(), State::Ending { reason: EndReason::TurnLimit }));
}

#[test]
fn a_call_without_room_hears_so_and_is_ended() {
    let mut line = Timeline::turned_away();
    assert_eq!(line.playback_kinds(), [PlaybackKind::Busy]);
    line.finish_playback();
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Busy });
    assert!(!line.find(|command| *command == Command::Listen));
}

#[test]
fn the_parts_of_a_turn_are_contiguous_and_sum_to_the_whole() {
    let mut line = Timeline::answered();
    line.finish_playback();
    line.event(Event::SpeechStarted);
    line.wait(ms(700));
    line.event(Event::SpeechEnded);
    let ended = line.now;
    line.wait(ms(40));
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    for progress in [
        Progress::Started,
        Progress::Fetched,
        Progress::Transcript("hi".into()),
        Progress::ReplyDelta("Hi ".into()),
        Progress::ReplyDelta("there. ".into()),
    ] {
        line.wait(ms(50));
        line.progress(progress);
    }
    line.wait(ms(120));
    line.make_clips();
    let parts = line.timings();
    let total: Duration = parts.iter().map(|part| part.duration).sum();
    assert_eq!(total, line.now - ended);
    let names: Vec<_> = parts.iter().map(|part| part.name).collect();
    assert_eq!(
        names,
        ["recording", "queue", "fetch", "stt", "first_token", "first_clause", "tts", "playback"]
    );
    assert_eq!(parts[0].duration, ms(40));
}

#[test]
fn nothing_is_heard_of_a_playback_that_has_not_begun() {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Transcript("hi".into()));
    line.progress(Progress::ReplyDelta("Hello there, friend. ".into()));
    line.resolve_clips(Some(ms(1_000)));
    line.event(Event::SpeechStarted);
    assert_eq!(line.interrupted().1, "");
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    assert_eq!(line.turn_started().earlier_text, "hi");
}
