//! What a worker has in its hands, and what it has been told of jobs to come.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ConsumerConfig;
use crate::{
    Jobs,
    claim::{Claimed, Doorbell, Owner},
    events::{self, Events},
};

/// Revoked ids that are remembered.
const REVOKED: usize = 10_000;

/// What all parts of a worker know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) jobs: Jobs,
    pub(crate) config: ConsumerConfig,
    pub(crate) events: Events,
    pub(crate) started: Instant,
    pub(crate) shutdown: CancellationToken,
    pub(super) doorbell: Doorbell,
    pub(super) owner: Owner,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages in hand, by delivery tag; with the job's id once it has begun.
    hands: HashMap<String, Option<(String, Running)>>,
    revoked: VecDeque<String>,
    totals: BTreeMap<String, u64>,
}

/// A job in hand.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) task: String,
    /// Unix seconds.
    pub(crate) since: f64,
    revoke: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        jobs: Jobs,
        config: ConsumerConfig,
        events: Events,
        shutdown: CancellationToken,
    ) -> Self {
        let (owner, doorbell) = (Owner::new(&config.worker_name), Doorbell::default());
        let started = Instant::now();
        Self { jobs, config, events, started, shutdown, doorbell, owner, state: Mutex::default() }
    }

    /// Notes that a job is in hand; `false` if it has been revoked.
    pub(super) fn begin(&self, id: &str, tag: &str, task: &str, revoke: &CancellationToken) -> bool {
        let running = Running { task: task.to_owned(), since: events::now(), revoke: revoke.clone() };
        let mut state = self.state();
        state.hands.insert(tag.to_owned(), Some((id.to_owned(), running)));
        *state.totals.entry(task.to_owned()).or_default() += 1;
        !state.revoked.iter().any(|revoked| revoked == id)
    }

    /// Stops jobs, and remembers those that may come; gives the ids that nobody here runs.
    pub(crate) fn revoke(&self, ids: &[String], terminate: bool) -> Vec<String> {
        let mut state = self.state();
        let mut others = Vec::new();
        for id in ids {
            let mut is_here = false;
            for (running_id, running) in state.hands.values().flatten() {
                if running_id == id {
                    is_here = true;
                    if terminate {
                        running.revoke.cancel();
                    }
                }
            }
            if !is_here {
                others.push(id.clone());
            }
            state.revoked.push_back(id.clone());
            if state.revoked.len() > REVOKED {
                state.revoked.pop_front();
            }
        }
        others
    }

    pub(crate) fn revoked(&self) -> Vec<String> {
        self.state().revoked.iter().cloned().collect()
    }

    pub(crate) fn totals(&self) -> BTreeMap<String, u64> {
        self.state().totals.clone()
    }

    pub(crate) fn running(&self, mut look: impl FnMut(&str, &Running) -> Value) -> Vec<Value> {
        self.state().hands.values().flatten().map(|(id, running)| look(id, running)).collect()
    }

    /// Tells that the worker lives.
    pub(crate) fn beat(&self, kind: &'static str) {
        let (active, processed) = {
            let state = self.state();
            (state.hands.len(), state.totals.values().sum())
        };
        self.events.worker(kind, active, processed);
    }

    /// Notes that a message is in hand.
    pub(super) fn hold(self: &Arc<Self>, claimed: &Claimed) -> Hand {
        let tag = claimed.claim.tag.clone();
        self.state().hands.insert(tag.clone(), None);
        Hand { shared: self.clone(), tag }
    }

    /// Those of some tags that this worker has not heard of.
    pub(super) fn unknown(&self, tags: Vec<String>) -> HashSet<String> {
        let state = self.state();
        tags.into_iter().filter(|tag| !state.hands.contains_key(tag)).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that this worker knows to be in its hands, until it is let go.
pub(super) struct Hand {
    shared: Arc<Shared>,
    tag: String,
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.shared.state().hands.remove(&self.tag);
    }
}
