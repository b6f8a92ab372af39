//! Decisions, without a recogniser.

use super::*;
use crate::live::audio::tests::{MULAW, silence, voice};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A dictation with a clock of its own, and what it was told to do.
struct Script {
    dictation: Dictation,
    now: Instant,
}

impl Script {
    fn new(wants_partials: bool) -> Self {
        Self { dictation: Dictation::new(MULAW, wants_partials), now: Instant::now() }
    }

    /// Says something; pieces are as they come from a call.
    fn say(&mut self, audio: &[u8]) -> Vec<String> {
        let mut steps = Vec::new();
        for piece in audio.chunks(800) {
            self.dictation.hear(piece).unwrap();
            self.now += MS(100);
            steps.extend(self.steps());
        }
        steps
    }

    fn flush(&mut self, id: i32) -> Vec<String> {
        self.dictation.flush(id).unwrap();
        self.steps()
    }

    fn close(&mut self) -> Vec<String> {
        self.dictation.close();
        self.steps()
    }

    fn heard(&mut self, text: &str) -> Vec<String> {
        self.dictation.finish(Ok(text.to_owned()), self.now);
        self.steps()
    }

    fn failed(&mut self, retry_after: Option<Duration>) -> Vec<String> {
        let error = TurnError { retry_after, ..TurnError::passing("STT_UNAVAILABLE", "500") };
        self.dictation.finish(Err(error), self.now);
        self.steps()
    }

    /// Everything that is to be done by now, done.
    fn steps(&mut self) -> Vec<String> {
        let mut steps = Vec::new();
        loop {
            let told = match self.dictation.step(self.now) {
                Step::TryPass => {
                    self.dictation.begin();
                    "try".to_owned()
                }
                Step::Pass => {
                    self.dictation.begin();
                    "pass".to_owned()
                }
                Step::Hurry => "hurry".to_owned(),
                Step::Tell(words) => {
                    let stable: String = words.text.chars().take(words.stable_length).collect();
                    let rest: String = words.text.chars().skip(words.stable_length).collect();
                    let flush = words.flush_id.map(|id| format!(" flush {id}")).unwrap_or_default();
                    let end = if words.is_final { " final" } else { "" };
                    format!("{stable}|{rest}{flush}{end}")
                }
                Step::Fail(error) => format!("fail {}", error.reason),
                Step::Wait => return steps,
                Step::End => {
                    steps.push("end".to_owned());
                    return steps;
                }
            };
            steps.push(told);
        }
    }
}

fn seconds(seconds: f64) -> Vec<u8> {
    voice(Duration::from_secs_f64(seconds))
}

#[test]
fn words_come_while_somebody_speaks_one_pass_at_a_time_and_the_last_one_is_the_final_one() {
    let mut script = Script::new(true);
    assert_eq!(script.say(&seconds(1.0)), ["try"]);
    assert!(script.say(&seconds(2.0)).is_empty(), "one pass at a time");
    assert_eq!(script.heard("I want a"), ["|I want a", "try"]);
    assert_eq!(script.heard("I want a table for"), ["I want a| table for"]);
    assert_eq!(script.say(&seconds(1.0)), ["try"]);
    assert!(script.say(&silence(MS(200))).is_empty());
    // The pass began before the end of speech.
    assert_eq!(script.close(), ["pass"]);
    assert_eq!(script.heard("I want a table for two."), ["I want a table for two.| final", "end"]);
}

#[test]
fn a_pass_is_not_made_for_silence_alone() {
    let mut script = Script::new(true);
    script.say(&seconds(1.0));
    script.heard("Hello");
    assert!(script.say(&silence(Duration::from_secs(3))).is_empty());
    assert_eq!(script.flush(1), ["pass"]);
    assert_eq!(script.heard("Hello."), ["Hello|. flush 1"]);
    assert!(script.say(&silence(Duration::from_secs(3))).is_empty());
    assert_eq!(script.flush(2), ["Hello|. flush 2"], "nothing was said since");
    assert_eq!(script.close(), ["Hello.| final", "end"]);
}

#[test]
fn nothing_is_asked_where_nobody_speaks() {
    let mut script = Script::new(true);
    assert!(script.say(&silence(Duration::from_secs(2))).is_empty());
    assert_eq!(script.say(&voice(MS(100))), [""; 0], "a click is no word");
    assert_eq!(script.flush(1), ["| flush 1"]);
    assert_eq!(script.close(), ["| final", "end"]);
    assert_eq!(Script::new(false).close(), ["| final", "end"]);
}

#[test]
fn a_flush_takes_a_pass_that_is_under_way_if_nothing_was_said_since() {
    let mut script = Script::new(true);
    assert_eq!(script.say(&[seconds(0.6), silence(MS(100)), seconds(0.1)].concat()), ["try"]);
    script.say(&silence(MS(100)));
    // What was being recognised when it began lacked the end of the last sound.
    assert_eq!(script.flush(1), ["pass"]);
    script.say(&silence(MS(300)));
    assert_eq!(script.flush(2), [""; 0], "the same pass answers both");
    assert_eq!(script.heard("Hello."), ["|Hello. flush 1", "|Hello. flush 2"]);
    let mut script = Script::new(true);
    script.say(&seconds(0.6));
    assert_eq!(script.say(&[silence(MS(100)), seconds(0.1), silence(MS(100))].concat()), ["try"]);
    script.say(&silence(MS(200)));
    assert_eq!(script.flush(1), ["pass"]);
}

#[test]
fn words_that_come_while_a_flush_waits_do_not_make_it_wait_longer() {
    let mut script = Script::new(false);
    script.say(&[seconds(1.0), silence(MS(100))].concat());
    assert_eq!(script.flush(1), ["pass"]);
    assert!(script.say(&seconds(1.0)).is_empty(), "he goes on");
    assert_eq!(script.heard("Hello"), ["|Hello flush 1"]);
    script.say(&silence(MS(100)));
    assert_eq!(script.flush(2), ["pass"]);
    assert!(script.say(&seconds(0.5)).is_empty());
    script.say(&silence(MS(100)));
    assert_eq!(script.flush(3), ["pass"], "a newer pass takes the place of the one under way");
    assert_eq!(script.heard("Hello there"), ["Hello| there flush 2", "Hello| there flush 3"]);
}

#[test]
fn a_pass_that_fails_unawaited_is_followed_by_a_rest_and_costs_nothing_else() {
    let mut script = Script::new(true);
    assert_eq!(script.say(&seconds(1.0)), ["try"]);
    assert!(script.failed(None).is_empty());
    assert!(script.say(&seconds(1.9)).is_empty());
    assert_eq!(script.say(&seconds(0.2)), ["try"]);
    assert!(script.failed(Some(Duration::from_secs(30))).is_empty());
    assert!(script.say(&seconds(10.0)).is_empty());
    script.say(&silence(MS(100)));
    assert_eq!(script.flush(1), ["pass"]);
    assert_eq!(script.heard("Hello."), ["|Hello. flush 1"]);
}

#[test]
fn a_pass_that_began_unawaited_and_fails_is_asked_anew_for_who_waits() {
    let mut script = Script::new(true);
    script.say(&[seconds(0.6), silence(MS(200))].concat());
    assert_eq!(script.say(&voice(MS(100))), ["try"]);
    script.dictation.close();
    assert_eq!(script.steps(), ["hurry"]);
    assert_eq!(script.failed(None), ["pass"]);
    assert_eq!(script.failed(None), ["fail STT_UNAVAILABLE", "end"]);
}

#[test]
fn flushes_count_up_and_do_not_pile_up() {
    let mut script = Script::new(false);
    script.say(&seconds(1.0));
    assert!(script.dictation.flush(0).is_err());
    for id in 1..=16 {
        script.dictation.flush(id).unwrap();
    }
    assert!(script.dictation.flush(16).unwrap_err().to_string().contains("does not follow"));
    assert!(script.dictation.flush(17).unwrap_err().to_string().contains("wait"));
}

#[test]
fn without_partials_nothing_is_told_before_it_is_asked_for() {
    let mut script = Script::new(false);
    assert!(script.say(&seconds(20.0)).is_empty());
    assert_eq!(script.close(), ["pass"]);
    assert_eq!(script.heard("A long story."), ["A long story.| final", "end"]);
}
