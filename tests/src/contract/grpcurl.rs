//! `docs/grpcurl.md`, every command of it, against a mesh from `make up`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{page, root, up::Up};
use crate::{child::LOOPBACK, mesh::installed};

/// All commands of the page together.
const LIMIT: Duration = Duration::from_mins(5);

/// Ends the output of one block.
const MARK: &str = "-- end of block --";

/// One command, or a few, and what the page says that comes of it.
struct Block {
    commands: String,
    fails: bool,
    output: Vec<String>,
}

/// The fenced blocks of a page: `sh`, `sh fails` for what is refused, and `text` with the lines that its output has.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = fenced.split_once('\n').unwrap();
        match language {
            "sh" | "sh fails" => {
                let fails = language != "sh";
                blocks.push(Block { commands: text.to_owned(), fails, output: Vec::new() });
            }
            "text" => blocks.last_mut().unwrap().output = text.lines().map(str::to_owned).collect(),
            other => panic!("a block of {other}"),
        }
    }
    blocks
}

/// The page as one script, so that what a command sets is there for the next one. It ends at the first command that
/// fails and should not, or that should and does not.
fn script(blocks: &[Block]) -> String {
    let mut script =
        String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\nexec 2>&1\n");
    for Block { commands, fails, .. } in blocks {
        let _ = if *fails {
            write!(script, "if\n{commands}\nthen exit 1; fi\necho '{MARK}'\n")
        } else {
            write!(script, "{commands}\necho '{MARK}'\n")
        };
    }
    script
}

/// Runs a script with the programs of these folders first on the path; gives what it printed.
async fn printed(script: &str, folder: &Path, path: impl IntoIterator<Item = PathBuf>) -> String {
    let usual = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(path.into_iter().chain(std::env::split_paths(&usual))).unwrap();
    let bash = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("BUF_CACHE_DIR", folder)
        .env("NO_PROXY", LOOPBACK)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, bash).await.expect("the page takes no five minutes").unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The first block that did not do what the page says, and what it printed.
fn broken(blocks: &[Block], printed: &str) -> Option<String> {
    let mut outputs = printed.split(MARK);
    // What follows the last mark belongs to a block that ended the script.
    let ended = printed.matches(MARK).count();
    blocks.iter().enumerate().find_map(|(number, block)| {
        let printed = outputs.next().unwrap_or_default();
        let why = match missing(&block.output, printed) {
            _ if number >= ended && block.fails => "it should have failed".to_owned(),
            _ if number >= ended => "it failed".to_owned(),
            Some(line) => format!("no \"{line}\""),
            None => return None,
        };
        Some(format!("{why}:\n{}\nit printed\n{printed}", block.commands))
    })
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

/// Runs the page with the programs of `folder` first on the path.
async fn run(folder: &Path, blocks: &[Block]) {
    // Beside other tests its recogniser may be slow.
    let env =
        [("DIAL_ALLOWED_PREFIXES", "+1555"), ("TURN_BUDGET_MS", "60000"), ("STT_PARTIALS_PER_MINUTE", "1")];
    let up = Up::start(env.map(|(name, value)| (name.to_owned(), value.to_owned()))).await;
    let mut script = script(blocks);
    for (usual, service) in
        [("127.0.0.1:50051", "relay"), ("127.0.0.1:50052", "worker"), ("127.0.0.1:50053", "tts")]
    {
        script = script.replace(usual, &up.address(service));
    }
    let path = [folder.to_owned(), root().join("tests/sdk/node_modules/.bin").canonicalize().unwrap()];
    let printed = printed(&script, up.folder.path(), path).await;
    assert_eq!(broken(blocks, &printed), None, "{}", up.printed());
    assert_eq!(up.phone().violations().await.unwrap(), Vec::<serde_json::Value>::new());
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
fn what_the_readme_shows_of_grpcurl_is_on_the_page() {
    let joined = |name| page(name).replace(" \\\n  ", " ");
    let (page, readme) = (joined("grpcurl.md"), joined("../README.md"));
    let block = readme.split("```").find(|text| text.starts_with("sh\ngrpcurl ")).unwrap();
    for command in block.lines().skip(1) {
        assert!(page.contains(command), "{command}");
    }
}

#[test]
fn what_a_page_promises_is_looked_for_in_its_order() {
    let page = "a\n\n```sh\none\n```\n\ntext\n\n```text\ncall …\n\"b\": 2\n```\n\n```sh fails\ntwo\n```\n";
    let blocks = blocks(page);
    let commands: Vec<_> = blocks.iter().map(|block| (&block.commands[..], block.fails)).collect();
    assert_eq!(commands, [("one", false), ("two", true)]);
    assert_eq!(missing(&blocks[0].output, "call 7\n { \"b\":2 }"), None);
    assert_eq!(missing(&blocks[0].output, "\"b\": 2, call 7"), Some("\"b\": 2"));
    assert_eq!(missing(&blocks[0].output, "call 7"), Some("\"b\": 2"));
}

#[tokio::test]
async fn a_command_that_fails_unannounced_or_works_though_it_should_fail_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for (page, found) in [
        ("\n```sh\ntrue\n```\n\n```sh fails\nfalse\n```\n", None),
        ("\n```sh\nfalse | cat\n```\n\n```sh\ntrue\n```\n", Some("it failed:\nfalse | cat")),
        ("\n```sh fails\ntrue\n```\n", Some("it should have failed:\ntrue")),
        ("\n```sh\nA=$(echo a; false)\n```\n", Some("it failed:\nA=")),
        ("\n```sh\ntrue\n```\n\n```text\na\n```\n", Some("no \"a\":\ntrue")),
    ] {
        let blocks = blocks(page);
        let broken = broken(&blocks, &printed(&script(&blocks), folder.path(), []).await);
        let is_found = match (&broken, found) {
            (None, None) => true,
            (Some(broken), Some(found)) => broken.starts_with(found),
            (Some(_), None) | (None, Some(_)) => false,
        };
        assert!(is_found, "{page} gave {broken:?}");
    }
}
