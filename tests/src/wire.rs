//! A bad line to Redis: carries every command of one process, knows which script it is, and can stop it before it
//! goes out or before its answer comes back, cut the line without a word, or hang up.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::{oneshot, watch},
    task::JoinSet,
};
use voice_jobs::Jobs;

use crate::redis::{Address, frame_end};

/// The queue whose scripts are known by name.
pub(crate) const QUEUE: &str = "celery";

/// Where a command is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Redis never learns of it.
    Before,
    /// Redis has carried it out; the answer is withheld.
    After,
}

/// A place on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Name of a script, or of a command.
    pub(crate) command: String,
    pub(crate) when: When,
    /// Something that the command has in it or, with [`When::After`], its answer.
    pub(crate) with: String,
    /// Something that must have been on the wire before.
    pub(crate) once_seen: String,
}

/// A command that is stopped, for as long as this is not dropped or let go.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Fires when the point has been reached.
    pub(crate) reached: oneshot::Receiver<()>,
    pub(crate) go_on: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Armed {
    point: Point,
    is_live: bool,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// The wire of one process.
#[derive(Debug)]
pub(crate) struct Wire {
    /// For the process's `REDIS_URL`.
    pub(crate) url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    /// Names by hash.
    scripts: BTreeMap<String, String>,
    armed: Mutex<Option<Armed>>,
    is_cut: watch::Sender<bool>,
    hang_ups: watch::Sender<u64>,
}

impl Wire {
    /// Lays a wire to `redis://host:port/db`.
    pub(crate) async fn lay(redis_url: &str) -> anyhow::Result<Self> {
        let Address { host, db, .. } = Address::parse(redis_url)?;
        let jobs = Jobs::connect(&redis_url.to_owned().into(), QUEUE)?;
        let scripts = jobs.scripts().into_iter().chain(voice_ledger::scripts());
        let by_hash = scripts.map(|(name, hash)| (hash, name.to_owned())).collect();
        let shared = Arc::new(Shared {
            upstream: host.to_owned(),
            scripts: by_hash,
            armed: Mutex::default(),
            is_cut: watch::Sender::new(false),
            hang_ups: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("redis://{}/{db}", listener.local_addr()?);
        let mut tasks = JoinSet::new();
        let accepting = shared.clone();
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let shared = accepting.clone();
                lines.spawn(async move { shared.carry(socket).await });
                while lines.try_join_next().is_some() {}
            }
        });
        Ok(Self { url, shared, _tasks: tasks })
    }

    /// Stops the next command that comes to a point, and its connection with it.
    pub(crate) fn stop_at(&self, point: Point) -> Stop {
        let (reached_sender, reached) = oneshot::channel();
        let (go_on_sender, go_on) = oneshot::channel();
        let is_live = point.once_seen.is_empty();
        *self.shared.armed() = Some(Armed { point, is_live, reached: reached_sender, go_on });
        Stop { reached, go_on: go_on_sender }
    }

    /// Swallows everything, without a word to either side, until [`Self::mend`].
    pub(crate) fn cut(&self) {
        self.shared.is_cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.shared.is_cut.send_replace(false);
    }

    /// Ends every connection that there is.
    pub(crate) fn hang_up(&self) {
        self.shared.hang_ups.send_modify(|count| *count += 1);
    }
}

type Sent = Mutex<VecDeque<Bytes>>;

impl Shared {
    fn armed(&self) -> std::sync::MutexGuard<'_, Option<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(&self, client: TcpStream) {
        let mut hang_ups = self.hang_ups.subscribe();
        let carried = async {
            self.whole().await;
            let server = TcpStream::connect(&self.upstream).await?;
            // What is written in two pieces must not wait for the first to be acknowledged.
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let sent = Sent::default();
            let (client_reader, client_writer) = client.into_split();
            let (server_reader, server_writer) = server.into_split();
            tokio::select! {
                ended = self.carry_commands(client_reader, server_writer, &sent) => ended,
                ended = self.carry_answers(server_reader, client_writer, &sent) => ended,
            }
        };
        tokio::select! {
            // Either side has hung up, which the other one learns when its half is dropped.
            _ = carried => {}
            _ = hang_ups.changed() => {}
        }
    }

    /// Waits while the wire is cut.
    async fn whole(&self) {
        let _ = self.is_cut.subscribe().wait_for(|is_cut| !is_cut).await;
    }

    async fn carry_commands(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        sent: &Sent,
    ) -> std::io::Result<()> {
        let mut buffer = BytesMut::new();
        while from.read_buf(&mut buffer).await? > 0 {
            while let Some(end) = frame_end(&buffer) {
                let command = buffer.split_to(end).freeze();
                self.whole().await;
                self.meet(&command, &[], When::Before).await;
                // What changes subscriptions is confirmed among the news, and has no answer.
                if !self.name(&command).ends_with("SUBSCRIBE") {
                    lock(sent).push_back(command.clone());
                }
                to.write_all(&command).await?;
            }
        }
        Ok(())
    }

    async fn carry_answers(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        sent: &Sent,
    ) -> std::io::Result<()> {
        let mut buffer = BytesMut::new();
        while from.read_buf(&mut buffer).await? > 0 {
            while let Some(end) = frame_end(&buffer) {
                let answer = buffer.split_to(end);
                self.whole().await;
                let is_news = answer.starts_with(b">");
                // Of a connection in the older protocol news look like answers, and nothing is stopped.
                let command = if is_news { None } else { lock(sent).pop_front() }.unwrap_or_default();
                self.meet(&command, &answer, When::After).await;
                to.write_all(&answer).await?;
            }
        }
        Ok(())
    }

    /// Stops here if this is the point.
    async fn meet(&self, command: &[u8], answer: &[u8], when: When) {
        let met = {
            let mut guard = self.armed();
            let Some(armed) = guard.as_mut() else { return };
            let has = |text: &str| contains(command, text) || contains(answer, text);
            let Point { command: name, when: at, with, once_seen } = &armed.point;
            let is_it = armed.is_live && *at == when && has(with) && self.name(command) == *name;
            armed.is_live |= has(once_seen);
            if is_it { guard.take() } else { None }
        };
        if let Some(Armed { reached, go_on, .. }) = met {
            let _ = reached.send(());
            let _ = go_on.await;
        }
    }

    /// The script's name, or the command's.
    fn name(&self, command: &[u8]) -> String {
        let text = String::from_utf8_lossy(command);
        let mut words = text.split("\r\n").skip(2).step_by(2);
        let name = words.next().unwrap_or_default().to_uppercase();
        if name != "EVALSHA" {
            return name;
        }
        let hash = words.next().unwrap_or_default();
        self.scripts.get(hash).cloned().unwrap_or_else(|| format!("unknown script {hash}"))
    }
}

fn lock(sent: &Sent) -> std::sync::MutexGuard<'_, VecDeque<Bytes>> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
