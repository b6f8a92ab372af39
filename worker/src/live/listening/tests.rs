//! A whole stream against a recogniser in memory.

use std::sync::Mutex;

use futures::stream;
use voice_audio::wav;

use super::*;
use crate::{
    live::audio::tests::{MULAW, silence, voice},
    ports::{Need, Stretch, Transcribe},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Hears a word in each half second, and notes how much it was given.
#[derive(Default)]
struct Ear {
    passes: Mutex<Vec<(Need, Duration)>>,
}

impl Transcribe for Ear {
    fn transcribe<'a>(
        &'a self,
        wav: Bytes,
        _: Option<&'a str>,
        _: Duration,
        need: Need,
    ) -> Work<'a, Result<Vec<Stretch>, TurnError>> {
        let duration = wav::read(&wav).unwrap().duration();
        self.passes.lock().unwrap().push((need, duration));
        let words: Vec<String> = (0..duration.as_millis() / 500).map(|n| format!("w{n}")).collect();
        Box::pin(async move {
            // Audio comes meanwhile.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            Ok(vec![Stretch { text: words.join(" "), ..Stretch::default() }])
        })
    }
}

impl Ear {
    fn passes(&self, need: Need) -> usize {
        self.passes.lock().unwrap().iter().filter(|(of, _)| *of == need).count()
    }
}

/// Audio in pieces, as it comes from a call, then a flush.
fn spoken(audio: &[u8]) -> impl Stream<Item = Result<Input, Error>> + Unpin + use<> {
    let pieces: Vec<_> = audio.chunks(800).map(|piece| Input::Audio(Bytes::copy_from_slice(piece))).collect();
    let all = pieces.into_iter().chain([Input::Flush(1)]);
    Box::pin(stream::iter(all).then(async |input| {
        tokio::task::yield_now().await;
        Ok(input)
    }))
}

fn listening<S: Stream<Item = Result<Input, Error>> + Unpin>(
    ear: &Arc<Ear>,
    partials: Option<u32>,
    input: S,
) -> Listening<S> {
    Listening::new(Recogniser::new(ear.clone(), false), Partials::new(partials), MULAW, None, true, input)
}

/// Everything that is heard.
async fn words<S: Stream<Item = Result<Input, Error>> + Unpin>(
    mut listening: Listening<S>,
) -> Result<Vec<Transcript>, Error> {
    let mut words = Vec::new();
    while let Some(heard) = listening.next().await? {
        match heard {
            Heard::Words(transcript) => words.push(transcript),
            Heard::Complete => {}
        }
    }
    Ok(words)
}

#[tokio::test]
async fn words_come_early_stay_and_are_complete_in_the_end() {
    let ear = Arc::new(Ear::default());
    let audio = [voice(MS(3_000)), silence(MS(400))].concat();
    let told = words(listening(&ear, Some(1_000), spoken(&audio))).await.unwrap();
    let texts: Vec<_> = told.iter().map(|words| &words.text[..]).collect();
    assert_eq!(texts[0], "w0", "{texts:?}");
    assert!(told.len() >= 4, "{texts:?}");
    for pair in told.windows(2) {
        let stable: String = pair[0].text.chars().take(pair[0].stable_length).collect();
        assert!(pair[1].text.starts_with(&stable), "{texts:?}");
    }
    let last = &told[told.len() - 1];
    assert_eq!((&last.text[..], last.is_final), ("w0 w1 w2 w3 w4 w5", true));
    assert_eq!(last.audio_duration, MS(3_400));
    let flushed = &told[told.len() - 2];
    assert_eq!((flushed.flush_id, &flushed.text), (Some(1), &last.text));
    assert_eq!(ear.passes(Need::Awaited), 1, "the end has the words of the flush: {:?}", ear.passes);
}

#[tokio::test]
async fn a_process_that_has_spent_its_means_makes_fewer_passes_and_loses_nothing() {
    let audio = [voice(MS(6_000)), silence(MS(400))].concat();
    for (partials, wanted) in [(None, 0), (Some(1), 1), (Some(1_000), 6)] {
        let ear = Arc::new(Ear::default());
        let told = words(listening(&ear, partials, spoken(&audio))).await.unwrap();
        assert!(told.last().unwrap().text.ends_with("w11"));
        assert_eq!((ear.passes(Need::Partial), ear.passes(Need::Awaited)), (wanted, 1), "{:?}", ear.passes);
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let never = stream::pending();
    let mut listening = listening(&Arc::default(), None, spoken(&silence(MS(300))).chain(never));
    listening.patience = MS(50);
    listening.idle.as_mut().reset(Instant::now());
    let error = words(listening).await.unwrap_err();
    assert!(matches!(error, Error::Idle(limit) if limit == MS(50)), "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_the_audio_ends_the_stream() {
    let long = stream::iter([Ok(Input::Audio(Bytes::from(vec![0; 4_001])))]);
    let error = words(listening(&Arc::default(), None, long)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidField { field: "audio", .. }), "{error}");
}
