//! Which line an event is for, and the sessions of all calls.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
};

use tokio::{sync::mpsc, task::JoinSet};
use voice_signalwire::Leg;

use crate::{adapters::trunk::Platform, callers::Callers, registry::CallRecord, session::Session};

/// Calls that were passed on and may come back.
const PASSED: usize = 256;

/// All lines of a relay.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// By the call's own id, and by the platform's of each of its legs.
    pub(super) by_leg: HashMap<String, mpsc::Sender<Platform>>,
    /// Calls by the first of these.
    pub(super) live: HashSet<String>,
    pub(super) sessions: JoinSet<String>,
    pub(super) passed: VecDeque<String>,
    /// How often numbers have called.
    pub(super) callers: Callers,
}

impl Lines {
    pub(super) fn spawn(
        &mut self,
        key: String,
        record: &CallRecord,
        platform: mpsc::Sender<Platform>,
        session: Session,
        line: impl Future<Output = ()> + Send + 'static,
    ) {
        use tracing::Instrument as _;
        self.by_leg.insert(record.call_id.clone(), platform.clone());
        self.by_leg.insert(key.clone(), platform);
        self.live.insert(key.clone());
        let span = tracing::info_span!("call", call.id = %record.call_id);
        let line = line.instrument(span.clone());
        let both = async move {
            tracing::info!("call taken");
            // A task of its own: fifty frames a second are the line's affair and not the session's.
            let mut lines = JoinSet::new();
            lines.spawn(line);
            session.run().await;
            while lines.join_next().await.is_some() {}
            tracing::info!("call over");
            key
        };
        self.sessions.spawn(both.instrument(span));
    }

    /// The platform's id of a leg that was known by its tag alone.
    pub(super) fn learn(&mut self, leg: &Leg, tag: &str) {
        if !self.by_leg.contains_key(&leg.call_id)
            && let Some(line) = self.by_leg.get(call_of(tag)).cloned()
        {
            self.by_leg.insert(leg.call_id.clone(), line);
        }
    }

    pub(super) fn tell(&mut self, key: &str, what: Platform) {
        let Some(line) = self.by_leg.get(key) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = line.try_send(what) {
            tracing::error!("a call does not take its events and is cut off");
            let cut_off = line.clone();
            self.by_leg.retain(|_, line| !line.same_channel(&cut_off));
        }
    }

    pub(super) fn tell_all(&mut self, what: &Platform) {
        for line in self.live.iter().filter_map(|key| self.by_leg.get(key)) {
            let _ = line.try_send(what.clone());
        }
    }

    pub(super) fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(key) => {
                self.live.remove(&key);
                self.by_leg.remove(&key);
            }
            Err(error) => tracing::error!(%error, "a call ended with a panic"),
        }
        // What a line was known by besides goes with it.
        self.by_leg.retain(|_, line| !line.is_closed());
        self.live.retain(|key| self.by_leg.contains_key(key));
    }

    pub(super) fn remember_passed(&mut self, leg_id: String) {
        self.passed.push_back(leg_id);
        if self.passed.len() > PASSED {
            self.passed.pop_front();
        }
    }
}

/// The call that a tag of ours is about: a call that is placed has its id as tag, and whoever is called for a live one has
/// more behind it.
pub(super) fn call_of(tag: &str) -> &str {
    tag.split_once('/').map_or(tag, |(call_id, _)| call_id)
}
