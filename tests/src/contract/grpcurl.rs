//! `docs/grpcurl.md`, every command of it, against a running mesh.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, task::JoinSet};

use super::{page, root};
use crate::{
    mesh::{Mesh, Options, installed},
    speech::{hosted, spoken},
};

/// All commands of the page together.
const LIMIT: Duration = Duration::from_mins(2);

const QUESTION: &str = "what are your opening hours";

/// Ends the output of one block.
const MARK: &str = "-- end of block --";

/// One command, or a few, and what the page says that comes of it.
struct Block {
    commands: String,
    output: Vec<String>,
}

/// The fenced blocks of a page: `sh`, and `text` with the lines that its output has.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = fenced.split_once('\n').unwrap();
        match language {
            "sh" => blocks.push(Block { commands: text.to_owned(), output: Vec::new() }),
            "text" => blocks.last_mut().unwrap().output = text.lines().map(str::to_owned).collect(),
            other => panic!("a block of {other}"),
        }
    }
    blocks
}

/// The page as one script, so that what a command sets is there for the next one.
fn script(blocks: &[Block]) -> String {
    let mut script = String::from("exec 2>&1\n");
    for block in blocks {
        let _ = write!(script, "{}\necho '{MARK}'\n", block.commands);
    }
    script
}

/// Programs lay out JSON and contracts each in its own way.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The first line that is not there, in the order of the page. `…` stands for anything.
fn missing<'a>(wanted: &'a [String], output: &str) -> Option<&'a str> {
    let output = squeezed(output);
    let mut left = &output[..];
    wanted.iter().map(String::as_str).find(|line| {
        line.split('…').any(|part| {
            let part = squeezed(part);
            let found = left.find(&part);
            left = found.map_or(left, |at| &left[at + part.len()..]);
            found.is_none()
        })
    })
}

/// A mesh that may call one number, where somebody picks up and listens.
async fn mesh() -> Mesh {
    let canned = ["--stt".to_owned(), format!("canned={QUESTION}"), "--tts".to_owned(), "canned".to_owned()];
    let options = Options { groq_args: canned.to_vec(), ..Options::default() };
    let mesh = Mesh::start(options.with("DIAL_ALLOWED_PREFIXES", "+1555")).await.unwrap();
    mesh.groq.script(&[(QUESTION, "We are open from nine to six.")]).await.unwrap();
    mesh
}

/// Runs the page with the programs of `folder` first on the path.
async fn run(folder: &Path, blocks: &[Block]) {
    let mesh = mesh().await;
    let mut recordings = JoinSet::new();
    let question = spoken(QUESTION).await.unwrap();
    let recording = hosted(question.clone(), &mut recordings).await.unwrap();
    let mut script = script(blocks).replace("http://127.0.0.1:9000/recording.wav", &recording);
    for (usual, service) in
        [("127.0.0.1:50051", "relay"), ("127.0.0.1:50052", "worker"), ("127.0.0.1:50053", "tts")]
    {
        script = script.replace(usual, mesh.address(service).trim_start_matches("http://"));
    }
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("question.wav"), question).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let buf = root().join("tests/sdk/node_modules/.bin");
    let path = std::env::join_paths([folder.to_owned(), buf].into_iter().chain(std::env::split_paths(&path)));
    let bash = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(work.path())
        .env("PATH", path.unwrap())
        .env("BUF_CACHE_DIR", work.path())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, bash).await.expect("the page takes no two minutes").unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let outputs: Vec<&str> = output.split(MARK).collect();
    for (number, block) in blocks.iter().enumerate() {
        let printed = outputs.get(number).copied().unwrap_or_default();
        if let Some(line) = missing(&block.output, printed) {
            panic!("no \"{line}\" after\n{}\nit printed\n{printed}", block.commands);
        }
    }
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn every_command_on_the_page_of_grpcurl_does_what_the_page_says() {
    let ours = root().join(".run/go/bin/grpcurl");
    let grpcurl = Some(ours).filter(|path| path.is_file()).or_else(|| installed("grpcurl"));
    let Some(grpcurl) = grpcurl else {
        super::skipped("grpcurl is not there: install Go and run `make test`, or `make test-all`");
        return;
    };
    let folder: PathBuf = grpcurl.parent().unwrap().canonicalize().unwrap();
    run(&folder, &blocks(&page("grpcurl.md"))).await;
}

#[tokio::test]
async fn every_command_on_the_page_of_grpcurl_can_be_given_to_buf_curl() {
    let mut blocks = blocks(&page("grpcurl.md"));
    // It lists, but does not describe.
    blocks.retain(|block| !block.commands.contains(" describe "));
    run(&root().join("tests/sdk/by-buf").canonicalize().unwrap(), &blocks).await;
}

#[test]
fn what_a_page_promises_is_looked_for_in_its_order() {
    let page = "a\n\n```sh\none\n```\n\ntext\n\n```text\ncall …\n\"b\": 2\n```\n\n```sh\ntwo\n```\n";
    let blocks = blocks(page);
    assert_eq!(blocks.iter().map(|block| &block.commands[..]).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(missing(&blocks[0].output, "call 7\n { \"b\":2 }"), None);
    assert_eq!(missing(&blocks[0].output, "\"b\": 2, call 7"), Some("\"b\": 2"));
    assert_eq!(missing(&blocks[0].output, "call 7"), Some("\"b\": 2"));
}
