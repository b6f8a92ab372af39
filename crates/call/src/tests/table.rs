//! State × Event as a table, for people to read and for changes to show in.

use std::fmt::Write as _;

use super::timeline::{Timeline, ms};
use crate::{Command, Event, Notice, PlaybackId, Progress, TurnId, UtteranceId};

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
        ("thinking", Timeline::in_turn),
        ("speaking", || Timeline::speaking("One two three four.", ms(2_000))),
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

fn events(line: &Timeline) -> Vec<(&'static str, Event)> {
    let turn = TurnId(1);
    let playback = line.last_playback();
    let progress = |progress| Event::TurnProgressed { turn, progress };
    vec![
        ("Answered", Event::Answered),
        ("SpeechStarted", Event::SpeechStarted),
        ("SpeechAbandoned", Event::SpeechAbandoned),
        ("SpeechEnded", Event::SpeechEnded),
        ("UtteranceEnded", Event::UtteranceEnded { utterance: UtteranceId(7) }),
        ("Transcript", progress(Progress::Transcript("words".into()))),
        ("ReplyDelta", progress(Progress::ReplyDelta("A clause. ".into()))),
        ("ReplyFinished", progress(Progress::ReplyFinished)),
        ("NothingSaid", progress(Progress::NothingSaid)),
        ("TurnFailed", Event::TurnFailed { turn, reason: "X".into() }),
        ("StaleTurnFailed", Event::TurnFailed { turn: TurnId(99), reason: "X".into() }),
        ("PlaybackFinished", Event::PlaybackFinished { playback }),
        ("StalePlaybackFinished", Event::PlaybackFinished { playback: PlaybackId(99) }),
        ("PlaybackFailed", Event::PlaybackFailed { playback }),
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
