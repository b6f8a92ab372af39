//! Clips that are played while they are made, and what was heard of them.

use super::*;
use crate::{ClipId, PlaybackKind};

#[test]
fn a_clip_is_played_while_it_is_made_and_ends_when_it_is_whole() {
    let mut line = Timeline::in_turn_with(live);
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("One two three four five six seven eight nine ten. ".into()));
    let grew = |duration, is_complete| grown(ClipId(2), ms(duration), is_complete);
    line.clip_known(ClipId(2), ms(100));
    line.event(grew(100, false));
    assert!(line.find(is_play));
    line.start_playback();
    assert_eq!(line.timings().iter().filter(|part| part.name == "tts").count(), 1);
    for n in 1..=30 {
        line.wait(ms(100));
        line.event(grew(100 + n * 100, n == 30));
    }
    line.event(Event::SpeechStarted);
    let heard = line.interrupted().1;
    assert!(heard.ends_with("nine") || heard.ends_with("ten."), "3.0 of 3.1 s were heard: {heard}");
}

#[test]
fn no_more_is_heard_of_a_clip_than_there_is_of_it_and_one_that_stops_growing_ends() {
    let mut line = Timeline::in_turn_with(live);
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("One two three four five six seven eight nine ten. ".into()));
    line.clip_known(ClipId(2), ms(400));
    line.event(grown(ClipId(2), ms(400), false));
    line.start_playback();
    line.wait(ms(2_000));
    line.event(Event::SpeechStarted);
    assert!(line.interrupted().1.split(' ').count() <= 2, "{}", line.interrupted().1);
    line.stop_confirmed();
    line.event(Event::SpeechAbandoned);
    line.start_playback();
    let begun = line.now;
    let over = line.until(begun, |command| {
        matches!(command, Command::Report(Notice::PlaybackFinished { kind: PlaybackKind::Reply, .. }))
    });
    assert!(over <= ms(3_000), "{over:?}");
}

#[test]
fn marks_of_the_line_correct_what_was_heard() {
    let mut line = Timeline::replying(live, "One two three four five six seven eight nine ten. ", ms(3_000));
    let playback = line.last_playback();
    line.event(Event::PlaybackReached { playback, position: ms(800) });
    line.event(Event::SpeechStarted);
    assert_eq!(line.interrupted().1, "One");
}

#[test]
fn clips_are_forgotten_once_nobody_can_need_them() {
    let mut line = Timeline::replying(live, "One two three four five. ", ms(2_000));
    let forgets = |line: &Timeline, clip| {
        line.find(
            |command| matches!(command, Command::ForgetClips { clips } if clips.contains(&ClipId(clip))),
        )
    };
    line.event(Event::SpeechStarted);
    line.hears("Please stop");
    assert!(!forgets(&line, 2), "it may go on yet");
    line.stop_confirmed();
    line.goes_quiet(2, ms(800));
    line.wait(ms(400));
    line.ended(2);
    line.progress(Progress::Transcript("Please stop.".into()));
    assert!(forgets(&line, 2));
    line.progress(Progress::ReplyDelta("All right. ".into()));
    line.make_clips();
    assert!(!forgets(&line, 3));
    line.finish_playback();
    assert!(forgets(&line, 3));
}

#[test]
fn where_a_clip_is_silent_tells_how_far_it_was_heard() {
    let heard = |silence: Option<std::ops::Range<u64>>| {
        let mut line = Timeline::in_turn_with(live);
        line.progress(Progress::Transcript("a question".into()));
        line.progress(Progress::ReplyDelta("One two three, four five six seven eight nine. ".into()));
        line.clip_known(ClipId(2), ms(4_000));
        let silences = silence.into_iter().map(|silence| ms(silence.start)..ms(silence.end)).collect();
        line.event(Event::ClipGrew { clip: ClipId(2), duration: ms(4_000), is_complete: true, silences });
        line.start_playback();
        line.wait(ms(1_500));
        line.event(Event::SpeechStarted);
        line.interrupted().1
    };
    assert_eq!(heard(None), "One two three,");
    assert_eq!(heard(Some(1_600..1_750)), "One two", "he says them slowly");
}
