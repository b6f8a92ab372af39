//! `make voice`: what it installs, and what it refuses to.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tokio::task::JoinSet;

use crate::speech::hosted;

const MODEL: &[u8] = b"a model";
/// Of `MODEL`.
const HASH: &str = "97ff8a35544dcf40ad84047074439dd6aa3a0be469ea578a1b1c017d939ec61c";

/// Of what answers everything.
const SAME_HASH: &str = "d9e428c81d1a1f032eaab4d292767cb9b6eafffba96e13a9a637b5f58cfbeefc";

fn install(voices: &Path, from: &str, hash: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("voice.sh");
    Command::new(script).args(["xx-test", from, hash]).env("VOICES", voices).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder with a voice and its card.
fn source() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    write("some-voice.onnx", MODEL);
    write("some-voice.onnx.json", br#"{"phoneme_id_map": {}}"#);
    write("MODEL_CARD", b"# A voice\n\n* License: public domain\n");
    folder
}

#[test]
fn a_voice_is_installed_from_a_path_or_a_url_with_its_licence_shown() {
    let source = source();
    let path = source.path().join("some-voice.onnx").display().to_string();
    for from in [path.clone(), format!("file://{path}")] {
        for hash in ["", HASH] {
            let voices = tempfile::tempdir().unwrap();
            let output = install(voices.path(), &from, hash);
            let said = said(&output);
            assert!(output.status.success(), "{said}");
            assert_eq!(names(voices.path()), ["xx-test.MODEL_CARD", "xx-test.onnx", "xx-test.onnx.json"]);
            assert!(said.contains("License: public domain"), "{said}");
            assert!(
                said.contains(&format!("PIPER_VOICE={}/xx-test.onnx", voices.path().display())),
                "{said}"
            );
            assert_eq!(said.contains(&format!("SHA256={HASH}")), hash.is_empty(), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_comes_over_http_too() {
    let mut tasks = JoinSet::new();
    // Whatever is asked for, the answer is the same, and serves as a model, as what describes one, and as a card.
    let url = hosted(br#"{"phoneme_id_map": {}}"#.to_vec(), &mut tasks).await.unwrap();
    let from = url.replace("recording.wav", "some-voice.onnx");
    let voices = tempfile::tempdir().unwrap();
    let folder = voices.path().to_owned();
    let output = tokio::task::spawn_blocking(move || install(&folder, &from, SAME_HASH)).await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(names(voices.path()), ["xx-test.MODEL_CARD", "xx-test.onnx", "xx-test.onnx.json"]);
}

#[test]
fn a_wrong_hash_a_missing_file_or_a_strange_name_leaves_nothing_behind() {
    let source = source();
    let path = |name: &str| source.path().join(name).display().to_string();
    let voice = path("some-voice.onnx");
    let voices = tempfile::tempdir().unwrap();
    let refused = |from: &str, hash: &str, told: &str| {
        let output = install(voices.path(), from, hash);
        assert!(!output.status.success() && said(&output).contains(told), "{}", said(&output));
        assert!(names(voices.path()).is_empty());
    };
    refused(&voice, &HASH.replace('d', "e"), "not installed");
    refused(&path("absent.onnx"), "", "cannot be had");
    refused(&path("some-voice.onnx.json"), "", "does not end in .onnx");
    fs::write(path("some-voice.onnx.sha256"), format!("{}  some-voice.onnx\n", "0".repeat(64))).unwrap();
    refused(&voice, "", "not installed");
    fs::write(path("some-voice.onnx.json"), "<html>").unwrap();
    refused(&voice, HASH, "does not describe a Piper voice");
    fs::remove_file(path("some-voice.onnx.json")).unwrap();
    refused(&voice, HASH, "some-voice.onnx.json cannot be had");
}
