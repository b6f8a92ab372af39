//! Calls whose process has died.

use super::*;
use crate::{Call, Config, Kept, PlaybackId, tests::timeline::Timeline};

fn kept() -> Kept {
    let history = vec![message(Role::User, "my name is ada"), message(Role::Assistant, "Hello Ada.")];
    Kept { history, turns: 3, lasted: Duration::from_mins(10), last_id: 1_000 }
}

#[test]
fn a_call_that_is_taken_back_apologises_once_and_goes_on_where_it_was() {
    let mut line = Timeline::ringing(|now| Call::take_back(now, Config::default(), kept()));
    assert_eq!(line.call.state(), State::Active);
    assert!(
        line.find(|command| *command == Command::Listen) && !line.find(|command| *command == Command::Answer)
    );
    line.run_until_idle_for(ms(4_000));
    assert_eq!(line.playback_kinds(), [PlaybackKind::Apology]);
    assert!(line.find(|command| matches!(command, Command::Play { playback: PlaybackId(1_001), .. })));
    line.utterance(1);
    let request = line.turn_started();
    assert_eq!((request.turn, request.history), (TurnId(1_001), kept().history));
}

#[test]
fn the_time_before_counts_and_so_do_the_turns() {
    let config = Config { max_call: Duration::from_mins(11), max_turns: 3, ..Config::default() };
    let mut line = Timeline::ringing(|now| Call::take_back(now, config.clone(), kept()));
    line.finish_playback();
    line.utterance(1);
    assert!(line.find(|command| matches!(command, Command::Synthesize { kind: PlaybackKind::Goodbye, .. })));
    let line = Timeline::ringing(|now| Call::take_back(now, config, Kept { turns: 0, ..kept() }));
    let limit = line.now + Duration::from_mins(1);
    assert!(line.call.next_timeout().is_some_and(|at| at <= limit));
}

#[test]
fn a_call_that_was_handed_over_is_left_alone_until_nobody_takes_it() {
    let mut line = Timeline::ringing(|now| Call::hand_over_again(now, Config::default(), 1_000));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Transferred });
    assert!(line.played().is_empty());
    line.event(Event::TransferFailed { reason: TransferFailure::NoAnswer });
    line.run_until_idle_for(ms(4_000));
    assert_eq!(line.playback_kinds(), [PlaybackKind::Goodbye]);
}

#[test]
fn what_an_interruption_has_cut_off_is_remembered_as_far_as_it_was_heard() {
    let mut line = Timeline::speaking("One two three four five six seven eight nine ten.", ms(5_000));
    line.wait(ms(2_500));
    line.event(Event::SpeechStarted);
    let heard = line.interrupted().1;
    line.event(Event::SpeechEnded);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    let memory: Vec<_> = line.call.memory().into_iter().map(|message| message.content).collect();
    assert_eq!(memory[memory.len() - 2..], ["a question".to_owned(), heard]);
}
