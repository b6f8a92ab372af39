//! The tool server in Python, `clients/python/tools.py`, where Python and what it needs are installed.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::ports::free_port;

/// Making stubs, and importing them, on a machine that has much else to do.
const START: Duration = Duration::from_mins(2);

/// The server, as long as this lives.
#[derive(Debug)]
pub struct PythonTools {
    /// Where it listens.
    pub address: String,
    _process: Child,
}

impl PythonTools {
    /// Starts it.
    ///
    /// # Errors
    /// With what is missing.
    pub async fn start() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let python = root.join(".venv/bin/python");
        ensure!(python.is_file(), "there is no .venv/bin/python");
        if !root.join("clients/python/gen/voice/tool").is_dir() {
            let made =
                Command::new(root.join("clients/generate.sh")).arg("python").kill_on_drop(true).output();
            let made = timeout(START, made).await.context("making the stubs took too long")??;
            ensure!(made.status.success(), "no stubs: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut process = Command::new(python)
            .args(["tools.py", &address])
            .current_dir(root.join("clients/python"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("it has no output")?).lines();
        let first = timeout(START, lines.next_line()).await.context("it did not start in time")??;
        ensure!(first.is_some(), "it does not start (clients/python/requirements.txt)");
        Ok(Self { address, _process: process })
    }
}
