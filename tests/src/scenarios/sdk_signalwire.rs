//! The pretend `SignalWire` in the hands of the vendor's own SDKs: what they accept, our client may rely on.
//!
//! Needs `.venv` (from `tests/sdk/requirements.txt`) and `tests/sdk/node_modules`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

const CALLER_TEXT: &str = "what are your opening hours";
/// The longest conversation of the two takes six seconds on an idle machine.
const SDK_TIMEOUT: Duration = Duration::from_mins(5);
const START_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
struct Addresses {
    relay_url: String,
    relay_tls_url: String,
    http_url: String,
}

/// A running simulator; it dies with this.
struct Simulator {
    addresses: Addresses,
    folder: tempfile::TempDir,
    _process: Child,
}

impl Simulator {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut process = child(built_binary("voice-sim")?)
            .args(["signalwire", "--tls-self-signed"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line =
            timeout(START_TIMEOUT, lines.next_line()).await??.context("the simulator ended at once")?;
        Ok(Self { addresses: serde_json::from_str(&line)?, folder, _process: process })
    }

    /// A caller's sentence as WAV.
    async fn caller_wav(&self) -> anyhow::Result<PathBuf> {
        let wav = self.folder.path().join("caller.wav");
        run(child("flite").args(["-voice", "rms", "-t", CALLER_TEXT, "-o"]).arg(&wav)).await?;
        Ok(wav)
    }
}

/// A command whose process ends when this one does.
fn child(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = timeout(SDK_TIMEOUT, command.output()).await.context("no end in time")??;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    Ok(())
}

/// A program of this workspace, built beside this test.
fn built_binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("a test lies in target/…/deps")?;
    Ok(folder.join(name))
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test]
async fn the_python_sdk_holds_a_whole_conversation_over_tls() -> anyhow::Result<()> {
    let simulator = Simulator::start().await?;
    let host = simulator.addresses.relay_tls_url.strip_prefix("wss://").context("a wss address")?;
    let wav = simulator.caller_wav().await?;
    let mut python = child(here("../.venv/bin/python"));
    python.env("SIGNALWIRE_RELAY_CA_FILE", simulator.folder.path().join("cert.pem"));
    python
        .arg(here("sdk/signalwire_py.py"))
        .args([host, &simulator.addresses.http_url])
        .arg(wav)
        .arg(CALLER_TEXT);
    run(&mut python).await
}

#[tokio::test]
async fn the_javascript_sdk_holds_a_whole_conversation() -> anyhow::Result<()> {
    let simulator = Simulator::start().await?;
    let wav = simulator.caller_wav().await?;
    let Addresses { relay_url, http_url, .. } = &simulator.addresses;
    let mut node = child("node");
    node.arg(here("sdk/signalwire_js.mjs")).args([relay_url, http_url]).arg(wav).arg(CALLER_TEXT);
    run(&mut node).await
}
