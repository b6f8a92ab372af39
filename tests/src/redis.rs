//! A look into Redis from outside: enough of its protocol to ask it, and servers under Sentinels.

use std::{collections::VecDeque, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    child::{Child, Spec},
    mesh::{eventually, redis_server},
    ports::free_port,
};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// A number.
    Number(i64),
    /// A text, whether short or long.
    Text(String),
    /// A refusal.
    Refused(String),
    /// Several answers.
    List(Vec<Reply>),
}

impl Reply {
    /// The texts in it, in order.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(text) | Self::Refused(text) => vec![text.clone()],
            Self::List(parts) => parts.iter().flat_map(Self::texts).collect(),
            Self::Nil | Self::Number(_) => Vec::new(),
        }
    }

    /// The number that it is, or zero.
    pub fn number(&self) -> i64 {
        if let Self::Number(number) = self { *number } else { 0 }
    }
}

/// A connection of a test's own.
#[derive(Debug)]
pub struct Probe {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Probe {
    /// Connects to `redis://[:password@]host:port/db`.
    ///
    /// # Errors
    /// When it is away.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let Address { password, host, db } = Address::parse(url)?;
        let mut probe = Self { socket: TcpStream::connect(host).await?, buffer: BytesMut::new() };
        if !password.is_empty() {
            probe.ask(&["AUTH", password]).await?;
        }
        probe.ask(&["SELECT", db]).await?;
        Ok(probe)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When it is refused, or Redis is away.
    pub async fn ask(&mut self, command: &[&str]) -> anyhow::Result<Reply> {
        let parts = command.iter().map(|part| format!("${}\r\n{part}\r\n", part.len()));
        let text = format!("*{}\r\n{}", command.len(), parts.collect::<String>());
        self.socket.write_all(text.as_bytes()).await?;
        match self.next().await? {
            Reply::Refused(why) => bail!("{command:?}: {why}"),
            reply => Ok(reply),
        }
    }

    /// The next answer or, after SUBSCRIBE, the next message.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next(&mut self) -> anyhow::Result<Reply> {
        let read = async {
            loop {
                if let Some(end) = frame_end(&self.buffer) {
                    let frame = self.buffer.split_to(end).freeze();
                    return to_reply(&mut frame.clone()).context("not an answer of redis");
                }
                anyhow::ensure!(self.socket.read_buf(&mut self.buffer).await? > 0, "redis hung up");
            }
        };
        tokio::time::timeout(PATIENCE, read).await.context("redis gave no answer")?
    }

    /// Messages that have come until now, after SUBSCRIBE.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn published(&mut self) -> anyhow::Result<VecDeque<String>> {
        // What was published before this question is answered before it.
        self.socket.write_all(b"*2\r\n$4\r\nPING\r\n$3\r\nend\r\n").await?;
        let mut messages = VecDeque::new();
        loop {
            let texts = self.next().await?.texts();
            match texts.first().map(String::as_str) {
                Some("message") => messages.extend(texts.into_iter().nth(2)),
                Some("pong") => return Ok(messages),
                _ => {}
            }
        }
    }
}

/// The parts of `redis://[:password@]host:port/db`.
pub(crate) struct Address<'a> {
    password: &'a str,
    /// With its port.
    pub(crate) host: &'a str,
    pub(crate) db: &'a str,
}

impl<'a> Address<'a> {
    pub(crate) fn parse(url: &'a str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("redis://").context("not a plain address of redis")?;
        let (rest, db) = rest.split_once('/').context("an address without a database")?;
        let (password, host) = rest.split_once('@').unwrap_or(("", rest));
        Ok(Self { password: password.trim_start_matches(':'), host, db })
    }
}

/// Where the first whole value of the protocol ends.
pub(crate) fn frame_end(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let count = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => {
            let end = line + usize::try_from(count()?).map_or(0, |length| length + 2);
            (bytes.len() >= end).then_some(end)
        }
        b'*' | b'>' => (0..count()?).try_fold(line, |end, _| Some(end + frame_end(&bytes[end..])?)),
        b'%' => (0..count()? * 2).try_fold(line, |end, _| Some(end + frame_end(&bytes[end..])?)),
        _ => Some(line),
    }
}

fn to_reply(bytes: &mut Bytes) -> Option<Reply> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let head = bytes.split_to(line);
    bytes.advance(2);
    let text = String::from_utf8_lossy(&head[1..]).into_owned();
    let count = || text.parse::<i64>().ok();
    Some(match head[0] {
        b':' => Reply::Number(count()?),
        b'-' => Reply::Refused(text),
        b'$' => match usize::try_from(count()?) {
            Ok(length) => {
                let text = bytes.split_to(length);
                bytes.advance(2);
                Reply::Text(String::from_utf8_lossy(&text).into_owned())
            }
            Err(_) => Reply::Nil,
        },
        b'*' => match usize::try_from(count()?) {
            Ok(length) => Reply::List((0..length).map(|_| to_reply(bytes)).collect::<Option<_>>()?),
            Err(_) => Reply::Nil,
        },
        _ => Reply::Text(text),
    })
}

/// A master, its replica, and a Sentinel that watches over them.
#[derive(Debug)]
pub struct Sentinel {
    /// For `REDIS_URL`.
    pub url: String,
    /// Of the two servers, the first master first.
    pub servers: [String; 2],
    first: Child,
    _others: [Child; 2],
}

impl Sentinel {
    /// The name that the Sentinel knows the master by.
    const SERVICE: &str = "voices";

    /// Starts them, and waits until the replica follows. `sentinel_settings` are the Sentinel's own.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start(folder: &Path, password: &str, sentinel_settings: &str) -> anyhow::Result<Self> {
        let (one, two, watcher) = (free_port()?, free_port()?, free_port()?);
        let common = format!("bind 127.0.0.1\nsave \"\"\ndir {}\n", folder.display());
        let server =
            format!("{common}requirepass {password}\nmasterauth {password}\nrepl-diskless-sync-delay 0\n");
        let first = configured(folder, "first", one, &server, &[]).await?;
        let second =
            configured(folder, "second", two, &format!("{server}replicaof 127.0.0.1 {one}\n"), &[]).await?;
        let service = Self::SERVICE;
        let settings = format!(
            "{common}sentinel monitor {service} 127.0.0.1 {one} 1\nsentinel auth-pass {service} {password}\n\
             sentinel down-after-milliseconds {service} 1500\nsentinel failover-timeout {service} 2000\n\
             {sentinel_settings}\n"
        );
        let sentinel = configured(folder, "sentinel", watcher, &settings, &["--sentinel"]).await?;
        let servers = [one, two].map(|port| format!("redis://:{password}@127.0.0.1:{port}/0"));
        let url = format!("redis+sentinel://:{password}@127.0.0.1:1,127.0.0.1:{watcher}/{service}/0");
        let started = Self { url, servers, first, _others: [second, sentinel] };
        eventually(PATIENCE, "a replica that follows and that the sentinel knows", async || {
            let socket = TcpStream::connect(("127.0.0.1", watcher)).await.ok()?;
            let mut probe = Probe { socket, buffer: BytesMut::new() };
            // Refused where it has no password, which is as well.
            let _ = probe.ask(&["AUTH", password]).await;
            let replicas = probe.ask(&["SENTINEL", "REPLICAS", service]).await.ok()?.texts();
            let is_linked = replicas.windows(2).any(|pair| pair == ["master-link-status", "ok"]);
            is_linked.then_some(())
        })
        .await?;
        Ok(started)
    }

    /// Kills the first master as a power cut does.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill_master(&mut self) -> anyhow::Result<()> {
        self.first.kill().await
    }
}

async fn configured(
    folder: &Path,
    name: &str,
    port: u16,
    settings: &str,
    args: &[&str],
) -> anyhow::Result<Child> {
    let file = folder.join(format!("{name}.conf"));
    std::fs::write(&file, format!("port {port}\n{settings}"))?;
    let mut all = vec![file.display().to_string()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let program = redis_server()?;
    let child =
        Child::start(Spec { name, program: &program, args: &all, env: &[], folder, announces: false })
            .await?;
    eventually(PATIENCE, name, async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await?;
    Ok(child)
}
