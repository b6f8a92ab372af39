//! Speech with engines that do as they are told.

use std::{sync::atomic::Ordering, time::Duration};

use futures::StreamExt as _;
use tokio::time::Instant;
use voice_audio::{mulaw, wav};

use voice_transcode::Transcoder;

use super::*;
use crate::scripted::{Act, MS_PER_CHAR, Scripted};

const TEXT: &str =
    "Good morning to you. We are open from nine to six today, and on sunday we are closed all day.";
const MULAW: Format = Format { is_mulaw: true, rate: 8_000 };

struct Setup {
    synthesis: Synthesis,
    first: Scripted,
    second: Scripted,
    _folder: tempfile::TempDir,
}

fn setup(first: Scripted, second: Scripted) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let clips = Clips::open(&folder.path().display().to_string(), &"secret".to_owned().into()).unwrap();
    let engines = Engines::new(vec![first.boxed(), second.boxed()]);
    Setup { synthesis: Synthesis::new(engines, clips, Transcoder::native()), first, second, _folder: folder }
}

fn pair(act: Act) -> Setup {
    setup(Scripted::new("first", act), Scripted::new("second", Act::Speaks))
}

fn speech(text: &str) -> Speech {
    Speech::new(text, Wish::default()).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn length_of(text: &str) -> Duration {
    Duration::from_millis((text.chars().count() * MS_PER_CHAR) as u64)
}

/// All chunks; they follow each other without a gap.
async fn heard(setup: &Setup, text: &str, format: Format) -> (&'static str, Vec<Chunk>) {
    let stream = of_speech(setup.synthesis.engines(), speech(text), format).unwrap();
    let mut all: Vec<Streamed> = stream.map(Result::unwrap).collect().await;
    let Streamed::Started { engine } = all.remove(0) else { panic!("{:?}", all[0]) };
    let chunks: Vec<Chunk> = all
        .into_iter()
        .map(|item| match item {
            Streamed::Audio(chunk) => chunk,
            other @ Streamed::Started { .. } => panic!("{other:?}"),
        })
        .collect();
    let mut end = Duration::ZERO;
    for chunk in &chunks {
        assert_eq!(chunk.start, end);
        let duration = voice_audio::duration_of(samples(chunk, format), format.rate);
        assert!(duration <= Duration::from_millis(500));
        end += duration;
    }
    (engine, chunks)
}

fn samples(chunk: &Chunk, format: Format) -> usize {
    chunk.audio.len() / if format.is_mulaw { 1 } else { 2 }
}

fn by(chunks: &[Chunk], engine: &str) -> Duration {
    let all = chunks.iter().filter(|chunk| chunk.engine == engine).map(|chunk| samples(chunk, MULAW));
    voice_audio::duration_of(all.sum(), 8_000)
}

#[tokio::test(start_paused = true)]
async fn a_clip_is_as_long_as_it_says_is_made_once_and_then_found() {
    let setup = pair(Act::Speaks);
    let text = speech("Hello there.");
    let (one, two) = tokio::join!(setup.synthesis.clip(&text, soon()), setup.synthesis.clip(&text, soon()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.is_cached, two.is_cached), (false, true));
    assert_eq!(Clip { is_cached: true, ..one.clone() }, two);
    assert_eq!(setup.first.asked().len(), 1);
    let file = setup.synthesis.clips.get(&one.filename).await.unwrap();
    assert_eq!(wav::read(&file).unwrap().duration(), one.duration);
    assert!(
        one.duration.abs_diff(length_of("Hello there.")) < Duration::from_millis(70),
        "{:?}",
        one.duration
    );
    assert!(setup.synthesis.flights.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_for_a_clip_leaves_it_to_the_next() {
    let mut first = Scripted::new("first", Act::Speaks);
    first.pace = Arc::new(tokio::sync::Semaphore::new(5));
    let setup = setup(first, Scripted::new("second", Act::Speaks));
    let text = speech("Hello there.");
    tokio::select! {
        biased;
        clip = setup.synthesis.clip(&text, soon()) => panic!("{clip:?}"),
        () = settled() => {}
    }
    assert_eq!(setup.first.live.load(Ordering::SeqCst), 0, "its request is dropped");
    assert!(setup.synthesis.flights.lock().unwrap().is_empty());
    setup.first.pace.add_permits(1_000);
    assert!(!setup.synthesis.clip(&text, soon()).await.unwrap().is_cached);
}

#[tokio::test(start_paused = true)]
async fn whatever_the_first_engine_does_the_second_speaks_the_whole_clip() {
    for act in [Act::Refuses, Act::BreaksOff(5), Act::IsSilent, Act::Hangs, Act::Stalls(5)] {
        let broken = pair(act);
        let clip = broken.synthesis.clip(&speech("Hello there."), soon()).await.unwrap();
        assert_eq!(clip.engine, "second");
        let preferred = pair(Act::Speaks).synthesis.clip(&speech("Hello there."), soon()).await.unwrap();
        assert_ne!(clip.filename, preferred.filename, "it has a name of its own");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_would_not_be_done_in_time_leaves_time_for_the_next() {
    let mut dribbling = Scripted::new("first", Act::Speaks);
    // Each piece comes soon enough, the whole does not.
    dribbling.pace = Arc::new(tokio::sync::Semaphore::new(1));
    let pace = dribbling.pace.clone();
    let setup = setup(dribbling, Scripted::new("second", Act::Speaks));
    let dribble = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            pace.add_permits(1);
        }
    };
    let deadline = Instant::now() + Duration::from_millis(900);
    let text = speech("Hello there.");
    let clip = tokio::select! {
        clip = setup.synthesis.clip(&text, deadline) => clip.unwrap(),
        () = dribble => unreachable!(),
    };
    assert_eq!(clip.engine, "second");
    assert!(Instant::now() < deadline);
    assert_eq!(setup.first.live.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_says_the_text_in_clauses_each_with_its_span() {
    let setup = pair(Act::Speaks);
    let (engine, chunks) = heard(&setup, TEXT, MULAW).await;
    assert_eq!(engine, "first");
    let mut spans: Vec<_> = chunks.iter().map(|chunk| chunk.span.clone()).collect();
    spans.dedup();
    assert_eq!(spans, [0..20, 21..TEXT.len()]);
    assert_eq!(setup.first.asked(), [&TEXT[..20], &TEXT[21..]]);
    let wanted = length_of(&TEXT[1..]) + Duration::from_millis(150);
    assert!(by(&chunks, "first").abs_diff(wanted) < Duration::from_millis(60));
}

#[tokio::test]
async fn both_encodings_hold_the_same_sound_at_the_rate_that_was_asked_for() {
    for rate in [8_000, 16_000, 24_000, 44_100] {
        let (mulaw_format, linear) = (Format { is_mulaw: true, rate }, Format { is_mulaw: false, rate });
        let (_, small) = heard(&pair(Act::Speaks), "Hello there.", mulaw_format).await;
        let (_, large) = heard(&pair(Act::Speaks), "Hello there.", linear).await;
        let small: Vec<u8> = small.iter().flat_map(|chunk| chunk.audio.to_vec()).collect();
        let large: Vec<u8> = large.iter().flat_map(|chunk| chunk.audio.to_vec()).collect();
        let large: Vec<f32> = large
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();
        assert_eq!(small.len(), large.len());
        for (one, two) in mulaw::decode(&small).iter().zip(&large) {
            assert!((one - two).abs() < 0.02, "{one} {two}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_goes_on_with_the_next_engine_nothing_twice_and_nothing_left_out() {
    let word = length_of("a word or so");
    let whole = length_of(&TEXT[1..]) + Duration::from_millis(150);
    for act in
        [Act::Refuses, Act::IsSilent, Act::Hangs, Act::BreaksOff(30), Act::Stalls(30), Act::BreaksOff(71)]
    {
        // The first clause goes well, the second does not.
        let first = Scripted::new("first", Act::Refuses).first(&[Act::Speaks, act]);
        let setup = setup(first, Scripted::new("second", Act::Speaks));
        let (engine, chunks) = heard(&setup, TEXT, MULAW).await;
        assert_eq!(engine, "first");
        let all = by(&chunks, "first") + by(&chunks, "second");
        assert!(all + length_of("x") >= whole && all < whole + word, "{act:?}: {all:?} instead of {whole:?}");
        let continued = setup.second.asked().join(" ");
        assert!(TEXT.ends_with(&continued), "{act:?}: {continued}");
        assert_eq!(setup.first.asked().len(), 2, "the stream stays with its new voice");
        assert_eq!(chunks.last().unwrap().span, 21..TEXT.len());
    }
}

#[tokio::test]
async fn a_fallback_that_takes_less_at_once_is_given_less() {
    let mut second = Scripted::new("second", Act::Speaks);
    second.max_chars = 40;
    let setup = setup(Scripted::new("first", Act::Refuses), second);
    heard(&setup, TEXT, MULAW).await;
    assert_eq!(setup.second.asked().join(" "), TEXT);
}

#[tokio::test]
async fn voices_of_different_loudness_are_heard_alike() {
    let first = Scripted { amplitude: 0.6, ..Scripted::new("first", Act::BreaksOff(10)) };
    let second = Scripted { amplitude: 0.03, ..Scripted::new("second", Act::Speaks) };
    let (_, chunks) = heard(&setup(first, second), TEXT, MULAW).await;
    let rms = |engine: &str| {
        let all = chunks.iter().filter(|chunk| chunk.engine == engine);
        let samples: Vec<f32> =
            all.flat_map(|chunk| mulaw::decode(&chunk.audio)).filter(|s| s.abs() > 0.01).collect();
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    };
    let difference = 20.0 * (rms("first") / rms("second")).log10();
    assert!(difference.abs() < 1.5, "{difference} dB");
}

#[tokio::test(start_paused = true)]
async fn when_no_engine_can_speak_the_stream_says_so() {
    let setup = setup(Scripted::new("first", Act::Refuses), Scripted::new("second", Act::BreaksOff(30)));
    let stream = of_speech(setup.synthesis.engines(), speech(TEXT), MULAW).unwrap();
    let mut all: Vec<_> = stream.collect().await;
    assert!(matches!(all.pop(), Some(Err(Error::Unavailable))));
    assert!(all.iter().all(Result::is_ok));
    let clip = setup.synthesis.clip(&speech(TEXT), soon()).await;
    assert!(matches!(clip, Err(Error::Unavailable)), "{clip:?}");
}

/// Waits until engines have nothing more to do: everything that can run has run.
async fn settled() {
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_clause_is_made_while_another_is_sent_and_none_beyond() {
    let setup = pair(Act::Speaks);
    let text = "Good morning. ".to_owned() + &format!("{} ", "A sentence with a few words in it.").repeat(40);
    let mut stream = of_speech(setup.synthesis.engines(), speech(&text), MULAW).unwrap();
    stream.next().await.unwrap().unwrap();
    settled().await;
    assert_eq!(setup.first.asked().len(), 2, "the second is made while the first is sent");
    loop {
        let Streamed::Audio(chunk) = stream.next().await.unwrap().unwrap() else { continue };
        if chunk.span.start > 0 {
            break;
        }
    }
    settled().await;
    assert_eq!(setup.first.asked().len(), 3);
}

#[tokio::test]
async fn dropping_a_stream_stops_the_engine() {
    let mut first = Scripted::new("first", Act::Speaks);
    first.pace = Arc::new(tokio::sync::Semaphore::new(20));
    let setup = setup(first, Scripted::new("second", Act::Speaks));
    let mut stream = of_speech(setup.synthesis.engines(), speech(TEXT), MULAW).unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(setup.first.live.load(Ordering::SeqCst), 1);
    drop(stream);
    settled().await;
    assert_eq!(setup.first.live.load(Ordering::SeqCst), 0);
    assert_eq!(setup.second.asked(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_listener_that_does_not_listen_holds_up_the_engine() {
    let first = Scripted { max_chars: 1_000, ..Scripted::new("first", Act::SpeaksForever) };
    let before = first.pace.available_permits();
    let setup = setup(first, Scripted::new("second", Act::Speaks));
    let mut stream = of_speech(setup.synthesis.engines(), speech(TEXT), MULAW).unwrap();
    stream.next().await.unwrap().unwrap();
    settled().await;
    let frames = before - setup.first.pace.available_permits();
    assert!(frames < 1_500, "{frames} of 20 ms each are held");
}

#[tokio::test]
async fn a_text_is_spoken_while_it_is_being_written() {
    let setup = pair(Act::Speaks);
    let (pieces, written) = futures::channel::mpsc::unbounded();
    let mut stream = of_pieces(setup.synthesis.engines(), written.map(Ok), Wish::default(), MULAW).unwrap();
    pieces.unbounded_send(Piece::Text("We are open from nine, and th".into())).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), Streamed::Started { engine: "first" });
    assert_eq!(setup.first.asked(), ["We are open from nine,"]);
    pieces.unbounded_send(Piece::Text("en".into())).unwrap();
    pieces.unbounded_send(Piece::Flush).unwrap();
    loop {
        let Streamed::Audio(chunk) = stream.next().await.unwrap().unwrap() else { continue };
        if chunk.span == (23..31) {
            break;
        }
    }
    assert_eq!(setup.first.asked()[1], "and then.");
    pieces.unbounded_send(Piece::Text(" we close".into())).unwrap();
    drop(pieces);
    let rest: Vec<_> = stream.collect().await;
    assert!(rest.iter().all(Result::is_ok));
    assert_eq!(setup.first.asked()[2], "we close.");
}

#[tokio::test]
async fn a_stream_of_pieces_without_words_ends_without_audio_and_bad_pieces_are_named() {
    let setup = pair(Act::Speaks);
    let run = async |pieces: Vec<Piece>| {
        let pieces = futures::stream::iter(pieces).map(Ok);
        let stream = of_pieces(setup.synthesis.engines(), pieces, Wish::default(), MULAW).unwrap();
        stream.collect::<Vec<_>>().await
    };
    assert!(run(vec![Piece::Flush, Piece::Text("*** ".into())]).await.is_empty());
    let mut all = run(vec![Piece::Text("Hello there. ".into()), Piece::Text("x".repeat(4_001))]).await;
    assert!(matches!(all.pop(), Some(Err(Error::InvalidField { field: "text", .. }))));
    assert_eq!(setup.first.asked(), ["Hello there."], "what came before is said");
}

#[test]
fn texts_without_words_and_texts_without_end_are_refused() {
    for text in ["", "***", "\u{1F600}", &"x".repeat(4_001)] {
        let error = Speech::new(text, Wish::default()).unwrap_err();
        assert!(matches!(error, Error::InvalidField { field: "text", .. }));
    }
}
