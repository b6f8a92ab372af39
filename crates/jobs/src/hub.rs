//! One subscription for a whole process: watchers come and go, the connection stays.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{Client, Msg, aio::PubSubSink};
use futures::{Stream, StreamExt as _};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// Watchers that may be waiting to be served.
const REQUESTS: usize = 1_024;

/// Notes that a watcher may be behind; what it misses it reads from the stream.
const NOTES: usize = 128;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

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
    requests: mpsc::Sender<Request>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // If the queue is full the hub notices at the next note that nobody takes it.
        let _ = self.requests.try_send(Request::Leave { id: self.id });
    }
}

#[derive(Debug)]
enum Request {
    Join { id: u64, channels: Vec<String>, notes: mpsc::Sender<Note>, joined: oneshot::Sender<()> },
    Leave { id: u64 },
}

pub(crate) struct Hub {
    client: Client,
    started: Mutex<Option<Started>>,
}

struct Started {
    requests: mpsc::Sender<Request>,
    next_id: u64,
    /// Owns the hub's task.
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Watchers {
    by_id: HashMap<u64, (Vec<String>, mpsc::Sender<Note>)>,
    by_channel: HashMap<String, Vec<u64>>,
}

impl Hub {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, started: Mutex::new(None) }
    }

    /// Follows channels. Once the receiver fires, nothing that is published on them is missed without a note.
    pub(crate) fn join(&self, channels: Vec<String>) -> (Subscription, oneshot::Receiver<()>) {
        let mut guard = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let started = guard.get_or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(REQUESTS);
            let mut tasks = JoinSet::new();
            tasks.spawn(run(self.client.clone(), receiver));
            Started { requests, next_id: 0, _tasks: tasks }
        });
        started.next_id += 1;
        let (id, requests) = (started.next_id, started.requests.clone());
        drop(guard);
        let (notes_sender, notes) = mpsc::channel(NOTES);
        let (joined, receiver) = oneshot::channel();
        let _ = requests.try_send(Request::Join { id, channels, notes: notes_sender, joined });
        (Subscription { notes, id, requests }, receiver)
    }
}

/// Keeps the connection up.
async fn run(client: Client, mut requests: mpsc::Receiver<Request>) {
    let mut watchers = Watchers::default();
    let mut backoff = FIRST_BACKOFF;
    loop {
        if let Ok(Ok(connection)) = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await {
            backoff = FIRST_BACKOFF;
            let (mut sink, stream) = connection.split();
            if serve(&mut sink, stream, &mut requests, &mut watchers).await.is_none() {
                return;
            }
            tracing::warn!("the subscription to redis was lost");
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Serves watchers until the connection breaks; `None` when nobody can join any more.
async fn serve(
    sink: &mut PubSubSink,
    stream: impl Stream<Item = Msg>,
    requests: &mut mpsc::Receiver<Request>,
    watchers: &mut Watchers,
) -> Option<()> {
    tokio::pin!(stream);
    for channel in watchers.by_channel.keys() {
        if sink.subscribe(channel).await.is_err() {
            return Some(());
        }
    }
    for (_, notes) in watchers.by_id.values() {
        let _ = notes.try_send(Note::Resync);
    }
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(message) = message else { return Some(()) };
                let channel = message.get_channel_name().to_owned();
                let Ok(payload) = message.get_payload::<String>() else { continue };
                let gone = watchers.publish(&channel, &payload);
                for id in gone {
                    if watchers.leave(sink, id).await.is_err() {
                        return Some(());
                    }
                }
            }
            request = requests.recv() => match request? {
                Request::Join { id, channels, notes, joined } => {
                    if watchers.join(sink, id, channels, notes).await.is_err() {
                        return Some(());
                    }
                    let _ = joined.send(());
                }
                Request::Leave { id } => {
                    if watchers.leave(sink, id).await.is_err() {
                        return Some(());
                    }
                }
            },
        }
    }
}

/// The connection is gone.
struct Broken;

impl Watchers {
    async fn join(
        &mut self,
        sink: &mut PubSubSink,
        id: u64,
        channels: Vec<String>,
        notes: mpsc::Sender<Note>,
    ) -> Result<(), Broken> {
        let new: Vec<String> =
            channels.iter().filter(|channel| !self.by_channel.contains_key(*channel)).cloned().collect();
        for channel in &channels {
            self.by_channel.entry(channel.clone()).or_default().push(id);
        }
        self.by_id.insert(id, (channels, notes));
        if new.is_empty() {
            return Ok(());
        }
        sink.subscribe(&new).await.map_err(|_| Broken)
    }

    async fn leave(&mut self, sink: &mut PubSubSink, id: u64) -> Result<(), Broken> {
        let Some((channels, _)) = self.by_id.remove(&id) else { return Ok(()) };
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
        if empty.is_empty() {
            return Ok(());
        }
        sink.unsubscribe(&empty).await.map_err(|_| Broken)
    }

    /// Tells everybody on a channel; gives those that are gone.
    fn publish(&self, channel: &str, payload: &str) -> Vec<u64> {
        let mut gone = Vec::new();
        for id in self.by_channel.get(channel).into_iter().flatten() {
            let Some((_, notes)) = self.by_id.get(id) else { continue };
            let note = Note::Published { channel: channel.to_owned(), payload: payload.to_owned() };
            if let Err(mpsc::error::TrySendError::Closed(_)) = notes.try_send(note) {
                gone.push(*id);
            }
        }
        gone
    }
}
