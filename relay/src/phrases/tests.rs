//! Rounds of phrases, with a service that does as it is told.

use std::collections::HashSet;

use super::*;

fn assistants(text: &str) -> Assistants {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("assistants.toml");
    std::fs::write(&file, text).unwrap();
    Assistants::read(&file, &voice_call::Config::default(), crate::doors::Door::Recording).unwrap()
}

fn clip(engine: &str, is_cached: bool) -> Clip {
    Clip { url: String::new(), duration: PATIENCE, engine: engine.to_owned(), is_cached, is_fallback: false }
}

fn failure(is_final: bool) -> SpeechFailed {
    SpeechFailed { message: "no".to_owned(), is_final }
}

/// What a round asks for and how long it waits after each, while `answer` answers.
fn asked(
    assistants: &Assistants,
    mut answer: impl FnMut(usize, &str) -> Result<Clip, SpeechFailed>,
) -> Vec<(String, Duration)> {
    let mut round = Round::new(wanted(assistants), PACE);
    let mut all = Vec::new();
    while let Some(key) = round.next() {
        let made = answer(all.len(), &key.text);
        all.push((key.text.clone(), round.pause_after(key, made.as_ref())));
        assert!(all.len() < 1_000, "it does not end");
    }
    all
}

const PACE: Duration = Duration::from_secs(12);
const TWO: &str =
    "[default]\nfillers = ['One moment.', 'Let me see.']\n[contexts.office]\ngreeting_text = 'Office.'";

#[test]
fn the_most_important_come_first_and_each_comes_once() {
    let asked = asked(&assistants(TWO), |_, _| Ok(clip("groq", false)));
    let texts: Vec<_> = asked.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts[..2], ["Hello, thanks for calling. How can I help you?", "Office."]);
    assert!(texts[2].starts_with("Sorry") && texts[3] == "One moment.", "{texts:?}");
    assert_eq!(texts.iter().collect::<HashSet<_>>().len(), 8, "{texts:?}");
}

#[test]
fn only_what_a_metered_engine_really_made_is_paced() {
    for (engine, is_cached, pause) in
        [("groq", false, PACE), ("groq", true, Duration::ZERO), ("espeak-ng", false, Duration::ZERO)]
    {
        let asked = asked(&assistants(TWO), |_, _| Ok(clip(engine, is_cached)));
        assert!(asked.iter().all(|(_, waited)| *waited == pause), "{engine}, {is_cached}: {asked:?}");
    }
}

#[test]
fn a_service_that_is_away_is_asked_less_and_less_and_then_for_everything() {
    let asked =
        asked(&assistants(TWO), |n, _| if n < 20 { Err(failure(false)) } else { Ok(clip("groq", true)) });
    let (failed, made) = asked.split_at(20);
    assert!(failed.is_sorted_by_key(|(_, waited)| *waited), "{failed:?}");
    assert_eq!((failed[0].1, failed[19].1), (FIRST_RETRY, LONGEST_RETRY));
    assert_eq!(failed[0].0, failed[3].0, "the most important is tried again first");
    assert_ne!(failed[0].0, failed[4].0, "and does not hold up the others for ever");
    assert_eq!(made.iter().map(|(text, _)| text).collect::<HashSet<_>>().len(), 8);
}

#[test]
fn a_phrase_that_cannot_be_spoken_is_asked_for_once() {
    let all = assistants("[default]\ngreeting_text = '***'");
    let asked =
        asked(&all, |_, text| if text == "***" { Err(failure(true)) } else { Ok(clip("groq", true)) });
    assert_eq!(asked.iter().filter(|(text, _)| text == "***").count(), 1);
    assert_eq!(asked.len(), wanted(&all).len());
}

#[tokio::test]
async fn recorded_greetings_are_put_again_whenever_they_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let clips = Clips::open(&folder.path().display().to_string(), &"secret".to_owned().into()).unwrap();
    let filename = clips.name_for("recording", "", "greeting", "");
    for _ in 0..2 {
        let _ = std::fs::remove_file(folder.path().join(&filename));
        put_recorded(&clips, &[Recorded { filename: filename.clone(), file: "RIFF".into() }]).await;
        assert_eq!(clips.get(&filename).await.unwrap(), "RIFF");
    }
}
