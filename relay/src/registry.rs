//! The live calls, and those that ended not long ago.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::mpsc;
use voice_call::{Activity, State};

use crate::journal::Journal;

/// Calls that are remembered after their end.
const REMEMBERED: usize = 500;

/// What the outside may tell a live call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// End now.
    End,
    /// Finish the turn, say goodbye, end.
    Drain,
}

/// One call, as the outside sees it.
#[derive(Debug)]
pub(crate) struct CallRecord {
    /// Begins with the relay's id.
    pub call_id: String,
    /// The context it came in on.
    pub context: String,
    /// Number of the caller.
    pub caller_number: String,
    /// Number that was called.
    pub called_number: String,
    /// When the relay learned of it.
    pub created_at: Timestamp,
    /// What happened in it.
    pub journal: Journal,
    /// Where to tell it something.
    pub control: mpsc::Sender<Control>,
    status: Mutex<Status>,
}

/// What changes during a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Where it is in its life.
    pub state: State,
    /// What the assistant is doing.
    pub activity: Option<Activity>,
    /// Turns that were started.
    pub turns: u32,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// All calls of this relay, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    by_order: BTreeMap<u64, Arc<CallRecord>>,
    by_id: HashMap<String, u64>,
}

impl CallRecord {
    /// Makes the record of a call that rings.
    pub(crate) fn new(
        call_id: String,
        context: String,
        numbers: (String, String),
        created_at: Timestamp,
        control: mpsc::Sender<Control>,
    ) -> Self {
        let (caller_number, called_number) = numbers;
        let status = Status { state: State::Ringing, activity: None, turns: 0, ended_at: None };
        Self {
            call_id,
            context,
            caller_number,
            called_number,
            created_at,
            journal: Journal::default(),
            control,
            status: Mutex::new(status),
        }
    }

    /// The call as it is now.
    pub(crate) fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn is_live(&self) -> bool {
        !matches!(self.status().state, State::Ended { .. })
    }
}

impl Registry {
    /// Adds a call and forgets the oldest of those that are over.
    pub(crate) fn insert(&self, record: Arc<CallRecord>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let order = inner.next;
        inner.next += 1;
        inner.by_id.insert(record.call_id.clone(), order);
        inner.by_order.insert(order, record);
        let over: Vec<u64> =
            inner.by_order.iter().filter(|(_, record)| !record.is_live()).map(|(order, _)| *order).collect();
        for order in over.iter().take(over.len().saturating_sub(REMEMBERED)) {
            if let Some(record) = inner.by_order.remove(order) {
                inner.by_id.remove(&record.call_id);
            }
        }
    }

    /// Finds a call.
    pub(crate) fn find(&self, call_id: &str) -> Option<Arc<CallRecord>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.get(call_id).and_then(|order| inner.by_order.get(order)).cloned()
    }

    /// Calls that are live.
    pub(crate) fn live(&self) -> Vec<Arc<CallRecord>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_order.values().filter(|record| record.is_live()).cloned().collect()
    }

    /// Calls before `before` that `wanted` accepts, newest first, at most `limit`; with the position of each.
    pub(crate) fn page(
        &self,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&CallRecord) -> bool,
    ) -> Vec<(u64, Arc<CallRecord>)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let newest_first = inner.by_order.range(..before.unwrap_or(u64::MAX)).rev();
        let found = newest_first.filter(|(_, record)| wanted(record)).take(limit);
        found.map(|(order, record)| (*order, record.clone())).collect()
    }
}
