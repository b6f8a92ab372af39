//! What the outside asks of a call, and calls that are ours.

use super::*;
use crate::{
    Answerer, Call, DialFailure, Refusal, SayId, SayOutcome, TransferFailure, Voicemail,
    tests::timeline::Timeline,
};

fn ended(line: &Timeline) -> Vec<(SayId, SayOutcome, String)> {
    let ends = line.commands.iter().filter_map(|command| match command {
        Command::Report(Notice::SayEnded { say, outcome, heard }) => Some((*say, *outcome, heard.clone())),
        _ => None,
    });
    ends.collect()
}

#[test]
fn what_is_to_be_said_waits_its_turn_is_heard_and_becomes_history() {
    let mut line = Timeline::answered();
    let say = line.ask(|call, now| call.say(now, "Your table is ready.", false)).unwrap();
    assert_eq!(line.played().len(), 1, "the greeting is not interrupted");
    line.run_until_idle_for(ms(4_000));
    assert_eq!(line.playback_kinds(), [PlaybackKind::Greeting, PlaybackKind::Say]);
    assert_eq!(ended(&line), [(say, SayOutcome::Heard, "Your table is ready.".into())]);
    assert_eq!(line.call.history().last(), Some(&message(Role::Assistant, "Your table is ready.")));
}

#[test]
fn what_interrupts_stops_a_reply_which_keeps_what_was_heard() {
    let mut line = Timeline::speaking("One two three four five six seven eight nine ten.", ms(5_000));
    line.wait(ms(2_500));
    let say = line.ask(|call, now| call.say(now, "Please hang up.", true)).unwrap();
    let heard = line.interrupted().1;
    assert!(line.find(|command| matches!(
        command,
        Command::Report(Notice::TurnCancelled { reason: CancelReason::SaidOver, .. })
    )));
    line.stop_confirmed();
    line.run_until_idle_for(ms(3_000));
    assert_eq!(ended(&line), [(say, SayOutcome::Heard, "Please hang up.".into())]);
    let history = line.call.history();
    let tail: Vec<_> = history.iter().rev().take(3).rev().map(|message| message.content.as_str()).collect();
    assert_eq!(tail, ["a question", heard.as_str(), "Please hang up."]);
}

#[test]
fn one_thing_said_over_another_ends_it() {
    let mut line = Timeline::answered();
    line.finish_playback();
    let first = line.ask(|call, now| call.say(now, "One two three four five six.", false)).unwrap();
    line.make_clips();
    line.wait(ms(500));
    let second = line.ask(|call, now| call.say(now, "Seven eight.", true)).unwrap();
    line.stop_confirmed();
    line.run_until_idle_for(ms(3_000));
    let ends: Vec<_> = ended(&line).into_iter().map(|(say, outcome, _)| (say, outcome)).collect();
    assert_eq!(ends, [(first, SayOutcome::Interrupted), (second, SayOutcome::Heard)]);
}

#[test]
fn a_reply_in_the_works_is_said_after_what_interrupts_a_filler() {
    let mut line = Timeline::in_turn();
    line.run_until_idle_for(ms(2_100));
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Filler));
    line.ask(|call, now| call.say(now, "A word from us.", true)).unwrap();
    line.stop_confirmed();
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("Here you are. ".into()));
    line.progress(Progress::ReplyFinished);
    line.run_until_idle_for(ms(4_000));
    let kinds = line.playback_kinds();
    assert_eq!(kinds[kinds.len() - 2..], [PlaybackKind::Say, PlaybackKind::Reply]);
    assert!(!line.find(|command| matches!(command, Command::Report(Notice::TurnFailed { .. }))));
}

#[test]
fn the_caller_wins_over_the_outside_too_and_nothing_is_said_over_him() {
    let mut line = Timeline::answered();
    line.finish_playback();
    let broken = line.ask(|call, now| call.say(now, "One two three four five six.", false)).unwrap();
    let queued = line.ask(|call, now| call.say(now, "Seven eight.", false)).unwrap();
    line.make_clips();
    line.wait(ms(500));
    line.event(Event::SpeechStarted);
    assert!(ended(&line).is_empty(), "it may be a noise");
    line.hears("Hello?");
    let ends = ended(&line);
    assert_eq!((ends[0].0, ends[0].1), (broken, SayOutcome::Interrupted));
    assert_eq!(ends[1], (queued, SayOutcome::Unsaid, String::new()));
    line.stop_confirmed();
    let plays = line.played().len();
    line.ask(|call, now| call.say(now, "Nine ten.", false)).unwrap();
    line.make_clips();
    assert_eq!(line.played().len(), plays, "he is speaking");
    line.event(Event::SpeechEnded);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    assert_eq!(line.played().last().map(String::as_str), Some("Nine ten."));
}

#[test]
fn a_stalled_reply_with_something_waiting_behind_it_is_given_up_in_time() {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("First things first. ".into()));
    line.make_clips();
    line.ask(|call, now| call.say(now, "A word from us.", false)).unwrap();
    line.run_until_idle_for(ms(9_000));
    assert!(line.failed("REPLY_STALLED"));
    assert_eq!(ended(&line)[0].1, SayOutcome::Heard);
}

#[test]
fn instructions_reach_the_next_turn_and_have_a_bound() {
    let mut line = Timeline::answered();
    line.ask(|call, _| call.instruct("Offer a discount.".into())).unwrap();
    line.finish_playback();
    line.utterance(1);
    assert_eq!(line.turn_started().instructions, ["Offer a discount."]);
    let long = "x".repeat(8_000);
    assert_eq!(line.ask(|call, _| call.instruct(long)), Err(Refusal::TooManyInstructions));
}

#[test]
fn digits_go_out_one_request_at_a_time() {
    let mut line = Timeline::answered();
    line.ask(|call, now| call.send_digits(now, "12#".into())).unwrap();
    assert!(line.find(|command| *command == Command::SendDigits { digits: "12#".into() }));
    assert_eq!(line.ask(|call, now| call.send_digits(now, "3".into())), Err(Refusal::DigitsUnderWay));
    line.event(Event::DigitsSent);
    assert!(line.find(|command| *command == Command::Report(Notice::DigitsSent { digits: "12#".into() })));
    line.ask(|call, now| call.send_digits(now, "3".into())).unwrap();
    line.wait(ms(3_200));
    let lost = Command::Report(Notice::Degraded { reason: "DIGITS_UNCONFIRMED" });
    assert!(line.find(|command| *command == lost));
}

#[test]
fn a_transfer_silences_the_assistant_and_a_failed_one_gives_the_call_back() {
    let mut line = Timeline::speaking("One two three four.", ms(2_000));
    line.ask(|call, now| call.transfer(now, "+15553330000".into(), None)).unwrap();
    assert!(line.find(|command| matches!(command, Command::StopPlayback { .. })));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Transferred });
    assert_eq!(line.ask(|call, now| call.say(now, "Hello?", false)), Err(Refusal::Ending));
    line.stop_confirmed();
    line.event(Event::TransferFailed { reason: TransferFailure::Busy });
    assert_eq!(line.call.state(), State::Active);
    line.run_until_idle_for(ms(4_000));
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Apology));
    line.utterance(2);
    assert_eq!(line.turn_started().turn, TurnId(2));
    line.ask(|call, now| call.transfer(now, "+15553330000".into(), None)).unwrap();
    line.event(Event::TransferConnected);
    line.event(Event::HungUp);
    assert_eq!(line.call.state(), State::Ended { reason: EndReason::Transferred });
}

#[test]
fn a_placed_call_that_reaches_nobody_says_why() {
    for (reason, end) in [
        (DialFailure::Busy, EndReason::CalleeBusy),
        (DialFailure::NoAnswer, EndReason::NoAnswer),
        (DialFailure::Failed, EndReason::DialFailed),
    ] {
        let mut line = Timeline::placed(Voicemail::Ignore);
        assert_eq!(line.commands[0], Command::Dial);
        assert_eq!(line.ask(|call, now| call.say(now, "Hello?", false)), Err(Refusal::NotConnected));
        line.event(Event::DialFailed { reason });
        assert_eq!(line.call.state(), State::Ended { reason: end });
    }
    let mut line = Timeline::placed(Voicemail::Ignore);
    line.wait(Duration::from_secs(40));
    assert!(line.find(|command| *command == Command::HangUp));
    assert_eq!(line.call.state(), State::Ended { reason: EndReason::NoAnswer });
}

#[test]
fn a_person_is_greeted_and_a_machine_is_told_a_message_or_hung_up_on() {
    let machine = Event::AnswererDetected { answerer: Answerer::Machine };
    let mut line = Timeline::placed(Voicemail::HangUp);
    line.event(Event::Answered);
    assert!(line.find(|command| *command == Command::Screen) && line.played().is_empty());
    line.event(Event::AnswererDetected { answerer: Answerer::Human });
    assert_eq!(line.playback_kinds(), [PlaybackKind::Greeting]);

    let mut line = Timeline::placed(Voicemail::HangUp);
    line.event(Event::Answered);
    line.event(machine.clone());
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Voicemail });

    let mut line = Timeline::placed(Voicemail::LeaveMessage("Call us back.".into()));
    line.event(Event::Answered);
    line.event(machine);
    assert!(line.played().is_empty(), "the tone has not sounded");
    line.event(Event::MachineReady);
    line.run_until_idle_for(ms(3_000));
    assert_eq!(line.playback_kinds(), [PlaybackKind::Voicemail]);
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Voicemail });

    let mut line = Timeline::placed(Voicemail::HangUp);
    line.event(Event::Answered);
    line.wait(Duration::from_secs(9));
    assert_eq!(line.call.activity(), Some(crate::Activity::Speaking), "who cannot be told is a person");
}

impl Timeline {
    fn placed(voicemail: Voicemail) -> Self {
        Self::ringing(|now| Call::place(now, crate::Config::default(), voicemail, Duration::from_secs(30)))
    }
}
