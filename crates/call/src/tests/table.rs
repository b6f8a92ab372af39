//! State × Event as a table, for people to read and for changes to show in.

use std::fmt::Write as _;

use super::{
    grown,
    timeline::{Timeline, asked, ms},
};
use crate::{
    Answerer, Call, ClipId, Command, Config, DialFailure, Event, Notice, PlaybackId, Progress, Recogniser,
    Tool, TransferFailure, TurnId, UtteranceId, Voicemail,
};

fn states() -> Vec<(&'static str, fn() -> Timeline)> {
    vec![
        ("greeting", Timeline::answered),
        ("listening", || {
            let mut line = Timeline::answered();
            line.finish_playback();
            line
        }),
        ("hearing", || {
            let mut line = Timeline::answered();
            line.finish_playback();
            line.event(Event::SpeechStarted);
            line
        }),
        ("pausing", || pausing(false)),
        ("speculating", || pausing(true)),
        ("thinking", Timeline::in_turn),
        ("asking outside", || Timeline::asking(Tool::External)),
        ("collecting", || {
            let mut line = Timeline::asking(Tool::CollectDigits { prompt: "Which number?".into(), most: 2 });
            line.make_clips();
            line
        }),
        ("speaking", || Timeline::speaking("One two three four.", ms(2_000))),
        ("interrupted", || {
            let mut line = Timeline::speaking("One two three four.", ms(2_000));
            line.wait(ms(1_000));
            line.event(Event::SpeechStarted);
            line
        }),
        ("handing over", || {
            let mut line = Timeline::answered();
            line.ask(|call, now| call.transfer(now, "+15553330000".into(), None)).unwrap();
            line
        }),
        ("on hold", on_hold),
        ("telling", || {
            let mut line = on_hold();
            line.event(Event::TargetAnswered);
            line
        }),
        ("joining", || {
            let mut line = on_hold();
            line.event(Event::TargetAnswered);
            line.event(Event::TargetTold);
            line
        }),
        ("dialling", || placed(|_| {})),
        ("screening", || placed(|line| line.event(Event::Answered))),
        ("awaiting tone", || {
            placed(|line| {
                line.event(Event::Answered);
                line.event(Event::AnswererDetected { answerer: Answerer::Machine });
            })
        }),
        ("ending", || {
            let mut line = Timeline::in_turn();
            line.event(Event::EndRequested);
            line
        }),
        ("ended", || {
            let mut line = Timeline::in_turn();
            line.event(Event::HungUp);
            line
        }),
    ]
}

/// A second of speech, and a pause that may be its end.
fn pausing(speculation: bool) -> Timeline {
    let mut line = Timeline::answered_with(|config| config.speculation = speculation);
    line.finish_playback();
    line.event(Event::SpeechStarted);
    line.wait(ms(1_000));
    line.event(paused(&line));
    line.wait(ms(1));
    line
}

/// Somebody is called whom the caller is to be handed to.
fn on_hold() -> Timeline {
    let mut line = Timeline::answered();
    line.finish_playback();
    line.ask(|call, now| call.transfer(now, "+15553330000".into(), Some("A call for you.".into()))).unwrap();
    line.make_clips();
    line
}

fn paused(line: &Timeline) -> Event {
    Event::SpeechPaused { utterance: UtteranceId(7), silent_since: line.now, voiced: ms(900) }
}

fn placed(then: impl FnOnce(&mut Timeline)) -> Timeline {
    let voicemail = Voicemail::LeaveMessage("Call us back.".into());
    let mut line = Timeline::ringing(|now| Call::place(now, Config::default(), voicemail, ms(30_000)));
    then(&mut line);
    line
}

fn events(line: &Timeline) -> Vec<(&'static str, Event)> {
    let turn = TurnId(1);
    let playback = line.newest_playback();
    let progress = |progress| Event::TurnProgressed { turn, progress };
    vec![
        ("Answered", Event::Answered),
        ("SpeechStarted", Event::SpeechStarted),
        ("SpeechPaused", paused(line)),
        ("SpeechResumed", Event::SpeechResumed),
        (
            "PartialHeard",
            Event::PartialHeard {
                text: "Wait a moment".into(),
                stable: 0,
                source: Recogniser::Worker,
                completeness: None,
            },
        ),
        ("Transcribed", Event::Transcribed { utterance: UtteranceId(7), text: "Wait a moment.".into() }),
        ("BackchannelHeard", Event::Transcribed { utterance: UtteranceId(7), text: "Mhm.".into() }),
        ("SpeechAbandoned", Event::SpeechAbandoned),
        ("SpeechEnded", Event::SpeechEnded),
        ("UtteranceEnded", Event::UtteranceEnded { utterance: UtteranceId(7) }),
        ("Transcript", progress(Progress::Transcript("words".into()))),
        ("ReplyDelta", progress(Progress::ReplyDelta("A clause. ".into()))),
        ("ReplyFinished", progress(Progress::ReplyFinished)),
        ("ToolsAsked", progress(Progress::ToolsAsked(vec![asked("other", Tool::EndCall)]))),
        (
            "ToolProgressed",
            Event::ToolProgressed { turn, tool_call: "call".into(), words: "One moment.".into() },
        ),
        ("ToolAnswered", Event::ToolAnswered { turn, tool_call: "call".into(), answer: Ok("{}".into()) }),
        ("DigitPressed", Event::DigitPressed { digit: '#' }),
        ("NothingSaid", progress(Progress::NothingSaid)),
        ("TurnFailed", Event::TurnFailed { turn, reason: "X".into() }),
        ("StaleTurnFailed", Event::TurnFailed { turn: TurnId(99), reason: "X".into() }),
        ("ClipGrew", grown(ClipId(2), ms(2_500), false)),
        ("PlaybackReached", Event::PlaybackReached { playback, position: ms(100) }),
        ("PlaybackFinished", Event::PlaybackFinished { playback }),
        ("StalePlaybackFinished", Event::PlaybackFinished { playback: PlaybackId(99) }),
        ("PlaybackFailed", Event::PlaybackFailed { playback }),
        ("DialFailed", Event::DialFailed { reason: DialFailure::Busy }),
        ("HumanDetected", Event::AnswererDetected { answerer: Answerer::Human }),
        ("MachineDetected", Event::AnswererDetected { answerer: Answerer::Machine }),
        ("MachineReady", Event::MachineReady),
        ("TransferConnected", Event::TransferConnected),
        ("TransferFailed", Event::TransferFailed { reason: TransferFailure::NoAnswer }),
        ("TargetAnswered", Event::TargetAnswered),
        ("TargetTold", Event::TargetTold),
        ("DrainStarted", Event::DrainStarted),
        ("EndRequested", Event::EndRequested),
        ("HungUp", Event::HungUp),
        ("LineFailed", Event::LineFailed),
    ]
}

fn name(command: &Command) -> Option<String> {
    let text = match command {
        Command::Report(Notice::StateChanged { .. }) => return None,
        Command::Report(notice) => format!("({notice:?})"),
        other => format!("{other:?}"),
    };
    Some(text.trim_start_matches('(').split([' ', '{', '(', ')']).next().unwrap_or_default().to_owned())
}

#[test]
fn every_state_has_an_answer_to_every_event() {
    let mut table = String::new();
    for (state, make) in states() {
        let _ = writeln!(table, "{state}");
        for (event_name, event) in events(&make()) {
            let mut line = make();
            line.commands.clear();
            line.event(event);
            let commands: Vec<_> = line.commands.iter().filter_map(name).collect();
            let after = match line.call.activity() {
                Some(activity) => format!("{activity:?}"),
                None => format!("{:?}", line.call.state()),
            };
            let row = format!("  {event_name:<22} -> {after:<34} {}", commands.join(", "));
            let _ = writeln!(table, "{}", row.trim_end());
        }
    }
    insta::assert_snapshot!(table);
}
