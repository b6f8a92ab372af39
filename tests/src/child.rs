//! Child processes that never outlive their parent.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child as Process, Command},
};

/// A process that is not ready by then has failed. Generous: machines here are shared.
pub(crate) const READY: Duration = Duration::from_mins(1);

/// What no proxy may come in between, as `NO_PROXY` has it.
pub const LOOPBACK: &str = "127.0.0.1,localhost,::1";

/// One process of the mesh.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    log: PathBuf,
    /// The line that it printed when it was ready.
    pub ready: Value,
    /// From its start to that line.
    pub start_duration: Duration,
}

/// A process to be started.
#[derive(Debug)]
pub struct Spec<'a> {
    /// For logs.
    pub name: &'a str,
    /// What to run.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [String],
    /// Its environment, besides `PATH` and what keeps proxies out of loopback.
    pub env: &'a [(String, String)],
    /// Where logs go.
    pub folder: &'a Path,
    /// Whether it says in a line of JSON on stdout when it is ready.
    pub announces: bool,
}

impl Child {
    /// Starts a process and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent before it is ready; the error has the end of its log.
    pub async fn start(spec: Spec<'_>) -> anyhow::Result<Self> {
        let Spec { name, program, args, env, folder, announces } = spec;
        let log = folder.join(format!("{name}.log"));
        let stderr = File::options().create(true).append(true).open(&log)?;
        let stdout = if announces { Stdio::piped() } else { stderr.try_clone()?.into() };
        let started = std::time::Instant::now();
        // The kernel kills it when this process is gone, however that comes about.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .env_clear()
            .envs(inherited())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // So that Ctrl-C is for its parent alone, which decides what ends when.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut ready = Value::Null;
        if announces {
            let stdout = process.stdout.take().expect("it was piped above");
            let mut lines = BufReader::new(stdout).lines();
            let line = tokio::time::timeout(READY, lines.next_line()).await;
            ready = match line {
                Ok(Ok(Some(line))) => {
                    serde_json::from_str(&line).with_context(|| format!("{name} said \"{line}\""))?
                }
                Ok(_) => bail!("{name} ended before it was ready:\n{}", tail(&log)),
                Err(_) => bail!("{name} was not ready within {READY:?}:\n{}", tail(&log)),
            };
        }
        Ok(Self { name: name.to_owned(), process, log, ready, start_duration: started.elapsed() })
    }

    /// One value of the line that it printed when it was ready.
    ///
    /// # Errors
    /// When it did not say it.
    pub fn said(&self, key: &str) -> anyhow::Result<String> {
        let value = self.ready.get(key).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .with_context(|| format!("{} did not say its {key}: {}", self.name, self.ready))
    }

    /// Its process id, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }

    /// Sends a signal, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.pid().context("it is gone already")?;
        let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().await?;
        anyhow::ensure!(status.success(), "{} did not take the signal {signal}", self.name);
        Ok(())
    }

    /// Waits until it ends by itself; gives its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<i32>> {
        let status = tokio::time::timeout(limit, self.process.wait()).await;
        Ok(status.with_context(|| format!("{} did not end within {limit:?}", self.name))??.code())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// What every child gets of our own environment. Its traffic is loopback, so no proxy may come in between.
fn inherited() -> impl Iterator<Item = (String, String)> {
    let kept = std::env::vars().filter(|(name, _)| {
        ["PATH", "HOME", "LANG", "RUST_LOG", "RUST_BACKTRACE", "TMPDIR"].contains(&name.as_str())
    });
    kept.chain(["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), LOOPBACK.to_owned())))
}
