//! What the language model asks for beside its words.

use super::timeline::{Timeline, asked, ms};
use crate::{
    Call, Command, Destination, EndReason, Event, Message, Notice, PlaybackKind, Progress, Role, State, Tool,
    ToolFailure, ToolOutcome, ToolUse, TransferFailure, TurnId, UtteranceId,
};

fn line_in_turn() -> Timeline {
    let mut line = Timeline::in_turn();
    line.progress(Progress::Transcript("a question".into()));
    line
}

/// A reply of one clause, and what is asked for after it.
fn replies(line: &mut Timeline, text: &str, tool: Tool) {
    line.progress(Progress::ReplyDelta(text.into()));
    line.asks(&[asked("call", tool)]);
    line.resolve_clips(Some(ms(2_000)));
    line.start_playback();
}

fn answered(line: &mut Timeline, answer: Result<&str, &'static str>) {
    let turn = line.turn_started().turn;
    let answer =
        answer.map(str::to_owned).map_err(|reason| ToolFailure { reason, message: "it \"broke\"".into() });
    line.event(Event::ToolAnswered { turn, tool_call: "call".into(), answer });
}

fn transfer() -> Tool {
    Tool::Transfer { target: "sales".into(), announcement: None }
}

fn is_handed_over(line: &Timeline) -> bool {
    let to = Destination::Target { name: "sales".into() };
    line.find(|command| *command == Command::Transfer { to: to.clone() })
}

fn hung_up(line: &Timeline) -> bool {
    line.find(|command| *command == Command::HangUp)
}

/// The results that the model is told with the newest request.
fn told(line: &Timeline) -> Vec<String> {
    let uses = line.turn_started().history.into_iter().flat_map(|message| message.tools);
    uses.map(|tool_use| tool_use.result).collect()
}

#[test]
fn the_call_ends_once_the_reply_was_heard_and_not_before() {
    let mut line = line_in_turn();
    replies(&mut line, "Goodbye, and thank you.", Tool::EndCall);
    assert!(!hung_up(&line));
    line.finish_playback();
    assert!(hung_up(&line));
    assert_eq!(line.call.state(), State::Ending { reason: EndReason::Assistant });
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Done, "")]);
    assert_eq!(line.playback_kinds().last(), Some(&PlaybackKind::Reply), "nothing is said after it");
}

#[test]
fn without_words_the_caller_is_told_goodbye_or_that_he_is_put_through() {
    for (tool, kind) in [(Tool::EndCall, PlaybackKind::Goodbye), (transfer(), PlaybackKind::Transfer)] {
        let mut line = Timeline::asking(tool.clone());
        line.make_clips();
        assert!(!hung_up(&line) && !is_handed_over(&line));
        assert_eq!(line.playback_kinds().last(), Some(&kind));
        line.finish_playback();
        assert_eq!((hung_up(&line), is_handed_over(&line)), (tool == Tool::EndCall, tool != Tool::EndCall));
    }
}

#[test]
fn whoever_speaks_over_the_reply_stays_and_a_mere_mhm_changes_nothing() {
    let mut line = line_in_turn();
    replies(&mut line, "I am putting you through to sales.", transfer());
    line.wait(ms(500));
    line.event(Event::SpeechStarted);
    line.hears("No, wait a moment");
    assert_eq!(line.tools_ended(), []);
    line.stop_confirmed();
    line.event(Event::SpeechEnded);
    line.event(Event::UtteranceEnded { utterance: UtteranceId(2) });
    line.progress(Progress::Transcript("no, wait a moment".into()));
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Cancelled, "")]);
    line.answer("Of course.");
    assert!(!is_handed_over(&line));

    let mut line = line_in_turn();
    replies(&mut line, "I am putting you through to sales.", transfer());
    line.wait(ms(500));
    line.event(Event::SpeechStarted);
    line.event(Event::SpeechAbandoned);
    line.stop_confirmed();
    line.finish_playback();
    assert!(is_handed_over(&line));
}

#[test]
fn a_call_that_nobody_takes_comes_back_and_the_model_knows() {
    let mut line = line_in_turn();
    replies(&mut line, "I am putting you through.", transfer());
    line.finish_playback();
    assert!(is_handed_over(&line));
    line.event(Event::TransferFailed { reason: TransferFailure::NoAnswer });
    line.make_clips();
    line.finish_playback();
    line.utterance(2);
    assert_eq!(told(&line), ["{\"error\":\"TRANSFER_FAILED\",\"message\":\"nobody answered\"}"]);
}

#[test]
fn what_the_model_wants_to_know_goes_into_another_request_of_the_same_turn() {
    let mut line = Timeline::asking(Tool::External);
    assert!(line.find(|command| matches!(command, Command::CallTool { call, .. } if call.id == "call")));
    let first = line.turn_started();
    answered(&mut line, Ok("{\"state\":\"shipped\"}"));
    let second = line.turn_started();
    assert_eq!((second.turn, second.round, second.may_use_tools), (first.turn, 1, true));
    assert!(second.utterances.is_empty() && second.earlier_text.is_empty());
    let call = asked("call", Tool::External).call;
    let tool_use = ToolUse { call, result: "{\"state\":\"shipped\"}".into() };
    let known = [
        Message { role: Role::User, content: "a question".into(), tools: Vec::new() },
        Message { role: Role::Assistant, content: String::new(), tools: vec![tool_use.clone()] },
    ];
    assert_eq!(second.history[second.history.len() - 2..], known);
    line.progress(Progress::Started);
    line.progress(Progress::ReplyDelta("It was shipped.".into()));
    line.progress(Progress::ReplyFinished);
    line.make_clips();
    line.finish_playback();
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Done, "")]);
    line.utterance(2);
    let history = line.turn_started().history;
    assert_eq!(history.last().unwrap().content, "It was shipped.");
    assert_eq!(history[history.len() - 2].tools, [tool_use], "it is known in later turns");
}

#[test]
fn a_tool_that_hangs_is_bridged_given_up_and_told_to_the_model() {
    let mut line = Timeline::asking(Tool::External);
    line.run_until_idle_for(ms(20_000));
    let fillers = line.playback_kinds().into_iter().filter(|kind| *kind == PlaybackKind::Filler).count();
    assert!(fillers >= 2, "{:?}", line.playback_kinds());
    assert!(line.find(|command| matches!(command, Command::CancelTool { .. })));
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Failed, "TOOL_TIMEOUT")]);
    assert_eq!(told(&line), ["{\"error\":\"TOOL_TIMEOUT\"}"]);
    assert_eq!(line.turn_started().round, 1);
}

#[test]
fn no_silence_is_longer_while_a_tool_is_at_work_than_while_a_model_is() {
    let mut line = Timeline::asking(Tool::External);
    let ended = line.now;
    line.run_until_idle_for(ms(7_500));
    let longest = line.silences_since(ended).into_iter().max().unwrap();
    assert!(longest <= ms(2_100), "{longest:?}");
}

#[test]
fn a_failure_and_a_refusal_are_told_and_the_turn_goes_on() {
    let mut line = Timeline::asking(Tool::External);
    answered(&mut line, Err("TOOL_FAILED"));
    assert_eq!(told(&line), ["{\"error\":\"TOOL_FAILED\",\"message\":\"it \\\"broke\\\"\"}"]);
    let line = Timeline::asking(Tool::Refused { reason: "TRANSFER_TARGET_UNKNOWN" });
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Refused, "TRANSFER_TARGET_UNKNOWN")]);
    assert_eq!(line.turn_started().round, 1);
    assert!(!line.find(|command| matches!(command, Command::CallTool { .. })));
}

#[test]
fn a_tool_may_tell_the_caller_how_it_goes() {
    let mut line = Timeline::asking(Tool::External);
    let turn = line.turn_started().turn;
    let words = "I have found your order, one moment.".to_owned();
    line.event(Event::ToolProgressed { turn, tool_call: "call".into(), words: words.clone() });
    line.make_clips();
    assert_eq!(line.played().last(), Some(&words));
    line.event(Event::ToolProgressed { turn, tool_call: "other".into(), words: "Nonsense.".into() });
    assert_eq!(line.pending_texts(), Vec::<&str>::new());
}

#[test]
fn a_caller_who_speaks_cancels_what_is_being_done_and_the_model_knows() {
    let mut line = Timeline::asking(Tool::External);
    line.utterance(2);
    assert!(line.find(|command| *command == Command::CancelTurn { turn: TurnId(1) }));
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Cancelled, "")]);
    assert!(told(&line)[0].contains("CANCELLED"), "{:?}", told(&line));
    assert_eq!(line.turn_started().round, 0);
    let late = Event::ToolAnswered { turn: TurnId(1), tool_call: "call".into(), answer: Ok("{}".into()) };
    line.event(late);
    assert_eq!(line.turn_started().turn, TurnId(2));
}

#[test]
fn nothing_is_done_for_a_guess_and_all_of_it_once_it_has_come_true() {
    let mut line = Timeline::answered_with(|config| config.speculation = true);
    line.finish_playback();
    line.event(Event::SpeechStarted);
    line.wait(ms(1_000));
    let paused = Event::SpeechPaused { utterance: UtteranceId(1), silent_since: line.now, voiced: ms(900) };
    line.event(paused);
    line.wait(ms(1));
    assert!(line.turn_started().is_speculative);
    line.progress(Progress::Transcript("Where is my order?".into()));
    line.asks(&[asked("call", Tool::External)]);
    let is_called = |line: &Timeline| line.find(|command| matches!(command, Command::CallTool { .. }));
    assert!(!is_called(&line));
    line.wait(ms(1_500));
    assert!(is_called(&line));
}

#[test]
fn keys_are_collected_until_there_are_enough_or_the_hash_or_nothing_more_comes() {
    let collect = Tool::CollectDigits { prompt: "Which number?".into(), most: 4 };
    for (keys, told_digits) in [("1234", "1234"), ("12#", "12"), ("1", "1"), ("", "")] {
        let mut line = Timeline::asking(collect.clone());
        line.make_clips();
        assert_eq!(line.played().last().map(String::as_str), Some("Which number?"));
        line.finish_playback();
        for digit in keys.chars() {
            line.event(Event::DigitPressed { digit });
        }
        line.run_until_idle_for(ms(13_000));
        assert_eq!(told(&line), [format!("{{\"digits\":\"{told_digits}\"}}")], "{keys}");
        assert!(line.find(|command| *command == Command::ExpectDigits { most: 4 }));
        assert!(line.find(|command| *command == Command::ExpectDigits { most: 1 }));
        let fillers = line.playback_kinds().into_iter().any(|kind| kind == PlaybackKind::Filler);
        assert!(!fillers || line.turn_started().round == 1, "nobody speaks to a caller who presses keys");
    }
}

#[test]
fn digits_are_dialled_after_the_reply() {
    let mut line = line_in_turn();
    replies(&mut line, "I am pressing two.", Tool::SendDigits { digits: "2".into() });
    let dialled = |line: &Timeline| line.find(|command| matches!(command, Command::SendDigits { .. }));
    assert!(!dialled(&line));
    line.finish_playback();
    assert!(dialled(&line));
}

#[test]
fn a_turn_asks_only_so_often() {
    let mut line = Timeline::asking(Tool::External);
    for round in 1.. {
        answered(&mut line, Ok("{}"));
        assert_eq!(line.turn_started().round, round);
        if !line.turn_started().may_use_tools {
            assert_eq!(round, 4);
            return;
        }
        line.progress(Progress::Started);
        line.asks(&[asked("call", Tool::External)]);
    }
}

#[test]
fn an_outside_end_cancels_what_is_being_done() {
    let mut line = Timeline::asking(Tool::External);
    line.ask(|call: &mut Call, now| call.handle(now, Event::EndRequested));
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Cancelled, "")]);
    let is_cancelled = |command: &Command| matches!(command, Command::Report(Notice::TurnCancelled { .. }));
    assert!(line.find(is_cancelled));
}

/// In the middle of a message of two pieces.
fn leaving_a_message() -> Timeline {
    let mut line = Timeline::asking(Tool::TakeMessage { prompt: "Please leave your message.".into() });
    line.make_clips();
    assert_eq!(line.played().last().map(String::as_str), Some("Please leave your message."));
    assert!(!line.find(|command| *command == Command::TakeMessage));
    line.finish_playback();
    assert!(line.find(|command| *command == Command::TakeMessage));
    line.utterance(2);
    line.wait(ms(2_000));
    line.utterance(3);
    assert_eq!(line.turn_started().turn, TurnId(1), "nobody answers in the middle of it");
    line
}

fn kept(line: &Timeline) -> Option<Vec<UtteranceId>> {
    line.commands.iter().find_map(|command| match command {
        Command::KeepMessage { utterances, .. } => Some(utterances.clone()),
        _ => None,
    })
}

#[test]
fn a_message_is_kept_whole_and_answered_once_it_is_over() {
    let pieces = vec![UtteranceId(2), UtteranceId(3)];
    let mut line = leaving_a_message();
    line.wait(ms(2_900));
    assert_eq!(kept(&line), None);
    line.wait(ms(200));
    assert_eq!(kept(&line), Some(pieces.clone()));
    let request = line.turn_started();
    assert_eq!((request.turn, request.utterances), (TurnId(2), pieces.clone()));
    assert!(told(&line)[0].contains("recorded"));
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Done, "")]);

    let mut line = leaving_a_message();
    line.event(Event::DigitPressed { digit: '#' });
    assert_eq!(kept(&line), Some(pieces.clone()));

    let mut line = leaving_a_message();
    line.event(Event::HungUp);
    assert_eq!(kept(&line), Some(pieces), "whoever hangs up has left it all the same");
}

#[test]
fn a_message_without_words_is_none_and_the_conversation_goes_on() {
    let mut line = Timeline::asking(Tool::TakeMessage { prompt: "Please leave your message.".into() });
    line.make_clips();
    line.finish_playback();
    line.run_until_idle_for(ms(30_000));
    assert_eq!(kept(&line), Some(Vec::new()));
    assert_eq!(line.tools_ended(), [("call", ToolOutcome::Failed, "MESSAGE_EMPTY")]);
    assert!(line.playback_kinds().contains(&PlaybackKind::NoInput));
}
