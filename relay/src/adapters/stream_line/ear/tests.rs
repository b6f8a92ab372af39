//! With a real voice.

use super::*;
use crate::adapters::stream_line::tests::{silence, voice};

/// What the ear noticed, and after how many frames.
fn heard(ear: &mut Ear, audio: &[u8], each: usize) -> Vec<(usize, Heard)> {
    let mut all = Vec::new();
    for (n, piece) in audio.chunks(each).enumerate() {
        ear.take(Bytes::copy_from_slice(piece), || None, |heard| all.push((n, heard)));
    }
    all
}

fn drain(batches: &mut mpsc::Receiver<Bytes>) -> Vec<Bytes> {
    std::iter::from_fn(|| batches.try_recv().ok()).collect()
}

fn is_louder_than(level_db: f32, frame: &[u8]) -> bool {
    frames::level_db(&frames::samples(AudioFormat::Mulaw, frame)) > level_db
}

#[test]
fn an_utterance_has_its_beginning_and_comes_in_batches_of_100_ms() {
    let mut ear = Ear::new(AudioFormat::Mulaw);
    let voice = voice("what are your opening hours");
    let audio = [silence(500), voice.clone(), silence(600)].concat();
    let mut noticed = heard(&mut ear, &audio, 160);
    let (at, Heard::Started(id, batches)) = &mut noticed[0] else { panic!("{noticed:?}") };
    assert!((25..45).contains(at), "soon after the onset: {at}");
    assert_eq!(*id, UtteranceId(1));
    let batches = drain(batches);
    assert!(batches.iter().all(|batch| batch.len() <= 800));
    let got = batches.concat();
    let sounds = |audio: &[u8]| -> Vec<u8> {
        audio.chunks(160).filter(|frame| is_louder_than(-50.0, frame)).flatten().copied().collect()
    };
    assert!(sounds(&audio).starts_with(&sounds(&got)), "from its first sound on, without a gap");
    assert!(
        got.len() > voice.len() * 8 / 10 + PRE_ROLL / 2 * 160,
        "with what came before the voice, to its end"
    );
    let Some((_, Heard::Paused { utterance, silent, voiced })) = noticed.last() else {
        panic!("{noticed:?}")
    };
    assert_eq!(*utterance, UtteranceId(1));
    assert!((100..=300).contains(&silent.as_millis()), "{silent:?}");
    assert!(*voiced > Duration::from_millis(500), "{voiced:?}");
    assert_eq!(ear.end(), Some(UtteranceId(1)));
    assert_eq!(ear.end(), None);
}

#[test]
fn what_is_said_after_a_pause_comes_with_the_pause_and_the_silence_at_the_end_does_not() {
    let mut ear = Ear::new(AudioFormat::Mulaw);
    let audio =
        [silence(300), voice("my number is"), silence(300), voice("five five five"), silence(2_000)].concat();
    let mut noticed = heard(&mut ear, &audio, 160);
    assert!(noticed.iter().any(|(_, heard)| matches!(heard, Heard::Resumed)), "{noticed:?}");
    let (_, Heard::Started(_, batches)) = &mut noticed[0] else { panic!("{noticed:?}") };
    let got = drain(batches).concat();
    let spoken = audio.len() - (300 + 2_000) * 8;
    assert!(got.len() + 1_600 > spoken * 8 / 10 && got.len() < spoken + 4_000, "{} of {spoken}", got.len());
    ear.end();
    assert!(drain(batches).is_empty(), "the silence before the end was not worth sending");
    assert!(batches.is_closed(), "and the utterance is complete");
}

#[test]
fn pieces_of_any_length_are_heard_alike() {
    let audio = [silence(500), voice("hello"), silence(400)].concat();
    let noticed = |each: usize| {
        let all = heard(&mut Ear::new(AudioFormat::Mulaw), &audio, each);
        all.iter().map(|(n, heard)| ((n + 1) * each / 160, std::mem::discriminant(heard))).collect::<Vec<_>>()
    };
    let whole = noticed(160);
    assert!(!whole.is_empty());
    for each in [80, 240, 1_600] {
        let kinds = |all: &[(usize, std::mem::Discriminant<Heard>)]| {
            all.iter().map(|(_, kind)| *kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&noticed(each)), kinds(&whole), "{each}");
    }
}

#[test]
fn a_word_that_fades_is_heard_to_its_end() {
    let mut ear = Ear::new(AudioFormat::Mulaw);
    let voice = voice("thank you very much and goodbye");
    let audio = [silence(500), voice.clone(), silence(600)].concat();
    let mut noticed = heard(&mut ear, &audio, 160);
    let (_, Heard::Started(_, batches)) = &mut noticed[0] else { panic!("{noticed:?}") };
    let got = drain(batches).concat();
    let loud = |audio: &[u8]| audio.chunks(160).filter(|frame| is_louder_than(-40.0, frame)).count();
    let (spoken, sent) = (loud(&audio), loud(&got));
    assert!(sent >= spoken - 1, "{sent} of {spoken} frames");
}

#[test]
fn the_last_frames_are_kept_in_order_and_silence_among_them_counted() {
    let format = AudioFormat::Linear16 { hertz: 16_000 };
    let sound = |n: u8| Bytes::from(vec![n; format.frame_bytes()]);
    let quiet = format.silent_frame();
    assert_eq!(quiet.len(), format.frame_bytes());
    let mut recent = Recent::default();
    for n in 1..=2 {
        recent.keep(format, sound(n), false);
        recent.keep(format, sound(0), true);
    }
    let last = |recent: &Recent, count| recent.last(format, count).collect::<Vec<_>>();
    assert_eq!(last(&recent, 99), [sound(1), quiet.clone(), sound(2), quiet.clone()]);
    assert_eq!(last(&recent, 2), [sound(2), quiet.clone()]);
    (0..2 * KEPT).for_each(|_| recent.keep(format, sound(0), true));
    assert_eq!(last(&recent, 99), vec![quiet.clone(); KEPT]);
    assert_eq!(recent.frames.capacity(), 0, "a silent line holds nothing");
    (0..2 * KEPT).for_each(|n| recent.keep(format, sound(n as u8), false));
    assert_eq!(last(&recent, 99).len(), KEPT);
    assert_eq!(last(&recent, 2), [sound(2 * KEPT as u8 - 2), sound(2 * KEPT as u8 - 1)]);
}
