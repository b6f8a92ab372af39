//! A line of live audio, which leaves it to the call when an utterance is over.

use std::time::{Duration, Instant};

use super::{
    message,
    timeline::{Timeline, ms},
};
use crate::{
    ClipId, Command, Completeness, Config, DismissReason, EndpointReason, Event, Notice, PlaybackKind,
    Progress, Recogniser, Role, SayOutcome, SpeculationOutcome, TurnId, UtteranceId,
};

/// What the VAD takes to be sure of a pause.
const HANGOVER: Duration = Duration::from_millis(100);

fn live(config: &mut Config) {
    config.can_seek = true;
    config.filler_after = ms(1_000);
}

fn eager(config: &mut Config) {
    live(config);
    config.speculation = true;
}

impl Timeline {
    /// Greeted, and listening.
    fn listening(change: impl FnOnce(&mut Config)) -> Self {
        let mut line = Self::answered_with(change);
        line.finish_playback();
        line
    }

    /// In the middle of a reply of one clip, after `played` of its 5 s.
    fn replying(change: impl FnOnce(&mut Config), text: &str, played: Duration) -> Self {
        let mut line = Self::listening(change);
        line.says(1, ms(1_000));
        line.wait(ms(400));
        line.ended(1);
        line.progress(Progress::Transcript("a question".into()));
        line.progress(Progress::ReplyDelta(text.into()));
        line.resolve_clips(Some(ms(5_000)));
        line.start_playback();
        line.wait(played);
        line.commands.clear();
        line
    }

    /// The caller speaks for so long, and falls silent. Gives when.
    fn says(&mut self, utterance: u32, voiced: Duration) -> Instant {
        self.event(Event::SpeechStarted);
        self.wait(voiced);
        self.goes_quiet(utterance, voiced)
    }

    fn goes_quiet(&mut self, utterance: u32, voiced: Duration) -> Instant {
        let silent_since = self.now;
        self.wait(HANGOVER);
        self.event(Event::SpeechPaused { utterance: UtteranceId(utterance), silent_since, voiced });
        self.wait(Duration::ZERO);
        silent_since
    }

    fn transcribed(&mut self, utterance: u32, text: &str) {
        self.event(Event::Transcribed { utterance: UtteranceId(utterance), text: text.into() });
    }

    /// The line has ended the utterance as it was told to.
    fn ended(&mut self, utterance: u32) {
        assert!(self.find(|command| *command == Command::EndUtterance), "it was not told to");
        self.event(Event::SpeechEnded);
        self.event(Event::UtteranceEnded { utterance: UtteranceId(utterance) });
    }

    /// How long after `since` the call gives a command.
    fn until(&mut self, since: Instant, wanted: impl Fn(&Command) -> bool) -> Duration {
        self.commands.clear();
        for _ in 0..1_000 {
            if self.find(&wanted) {
                return self.now - since;
            }
            self.wait(ms(10));
        }
        panic!("it never does");
    }

    fn is_settled(&self, wanted: SpeculationOutcome) -> bool {
        self.find(|command| {
            matches!(command, Command::Report(Notice::SpeculationSettled { outcome, .. }) if *outcome == wanted)
        })
    }

    fn is_repaired(&self) -> bool {
        self.find(|command| matches!(command, Command::Report(Notice::InterruptionRepaired { .. })))
    }

    fn starts(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::StartTurn(_))).count()
    }
}

fn is_play(command: &Command) -> bool {
    matches!(command, Command::Play { .. })
}

fn is_end(command: &Command) -> bool {
    *command == Command::EndUtterance
}

#[test]
fn a_short_silence_ends_words_that_sound_finished_and_a_long_one_those_that_do_not() {
    for (words, silence, reason) in [
        ("", ms(500), EndpointReason::ShortSilence),
        ("What are your hours?", ms(500), EndpointReason::ShortSilence),
        ("My number is", ms(1_200), EndpointReason::LongSilence),
        ("It is five five", ms(1_200), EndpointReason::LongSilence),
    ] {
        let mut line = Timeline::listening(live);
        line.event(Event::SpeechStarted);
        line.wait(ms(1_000));
        line.hears(words);
        let quiet = line.now;
        line.goes_quiet(1, ms(1_000));
        assert_eq!(line.until(quiet, is_end), silence, "{words}");
        let ended = Command::Report(Notice::SpeechEnded { reason, silence });
        assert!(line.find(|command| *command == ended), "{words}");
    }
}

#[test]
fn words_that_come_within_the_silence_and_whoever_judges_them_are_believed() {
    let mut line = Timeline::listening(live);
    let quiet = line.says(1, ms(1_000));
    line.wait(ms(200));
    line.hears("I would like to");
    assert_eq!(line.until(quiet, is_end), ms(1_200));

    let mut line = Timeline::listening(live);
    let quiet = line.says(1, ms(1_000));
    line.event(Event::PartialHeard {
        text: "It is done.".into(),
        stable: 11,
        source: Recogniser::Worker,
        completeness: Some(Completeness::Hesitant),
    });
    assert_eq!(line.until(quiet, is_end), ms(1_200));
}

#[test]
fn words_before_a_breath_say_nothing_of_those_after_it() {
    let mut line = Timeline::listening(live);
    line.says(1, ms(1_000));
    line.hears("A table for two and");
    line.wait(ms(300));
    line.event(Event::SpeechResumed);
    line.wait(ms(900));
    let quiet = line.goes_quiet(1, ms(1_900));
    assert_eq!(line.until(quiet, is_end), ms(500));
}

#[test]
fn a_breath_ends_nothing() {
    let mut line = Timeline::listening(live);
    line.says(1, ms(1_000));
    line.wait(ms(300));
    line.event(Event::SpeechResumed);
    line.wait(ms(3_000));
    assert!(!line.find(is_end));
    line.goes_quiet(1, ms(4_000));
    line.wait(ms(400));
    line.ended(1);
    assert_eq!(line.turn_started().utterances, [UtteranceId(1)]);
}

#[test]
fn a_click_in_quiet_is_no_turn() {
    let mut line = Timeline::listening(eager);
    line.says(1, ms(60));
    line.wait(ms(400));
    assert!(line.find(|command| *command == Command::DropUtterance));
    assert_eq!(line.starts(), 0);
    line.commands.clear();
    line.says(2, ms(900));
    assert_eq!(line.turn_started().utterances, [UtteranceId(2)]);
}

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

#[test]
fn a_clip_is_played_while_it_is_made_and_ends_when_it_is_whole() {
    let mut line = Timeline::in_turn_with(live);
    line.progress(Progress::Transcript("a question".into()));
    line.progress(Progress::ReplyDelta("One two three four five six seven eight nine ten. ".into()));
    let grew =
        |duration, is_complete| Event::ClipGrew { clip: ClipId(2), duration: ms(duration), is_complete };
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
    line.event(Event::ClipGrew { clip: ClipId(2), duration: ms(400), is_complete: false });
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
