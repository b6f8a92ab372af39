//! Voices that the tests make themselves, a real one where there is one, and piper-tts beside it.

mod peer;
mod tone;

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;

const PLAIN: [&str; 3] = ["input", "input_lengths", "scales"];

fn opened(folder: &Path) -> Piper {
    Piper::open(&[folder.to_owned()], 2)
}

async fn spoken(
    piper: &Piper,
    text: &str,
    voice: &str,
    language: &str,
) -> Result<Vec<Vec<f32>>, EngineError> {
    let mut sounds = piper.speak(text, voice, language);
    let mut pieces = Vec::new();
    while let Some(sound) = sounds.next().await {
        match sound? {
            Sound::Rate(rate) => assert_eq!((rate, pieces.len()), (22_050, 0), "once and first"),
            Sound::Samples(samples) => pieces.push(samples),
        }
    }
    Ok(pieces)
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut about = tone::about();
    for (pointer, value) in changes {
        match about.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => about[&pointer[1..]] = value.clone(),
        }
    }
    about
}

fn is_near(got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len());
    let decibels = model::decibels(wanted, got);
    assert!(decibels > 60.0, "{decibels} dB");
}

#[tokio::test]
async fn the_first_clause_is_said_first_and_every_clause_is_as_long_as_its_phonemes() {
    let folder = tempfile::tempdir().unwrap();
    let about = with(&[("/inference/length_scale", json!(0.5))]);
    tone::write(folder.path(), "tone", &about, &tone::model(&PLAIN));
    let piper = opened(folder.path());
    let pieces = spoken(&piper, "Hello there, how are you?", "", "en-US").await.unwrap();
    // "həlˈoʊ ðˈɛɹ, " and "hˌaʊ ɑːɹ juː?": beginning, end, and each phoneme with its pad.
    let ids = ["həlˈoʊ ðˈɛɹ, ", "hˌaʊ ɑːɹ juː?"].map(|phonemes| 3 + 2 * phonemes.chars().count());
    assert_eq!(pieces.len(), ids.len());
    for (piece, ids) in pieces.iter().zip(ids) {
        is_near(piece, &tone::sound(ids, 0.5, 0));
    }
}

#[tokio::test]
async fn a_long_clause_is_said_in_pieces_and_a_dropped_stream_begins_no_other() {
    let folder = tempfile::tempdir().unwrap();
    tone::write(folder.path(), "tone", &tone::about(), &tone::model(&PLAIN));
    let piper = opened(folder.path());
    let mut sounds = piper.speak(&"and more and more ".repeat(50), "", "en-US");
    assert_eq!(sounds.next().await, Some(Ok(Sound::Rate(22_050))));
    let Some(Ok(Sound::Samples(first))) = sounds.next().await else { panic!("no sound") };
    assert!(first.len() <= 64 * tone::SAMPLES_PER_ID, "{}", first.len());
    // So that the next piece has begun; it may even be done.
    let _ = futures::poll!(sounds.next());
    drop(sounds);
    // The run that has begun ends; nobody is left who would begin another.
    drop(piper.runs.acquire_many(2).await.unwrap());
    assert_eq!(Arc::strong_count(piper.voices[0].model.get().unwrap().as_ref().unwrap()), 1);
}

#[tokio::test]
async fn a_broken_voice_is_told_with_its_file_and_field_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = tone::model(&PLAIN);
    tone::write(path, "good", &tone::about(), &model);
    let broken = [
        ("rate", with(&[("/audio/sample_rate", json!(4_000_000))]), "audio.sample_rate: 4000000"),
        ("type", with(&[("/phoneme_type", json!("pinyin"))]), "phoneme_type: \"pinyin\""),
        ("espeak", with(&[("/espeak/voice", json!("--help"))]), "espeak.voice: \"--help\""),
        ("length", with(&[("/inference/length_scale", json!(0))]), "inference.length_scale: 0"),
        ("noise", with(&[("/inference/noise_w", json!(99))]), "inference.noise_w: 99"),
        ("ids", with(&[("/phoneme_id_map/^", json!([]))]), "phoneme_id_map: \"^\" has no id"),
        ("id", with(&[("/phoneme_id_map/a", json!([256]))]), "phoneme_id_map: the ids of \"a\""),
        (
            "who",
            with(&[("/num_speakers", json!(2)), ("/speaker_id_map", json!({"x": 2}))]),
            "speaker_id_map: 2",
        ),
        ("sid", with(&[("/num_speakers", json!(2))]), "has no input \"sid\""),
        ("json", json!("a text"), "invalid type"),
    ];
    for (name, about, _) in &broken {
        tone::write(path, name, about, &model);
    }
    tone::write(path, "input", &tone::about(), &tone::model(&PLAIN[1..]));
    tone::write(path, "extra", &tone::about(), &tone::model(&[&PLAIN[..], &["sid"]].concat()));
    tone::write(path, "noise-file", &tone::about(), b"\x08\xff\xff\xff not a model");
    fs::write(path.join("alone.onnx"), &model).unwrap();
    fs::write(path.join("notes.txt"), "no voice").unwrap();
    let absent = path.join("absent");
    let piper = Piper::open(&[path.to_owned(), absent.clone(), path.join("good.onnx")], 1);
    piper.clone().load().await;

    let voices = piper.voices();
    let problem = |name: &str| {
        let voice = voices.iter().find(|voice| voice.name == name).unwrap();
        voice.problem.clone().unwrap_or_else(|| panic!("{name} is no problem"))
    };
    for (name, _, told) in &broken {
        let problem = problem(name);
        assert!(problem.contains(told) && problem.contains(&format!("{name}.onnx")), "{name}: {problem}");
    }
    for (name, told) in [
        ("input", "has no input \"input\""),
        ("extra", "wants an input \"sid\""),
        ("noise-file", "cannot be loaded"),
        ("alone", "alone.onnx.json: No such file"),
        ("absent", "is neither an .onnx file nor a folder"),
    ] {
        assert!(problem(name).contains(told), "{name}: {}", problem(name));
    }
    let good: Vec<_> = voices.iter().filter(|voice| voice.name == "good").collect();
    let languages = vec!["en-US".to_owned()];
    let wanted = Voice { name: "good".to_owned(), languages, sample_rate_hertz: 22_050, problem: None };
    assert_eq!(good[0], &wanted);
    assert!(good[1].problem.as_ref().unwrap().contains("another voice of this name"));
    assert!(!spoken(&piper, "Hello.", "", "en-US").await.unwrap().is_empty());
}

#[tokio::test]
async fn who_speaks_is_named_or_follows_from_the_language() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tone::write(path, "english", &tone::about(), &tone::model(&PLAIN));
    let spelled = [("/phoneme_type", json!("text")), ("/language", json!({ "code": "de_DE" }))];
    let speakers = json!({ "anna": 0, "otto": 2 });
    let many =
        [("/num_speakers", json!(3)), ("/speaker_id_map", speakers), ("/default_speaker_id", json!(1))];
    let about = with(&[&spelled[..], &many].concat());
    tone::write(path, "german", &about, &tone::model(&[&PLAIN[..], &["sid"]].concat()));
    let piper = opened(path);
    let names: Vec<_> = piper.voices().into_iter().map(|voice| voice.name).collect();
    assert_eq!(names, ["english", "german", "german#anna", "german#otto"]);
    assert_eq!(piper.default_voice(), "english,german");

    // German here is spelled: "na." are three phonemes.
    for (voice, language, speaker) in [
        ("german#otto", "en-US", 2),
        ("german#anna", "", 0),
        ("german", "fr", 1),
        ("", "de-DE", 1),
        ("english,german", "de-AT", 1),
        ("a voice of another engine", "de", 1),
    ] {
        let pieces = spoken(&piper, "na.", voice, language).await.unwrap();
        is_near(&pieces.concat(), &tone::sound(9, 1.0, speaker));
    }
    for (voice, language, told) in
        [("german#nobody", "de", "has no speaker \"nobody\""), ("", "fr-FR", "speaks fr-FR")]
    {
        let error = spoken(&piper, "na.", voice, language).await.unwrap_err();
        assert!(error.message.contains(told), "{error}");
    }
}

#[test]
fn clauses_end_where_espeak_ends_them() {
    for (text, wanted) in [
        ("Hello there, how are you?", &["Hello there,|,", "how are you?|?"][..]),
        ("We open at 9:30 a.m. on Monday.", &["We open at 9:30 a.m. on Monday.|."]),
        ("At 9 a.m. Then go", &["At 9 a.m.|.", "Then go|."]),
        ("It costs $3.50; it's 1,000 grams: yes!", &["It costs $3.50;|;", "it's 1,000 grams:|:", "yes!|!"]),
        ("\"Hi,\" she said. (Really?) Yes.", &["\"Hi,\"|,", "she said.|.", "(Really?)|?", "Yes.|."]),
        ("This – or well—that – too", &["This –|;", "or well—that –|;", "too|."]),
        ("Wait... what? Well… Now", &["Wait...|,", "what?|?", "Well…|.", "Now|."]),
        ("See www.example.com/a?b,c now", &["See www.example.com/a?b,c now|."]),
        ("What?! -- , no", &["What?!|?", "no|."]),
        (" a\n b [[c]] ", &["a b c|."]),
        ("... !?", &[]),
    ] {
        let clauses = phonemes::clauses(text);
        let got: Vec<_> = clauses.iter().map(|clause| format!("{}|{}", clause.text, clause.mark)).collect();
        assert_eq!(got, wanted, "{text}");
    }
}

#[tokio::test]
async fn phonemes_are_decomposed_joined_where_the_voice_joins_them_and_without_flags() {
    let clauses = phonemes::clauses("Ich mag Downloads, ja.");
    let spelling = about::Spelling::Espeak("de".to_owned());
    let mut alphabet = about::Alphabet::default();
    let of = async |alphabet: &_| phonemes::phonemes(&clauses[0], &spelling, alphabet).await.unwrap();
    let plain = of(&alphabet).await;
    assert!(plain.concat().starts_with("\u{26a}c\u{327} "), "{plain:?}");
    assert!(plain.ends_with(&[",".to_owned(), " ".to_owned()]), "{plain:?}");
    assert!(!plain.concat().contains(['(', ')']), "{plain:?}");
    alphabet.clusters.insert(["c", "\u{327}", " "].map(str::to_owned).to_vec());
    assert_eq!(of(&alphabet).await[..2], ["\u{26a}", "c\u{327} "]);
}

#[test]
fn ids_have_pads_and_pieces_end_with_words() {
    let ids = |phoneme: &str, id: i32| (phoneme.to_owned(), vec![id]);
    let all = [ids("_", 0), ids("^", 1), ids("$", 2), ids(" ", 3), ids("a", 4), ids("b", 5)];
    let alphabet = about::Alphabet { ids: all.into(), ..Default::default() };
    let phonemes: Vec<_> = "ab xba b".chars().map(String::from).collect();
    let whole = vec![1, 0, 4, 0, 5, 0, 3, 0, 5, 0, 4, 0, 3, 0, 5, 0, 2];
    assert_eq!(alphabet.ids(&phonemes, 100), [whole]);
    let pieces = [vec![1, 0, 4, 0, 5, 0, 3, 0, 2], vec![1, 0, 5, 0, 4, 0, 3, 0, 5, 0, 2]];
    assert_eq!(alphabet.ids(&phonemes, 10), pieces);
    assert!(alphabet.ids(&["x".to_owned()], 10).is_empty());
}
