//! Speech with engines that do as they are told.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::{self, BoxStream};

use super::*;
use crate::{
    error::EngineError,
    ports::{Engine, Sound, Voice},
};

/// Speaks tones of 20 ms a character, or fails in its way.
struct Tone {
    name: &'static str,
    fault: Option<Fault>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Refuses,
    BreaksOff,
    IsSilent,
}

impl Engine for Tone {
    fn name(&self) -> &'static str {
        self.name
    }
    fn max_chars(&self) -> usize {
        40
    }
    fn default_voice(&self) -> &'static str {
        "default"
    }
    fn voices(&self) -> Vec<Voice> {
        Vec::new()
    }
    fn speak(&self, text: &str, _: &str, _: &str) -> BoxStream<'static, Result<Sound, EngineError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let level = if self.fault == Some(Fault::IsSilent) { 0.0 } else { 0.2 };
        let samples: Vec<f32> = (0..text.len() * 480).map(|n| level * (n as f32 * 0.1).sin()).collect();
        let mut sounds = vec![Ok(Sound::Rate(24_000)), Ok(Sound::Samples(samples))];
        match self.fault {
            Some(Fault::Refuses) => sounds = vec![Err(EngineError::new("no"))],
            Some(Fault::BreaksOff) => sounds.push(Err(EngineError::new("cut"))),
            Some(Fault::IsSilent) | None => {}
        }
        stream::iter(sounds).boxed()
    }
}

struct Setup {
    synthesis: Synthesis,
    asked: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

fn setup(fault: Option<Fault>) -> Setup {
    let asked = Arc::new(AtomicUsize::new(0));
    let folder = tempfile::tempdir().unwrap();
    let clips = Clips::open(&folder.path().display().to_string(), &"secret".to_owned().into()).unwrap();
    let engines = Engines::new(vec![
        Box::new(Tone { name: "first", fault, asked: asked.clone() }),
        Box::new(Tone { name: "second", fault: None, asked: Arc::default() }),
    ]);
    Setup { synthesis: Synthesis::new(engines, clips, Transcoder::native()), asked, _folder: folder }
}

fn speech(text: &str) -> Speech {
    Speech::new(text, String::new(), String::new()).unwrap()
}

#[tokio::test]
async fn a_clip_is_as_long_as_it_says_and_is_made_once() {
    let setup = setup(None);
    let text = speech("Hello there.");
    let (one, two) = tokio::join!(setup.synthesis.clip(&text), setup.synthesis.clip(&text));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.is_cached, two.is_cached), (false, true));
    assert_eq!(Clip { is_cached: true, ..one.clone() }, two);
    assert_eq!(setup.asked.load(Ordering::SeqCst), 1);
    let file = setup.synthesis.clips.get(&one.filename).await.unwrap();
    assert_eq!(wav::read(&file).unwrap().duration(), one.duration);
    assert!(
        one.duration.abs_diff(Duration::from_millis(240)) < Duration::from_millis(70),
        "{:?}",
        one.duration
    );
}

#[tokio::test]
async fn whatever_the_first_engine_does_the_second_speaks_the_whole_clip() {
    for fault in [Fault::Refuses, Fault::BreaksOff, Fault::IsSilent] {
        let broken = setup(Some(fault));
        let clip = broken.synthesis.clip(&speech("Hello there.")).await.unwrap();
        assert_eq!(clip.engine, "second");
        assert_ne!(
            clip.filename,
            broken.synthesis.name(0, &speech("Hello there.")),
            "it has a name of its own"
        );
    }
}

#[tokio::test]
async fn an_engine_that_keeps_failing_is_not_asked_at_every_clause() {
    let setup = setup(Some(Fault::Refuses));
    for n in 0..10 {
        setup.synthesis.clip(&speech(&format!("Clause {n}."))).await.unwrap();
    }
    assert_eq!(setup.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_stream_begins_with_who_speaks_and_goes_on_with_the_next_engine() {
    let text = "This is the first sentence here. And this is the second sentence.";
    for (fault, engine) in
        [(None, "first"), (Some(Fault::Refuses), "second"), (Some(Fault::BreaksOff), "first")]
    {
        let setup = setup(fault);
        let format = Format { is_mulaw: true, rate: 8_000 };
        let all: Vec<_> = setup.synthesis.stream(speech(text), format).map(Result::unwrap).collect().await;
        assert_eq!(all[0], Streamed::Started { engine });
        let bytes: usize =
            all.iter().map(|item| if let Streamed::Audio(audio) = item { audio.len() } else { 0 }).sum();
        let wanted = (text.len() - 1) * 160;
        assert!(bytes.abs_diff(wanted) < 400, "{bytes} instead of {wanted}: nothing twice, nothing left out");
    }
}

#[test]
fn texts_without_words_and_texts_without_end_are_refused() {
    for text in ["", "***", "\u{1F600}", &"x".repeat(4_001)] {
        let error = Speech::new(text, String::new(), String::new()).unwrap_err();
        assert!(matches!(error, Error::InvalidField { field: "text", .. }));
    }
}
