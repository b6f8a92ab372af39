//! One subscription for a whole process: watchers come and go, the connection stays.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use deadpool_redis::redis::{FromRedisValue as _, PushInfo, PushKind, RedisResult};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use voice_redis::Broker;

use crate::{
    claim::{FIRST_BACKOFF, LONGEST_BACKOFF},
    keys,
    line::{Connected, Line},
};

/// Watchers that may be waiting to be served.
const REQUESTS: usize = 1_024;

/// Notes that a watcher of a job may be behind; what it misses it reads from the stream.
pub(crate) const NOTES: usize = 128;

/// Something for a watcher.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Published on a channel that it follows.
    Published { channel: String, payload: String },
    /// The connection was lost meanwhile: read the stream.
    Resync,
}

/// A watcher's place in the hub; gives it up when dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) notes: mpsc::Receiver<Note>,
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut empty = self.shared.watchers().leave(self.id);
        empty.retain(|channel| !self.shared.is_own(channel));
        if !empty.is_empty() {
            // If the queue is full the channels stay subscribed to until the connection is made anew.
            let _ = self.shared.requests.try_send(Request::Leave { channels: empty });
        }
    }
}

#[derive(Debug)]
enum Request {
    Join { channels: Vec<String>, joined: oneshot::Sender<()> },
    Leave { channels: Vec<String> },
}

pub(crate) struct Hub {
    broker: Arc<Broker>,
    /// Channels that begin with one of these are this process's own: their news come through two patterns, once for
    /// all.
    own: [String; 2],
    line: Arc<Line>,
    started: Mutex<Option<Started>>,
}

struct Started {
    shared: Arc<Shared>,
    /// Owns the hub's task.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    own: [String; 2],
    line: Arc<Line>,
    requests: mpsc::Sender<Request>,
    watchers: Mutex<Watchers>,
}

#[derive(Debug, Default)]
struct Watchers {
    next_id: u64,
    by_id: HashMap<u64, (Vec<String>, mpsc::Sender<Note>)>,
    by_channel: HashMap<String, Vec<u64>>,
}

impl Hub {
    pub(crate) fn new(broker: Arc<Broker>, process: &str, line: Arc<Line>) -> Self {
        let own = [keys::PROGRESS, keys::RESULT].map(|kind| format!("{kind}{process}-"));
        Self { broker, own, line, started: Mutex::new(None) }
    }

    /// Follows channels. Once the receiver fires, nothing that is published on them is missed without a note, unless
    /// more than `most` notes wait to be read.
    pub(crate) fn join(&self, channels: Vec<String>, most: usize) -> (Subscription, oneshot::Receiver<()>) {
        let shared = {
            let mut guard = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            let started = guard.get_or_insert_with(|| {
                let (requests, receiver) = mpsc::channel(REQUESTS);
                let shared = Arc::new(Shared {
                    own: self.own.clone(),
                    line: self.line.clone(),
                    requests,
                    watchers: Mutex::default(),
                });
                let mut tasks = JoinSet::new();
                tasks.spawn(run(self.broker.clone(), shared.clone(), receiver));
                Started { shared, _tasks: tasks }
            });
            started.shared.clone()
        };
        let (notes_sender, notes) = mpsc::channel(most);
        let (joined, receiver) = oneshot::channel();
        let id = shared.watchers().join(&channels, notes_sender);
        let others: Vec<String> = channels.into_iter().filter(|channel| !shared.is_own(channel)).collect();
        if others.is_empty() && shared.line.get().is_some() {
            let _ = joined.send(());
        } else {
            let _ = shared.requests.try_send(Request::Join { channels: others, joined });
        }
        (Subscription { notes, id, shared }, receiver)
    }
}

impl Shared {
    fn is_own(&self, channel: &str) -> bool {
        self.own.iter().any(|own| channel.starts_with(own.as_str()))
    }

    fn watchers(&self) -> std::sync::MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the connection brings besides answers.
    fn hear(&self, news: PushInfo, lost: &CancellationToken) {
        let PushInfo { kind, data } = news;
        let mut words = data.into_iter();
        match kind {
            PushKind::Message => {}
            // The pattern is of no interest.
            PushKind::PMessage => drop(words.next()),
            PushKind::Disconnection => return lost.cancel(),
            _ => return,
        }
        let mut word = || String::from_redis_value(words.next()?).ok();
        if let (Some(channel), Some(payload)) = (word(), word()) {
            self.watchers().publish(&channel, payload);
        }
    }

    /// Channels that need a subscription of their own.
    fn channels(&self) -> Vec<String> {
        self.watchers().by_channel.keys().filter(|channel| !self.is_own(channel)).cloned().collect()
    }
}

/// Keeps the connection up.
async fn run(broker: Arc<Broker>, shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let lost = CancellationToken::new();
        // The connection, which is kept in there, must not keep it alive.
        let (hearing, ending) = (Arc::downgrade(&shared), lost.clone());
        let hear = move |news| -> Result<(), Infallible> {
            if let Some(shared) = hearing.upgrade() {
                shared.hear(news, &ending);
            }
            Ok(())
        };
        if let Ok(connection) = broker.line(hear).await {
            backoff = FIRST_BACKOFF;
            let serving = serve(Connected { connection, lost: lost.clone() }, &mut requests, &shared);
            let _ = lost.run_until_cancelled(serving).await;
            shared.line.set(None);
            tracing::warn!("the subscription to redis was lost");
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Serves watchers until the connection breaks.
async fn serve(
    connected: Connected,
    requests: &mut mpsc::Receiver<Request>,
    shared: &Shared,
) -> RedisResult<()> {
    let mut connection = connected.connection.clone();
    let patterns = shared.own.each_ref().map(|own| format!("{own}*"));
    connection.psubscribe(&patterns[..]).await?;
    let channels = shared.channels();
    if !channels.is_empty() {
        connection.subscribe(channels).await?;
    }
    shared.line.set(Some(connected));
    shared.watchers().resync();
    while let Some(request) = requests.recv().await {
        match request {
            Request::Join { channels, joined } => {
                if !channels.is_empty() {
                    connection.subscribe(channels).await?;
                }
                let _ = joined.send(());
            }
            Request::Leave { mut channels } => {
                // Somebody else may have come meanwhile.
                channels.retain(|channel| !shared.watchers().by_channel.contains_key(channel));
                if !channels.is_empty() {
                    connection.unsubscribe(channels).await?;
                }
            }
        }
    }
    Ok(())
}

impl Watchers {
    fn join(&mut self, channels: &[String], notes: mpsc::Sender<Note>) -> u64 {
        self.next_id += 1;
        for channel in channels {
            self.by_channel.entry(channel.clone()).or_default().push(self.next_id);
        }
        self.by_id.insert(self.next_id, (channels.to_vec(), notes));
        self.next_id
    }

    /// Gives the channels that nobody follows any more.
    fn leave(&mut self, id: u64) -> Vec<String> {
        let Some((channels, _)) = self.by_id.remove(&id) else { return Vec::new() };
        let mut empty = Vec::new();
        for channel in channels {
            if let Some(ids) = self.by_channel.get_mut(&channel) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_channel.remove(&channel);
                    empty.push(channel);
                }
            }
        }
        empty
    }

    /// Tells everybody on a channel.
    fn publish(&self, channel: &str, payload: String) {
        for id in self.by_channel.get(channel).into_iter().flatten() {
            let Some((_, notes)) = self.by_id.get(id) else { continue };
            // A watcher that is behind reads what it misses from the stream.
            let _ = notes.try_send(Note::Published { channel: channel.to_owned(), payload: payload.clone() });
        }
    }

    fn resync(&self) {
        for (_, notes) in self.by_id.values() {
            let _ = notes.try_send(Note::Resync);
        }
    }
}
