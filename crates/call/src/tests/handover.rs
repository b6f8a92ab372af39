//! Handing a call over with an announcement.

use super::{
    timeline::{Timeline, asked, ms},
    *,
};
use crate::{Refusal, Tool};

const SALES: &str = "+15553330000";
const ANNOUNCEMENT: &str = "You have a call from Ada.";

fn on_hold() -> Timeline {
    let mut line = Timeline::answered();
    line.finish_playback();
    line.ask(|call, now| call.transfer(now, SALES.into(), Some(ANNOUNCEMENT.into()))).unwrap();
    line
}

fn told() -> Command {
    Command::TellTarget { announcement: ANNOUNCEMENT.into() }
}

fn failed(reason: TransferFailure) -> Command {
    Command::Report(Notice::TransferFailed { reason })
}

fn has(line: &Timeline, command: &Command) -> bool {
    line.commands.contains(command)
}

#[test]
fn whoever_answers_is_told_and_then_the_two_are_connected() {
    let mut line = on_hold();
    let to = Destination::Number { number: SALES.into() };
    assert!(has(&line, &Command::CallTarget { to, announcement: ANNOUNCEMENT.into() }));
    assert_eq!(line.call.state(), State::Active);
    assert_eq!(line.ask(|call, now| call.say(now, "Hello?", false)), Err(Refusal::Ending));
    line.run_until_idle_for(ms(500));
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Transfer));
    assert!(!has(&line, &told()));
    line.event(Event::TargetAnswered);
    assert!(has(&line, &told()) && !has(&line, &Command::JoinTarget));
    line.event(Event::TargetTold);
    let stopped = line.commands.iter().position(|command| matches!(command, Command::StopPlayback { .. }));
    let joined = line.commands.iter().position(|command| *command == Command::JoinTarget);
    assert!(stopped.unwrap() < joined.unwrap(), "nothing of ours is heard by the two");
    line.stop_confirmed();
    line.event(Event::TransferConnected);
    assert!(has(&line, &Command::Report(Notice::TransferConnected)));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Transferred });
    line.event(Event::HungUp);
    assert_eq!(line.call.state(), State::Ended { reason: EndReason::Transferred });
    assert!(!has(&line, &Command::DropTarget));
}

#[test]
fn a_caller_on_hold_is_never_left_in_silence_and_what_he_says_is_no_turn() {
    let mut line = on_hold();
    let begun = line.now;
    line.run_until_idle_for(ms(20_000));
    let gaps = line.silences_since(begun);
    assert!(gaps.len() >= 4 && gaps.iter().all(|gap| *gap <= ms(4_500)), "{gaps:?}");
    let turns = line.commands.len();
    line.event(Event::SpeechStarted);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(1) });
    assert_eq!(line.commands.len(), turns);
    line.event(Event::TargetAnswered);
    let told_at = line.now;
    line.run_until_idle_for(ms(10_000));
    assert!(line.silences_since(told_at).len() >= 2, "nor while the other one is told");
}

#[test]
fn nobody_who_takes_the_call_costs_an_apology_and_the_conversation_goes_on() {
    for reason in [TransferFailure::Busy, TransferFailure::NoAnswer, TransferFailure::HungUp] {
        let mut line = on_hold();
        if reason == TransferFailure::HungUp {
            line.event(Event::TargetAnswered);
        }
        line.event(Event::TransferFailed { reason });
        assert!(has(&line, &failed(reason)) && !has(&line, &Command::DropTarget));
        line.run_until_idle_for(ms(5_000));
        assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Apology));
        line.utterance(2);
        line.turn_started();
        assert_eq!(line.call.state(), State::Active);
    }
}

#[test]
fn everything_about_it_has_a_deadline() {
    let stages = [TransferFailure::NoAnswer, TransferFailure::Failed, TransferFailure::Failed];
    for (events, reason) in stages.into_iter().enumerate() {
        let mut line = on_hold();
        line.run_until_idle_for(ms(500));
        for event in [Event::TargetAnswered, Event::TargetTold].into_iter().take(events) {
            line.event(event);
        }
        line.run_until_idle_for(ms(70_000));
        assert!(has(&line, &Command::DropTarget) && has(&line, &failed(reason)), "after {events} events");
    }
}

#[test]
fn a_caller_who_hangs_up_takes_the_other_leg_with_him() {
    for events in 0..3 {
        let mut line = on_hold();
        for event in [Event::TargetAnswered, Event::TargetTold].into_iter().take(events) {
            line.event(event);
        }
        line.event(Event::HungUp);
        assert!(has(&line, &Command::DropTarget), "after {events} events");
        assert_eq!(line.call.state(), State::Ended { reason: EndReason::CallerHangup });
    }
    let mut line = on_hold();
    line.event(Event::EndRequested);
    assert!(has(&line, &Command::DropTarget) && has(&line, &Command::HangUp));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Requested });
}

#[test]
fn a_target_of_the_model_is_told_once_the_reply_was_heard_and_a_failure_is_known() {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("I am putting you through.".into()));
    let tool = Tool::Transfer { target: "sales".into(), announcement: Some(ANNOUNCEMENT.into()) };
    line.asks(&[asked("call", tool)]);
    line.make_clips();
    assert!(!line.find(|command| matches!(command, Command::CallTarget { .. })));
    line.finish_playback();
    let to = Destination::Target { name: "sales".into() };
    assert!(has(&line, &Command::CallTarget { to, announcement: ANNOUNCEMENT.into() }));
    line.event(Event::TransferFailed { reason: TransferFailure::Busy });
    line.run_until_idle_for(ms(5_000));
    line.utterance(2);
    let uses = line.turn_started().history.into_iter().flat_map(|message| message.tools);
    let results: Vec<_> = uses.map(|tool_use| tool_use.result).collect();
    assert_eq!(results, ["{\"error\":\"TRANSFER_FAILED\",\"message\":\"the line is busy\"}"]);
}

#[test]
fn a_relay_that_stops_lets_it_come_to_its_end() {
    let mut line = on_hold();
    line.event(Event::DrainStarted);
    assert_eq!(line.call.state(), State::Active);
    line.event(Event::TransferFailed { reason: TransferFailure::Busy });
    line.run_until_idle_for(ms(8_000));
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Goodbye));
}
