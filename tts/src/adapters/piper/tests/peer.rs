//! A real voice, and what the piper-tts of Python makes of it.

use std::{process::Stdio, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{io::AsyncWriteExt as _, process::Command};
use voice_server::config::Env;

use super::*;

/// Generous: machines here are shared.
const LIMIT: Duration = Duration::from_mins(2);

/// So many of them are spoken, too.
const SPOKEN: usize = 6;

const SENTENCES: [&str; 26] = [
    "Your table is ready, please follow the waiter to the window seat.",
    "Hello there, how are you today?",
    "We are open from nine to six. On Sunday we are closed.",
    "The meeting starts at half past three; bring your notes.",
    "It costs forty-two dollars and fifty cents.",
    "Really? That is wonderful news!",
    "He said: come in, sit down, and stay a while.",
    "Please hold the line while I look that up.",
    "I'm sorry, I did not catch that.",
    "Would you like to leave a message?",
    "The quick brown fox jumps over the lazy dog.",
    "She sells sea shells by the sea shore.",
    "There are 12 items in your basket, and 3 of them ship today.",
    "Visit our office on Main Street, next to the old library.",
    "Unfortunately, the flight has been delayed by two hours.",
    "Press one for sales, two for support, or three for billing.",
    "My favourite colours are blue, green, and yellow.",
    "Thank you for calling; goodbye!",
    "The temperature will reach thirty degrees this afternoon.",
    "Could you spell your last name for me?",
    "Wait, what happened to the order from last week?",
    "This is a test of the emergency broadcast system.",
    "Every good boy deserves fudge.",
    "Let me check: yes, we have a room with a view of the lake.",
    "A gentle breeze moved through the trees, and the birds began to sing.",
    "No problem at all.",
];

/// The voice that is configured, or the one that lies beside this repository.
fn real_voice() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/voices/en_US-kristin-tiny.onnx");
    let configured = Env::from_process().optional("PIPER_VOICE").map(PathBuf::from);
    let found = configured.unwrap_or(beside);
    if found.is_file() {
        return Some(found);
    }
    eprintln!("SKIPPED: no Piper voice at {}; set PIPER_VOICE to one", found.display());
    None
}

#[tokio::test]
async fn a_real_voice_speaks_for_as_long_as_a_person_would_and_the_same_each_time() {
    let Some(path) = real_voice() else { return };
    // Without noise every voice is deterministic.
    let folder = tempfile::tempdir().unwrap();
    let voice = noiseless(&path, folder.path());
    let piper = opened(folder.path());
    piper.clone().load().await;
    let pieces = spoken(&piper, SENTENCES[0], &voice, "en-US").await.unwrap();
    assert!(pieces.len() > 4, "it is decoded in pieces");
    let samples = pieces.concat();
    assert_eq!(samples, spoken(&piper, SENTENCES[0], &voice, "en-US").await.unwrap().concat());
    let rate = piper.voices()[0].sample_rate_hertz;
    let seconds = samples.len() as f32 / rate as f32;
    assert!((2.0..6.0).contains(&seconds), "{seconds} s for twelve words");
    let level = (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt();
    assert!((0.01..0.5).contains(&level), "{level}");
    assert!(samples.iter().all(|sample| sample.abs() <= 1.0));
}

#[tokio::test]
async fn piper_tts_finds_the_same_phonemes_and_makes_the_same_sound_of_them() {
    let Some(path) = real_voice() else { return };
    let Some(theirs) = piper_tts(&path).await else { return };
    let folder = tempfile::tempdir().unwrap();
    noiseless(&path, folder.path());
    let piper = opened(folder.path());
    let about = piper.voices[0].about.as_ref().unwrap();
    let model = piper.voices[0].model(about, &piper.pool).await.unwrap();

    let (mut apart, mut all, mut compared) = (0, 0, 0);
    for (text, theirs) in SENTENCES.iter().zip(theirs) {
        let ours = sentences(text, about).await;
        assert_eq!(ours.len(), theirs.len(), "sentences of {text}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let ids: Vec<i32> = serde_json::from_value(theirs["ids"].clone()).unwrap();
            apart += distance(ours, &ids);
            all += ids.len();
            let Some(pcm) = theirs.get("pcm") else { continue };
            let pcm = BASE64_STANDARD.decode(pcm.as_str().unwrap()).unwrap();
            compared += 1;
            let pcm: Vec<f32> =
                pcm.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
            let mut said = Vec::new();
            let mut rest = Some(Rest::Ids(ids));
            while let Some(todo) = rest {
                let samples;
                (samples, rest) = piper.step(&model, todo, None).await.unwrap();
                said.extend(samples);
            }
            let decibels = model::decibels(&pcm, &said);
            assert!(decibels >= 50.0, "{decibels} dB in {text}");
        }
    }
    assert!(compared >= SPOKEN);
    let agreement = 100.0 * (1.0 - apart as f32 / all as f32);
    eprintln!("{agreement:.2} % of {all} phoneme ids agree");
    assert!(agreement >= 98.0, "{agreement} % of {all} phoneme ids");
}

/// A copy of a voice that adds no noise; gives its name.
fn noiseless(voice: &Path, folder: &Path) -> String {
    let json = fs::read(format!("{}.json", voice.display())).unwrap();
    let mut about: Value = serde_json::from_slice(&json).unwrap();
    about["inference"]["noise_scale"] = json!(0);
    about["inference"]["noise_w"] = json!(0);
    tone::write(folder, "voice", &about, &fs::read(voice).unwrap());
    "voice".to_owned()
}

/// Our ids of each sentence, as if its clauses were not spoken one by one.
async fn sentences(text: &str, about: &About) -> Vec<Vec<i32>> {
    let mut all = Vec::new();
    let mut sentence = Vec::new();
    for clause in phonemes::clauses(text) {
        sentence.extend(phonemes::phonemes(&clause, &about.spelling, &about.alphabet).await.unwrap());
        if clause.ends_sentence() {
            all.extend(about.alphabet.ids(&sentence, usize::MAX));
            sentence.clear();
        }
    }
    all
}

/// The sentences of each text; `None` where piper-tts is not installed.
async fn piper_tts(voice: &Path) -> Option<Vec<Vec<Value>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".venv/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: piper-tts is not installed: run `make setup`");
        return None;
    }
    let mut child = Command::new(python)
        .arg(root.join("tests/sdk/piper_py.py"))
        .arg(voice)
        .arg(SPOKEN.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = async move { stdin.write_all(SENTENCES.join("\n").as_bytes()).await };
    let run = async { tokio::join!(write, child.wait_with_output()) };
    let (written, output) = tokio::time::timeout(LIMIT, run).await.expect("piper-tts is slow");
    written.unwrap();
    let output = output.unwrap();
    assert!(output.status.success(), "piper-tts failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), SENTENCES.len());
    Some(lines)
}

/// Ids to put in, take out or change.
fn distance(ours: &[i32], theirs: &[i32]) -> usize {
    let mut row: Vec<usize> = (0..=theirs.len()).collect();
    for (n, our) in ours.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for (m, their) in theirs.iter().enumerate() {
            let cost = (diagonal + usize::from(our != their)).min(row[m] + 1).min(row[m + 1] + 1);
            diagonal = std::mem::replace(&mut row[m + 1], cost);
        }
    }
    row[theirs.len()]
}
