//! Celery's events: what Flower and its kin show of a worker and its jobs. Nothing that callers said is in them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{Jobs, wire};

/// Events that may wait to be published; more are dropped, as pub/sub drops them anyway.
const QUEUE: usize = 4_096;
const BATCH: usize = 64;

/// Seconds between heartbeats.
pub(crate) const HEARTBEAT: f64 = 2.0;

/// What stands for arguments and results.
pub(crate) const REDACTED: &str = "'...'";

type Event = (&'static str, Map<String, Value>);

/// A worker's events.
#[derive(Debug)]
pub(crate) struct Events {
    worker: String,
    sender: mpsc::Sender<Event>,
    /// Somebody watches jobs, and not only workers.
    are_jobs_watched: AtomicBool,
    /// Lamport's clock: Celery's tools order by it.
    clock: AtomicU64,
}

impl Events {
    pub(crate) fn new(worker: &str) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let events = Self {
            worker: worker.to_owned(),
            sender,
            are_jobs_watched: AtomicBool::new(false),
            clock: AtomicU64::new(0),
        };
        (events, receiver)
    }

    pub(crate) fn watch_jobs(&self, are_watched: bool) {
        self.are_jobs_watched.store(are_watched, Ordering::Relaxed);
    }

    /// Moves the clock past a moment that somebody else has seen.
    pub(crate) fn saw(&self, clock: u64) {
        self.clock.fetch_max(clock, Ordering::Relaxed);
    }

    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells of a job, if anybody watches.
    pub(crate) fn job(&self, kind: &'static str, id: &str, more: impl FnOnce() -> Value) {
        if self.are_jobs_watched.load(Ordering::Relaxed) {
            self.send(kind, json!({ "uuid": id }), more());
        }
    }

    /// Tells of the worker itself.
    pub(crate) fn worker(&self, kind: &'static str, active: usize, processed: u64) {
        let about = json!({
            "freq": HEARTBEAT, "active": active, "processed": processed, "loadavg": load(),
            "sw_ident": "voicemesh", "sw_ver": env!("CARGO_PKG_VERSION"), "sw_sys": "Linux",
        });
        self.send(kind, about, Value::Null);
    }

    fn send(&self, kind: &'static str, fields: Value, more: Value) {
        let mut event = Map::new();
        for part in [fields, more] {
            if let Value::Object(part) = part {
                event.extend(part);
            }
        }
        let common = json!({
            "type": kind, "hostname": self.worker, "timestamp": now(), "utcoffset": 0,
            "pid": std::process::id(), "clock": self.tick(),
        });
        if let Value::Object(common) = common {
            event.extend(common);
        }
        let _ = self.sender.try_send((kind, event));
    }
}

/// Publishes events until their source is gone.
pub(crate) async fn publish(jobs: Jobs, worker: String, mut events: mpsc::Receiver<Event>) {
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        let messages: Vec<_> = batch
            .drain(..)
            .map(|(kind, event)| {
                let route = json!({ "delivery_info": { "exchange": "celeryev", "routing_key": kind.replace('-', ".") } });
                let body = Value::Object(event).to_string();
                let message = wire::message(&body, &json!({ "hostname": worker }), route);
                (jobs.inner.store.keys.events(kind), message)
            })
            .collect();
        if let Err(error) = jobs.publish(&messages).await {
            tracing::debug!(%error, "events were lost");
        }
    }
}

/// Unix seconds.
pub(crate) fn now() -> f64 {
    Timestamp::now().as_microsecond() as f64 / 1e6
}

fn load() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}
