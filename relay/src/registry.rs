//! The live calls, and those that ended not long ago.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use voice_call::{Activity, Refusal, SayId, State};

use crate::{error::Error, journal::Journal};

/// Calls that are remembered after their end.
const REMEMBERED: usize = 500;

/// A call that does not answer within this has hung.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What the outside may tell a live call.
#[derive(Debug)]
pub(crate) enum Control {
    /// End now.
    End,
    /// Finish the turn, say goodbye, end.
    Drain,
    /// Do something, or say why not.
    Ask(Ask, oneshot::Sender<Result<Asked, Refusal>>),
}

/// Something that the outside asks of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Say a text.
    Say {
        /// The words.
        text: String,
        /// Whether what is being said stops for it.
        interrupts: bool,
    },
    /// Tell the assistant something further.
    Instruct(String),
    /// Dial digits into the call.
    SendDigits(String),
    /// Hand the call to a number.
    Transfer {
        /// E.164.
        number: String,
        /// What whoever answers is told first, if anything; empty for the assistant's own words.
        announcement: Option<String>,
    },
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It will be said under this id.
    Say(SayId),
    /// It is done, or under way.
    Done,
}

/// How a call came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The platform told of it.
    Received,
    /// We placed it.
    Placed,
    /// Somebody brought its audio; no platform is asked for anything.
    Streamed,
}

/// One call, as the outside sees it.
#[derive(Debug)]
pub(crate) struct CallRecord {
    /// Begins with the relay's id.
    pub call_id: String,
    /// How it came to be.
    pub origin: Origin,
    /// The context it came in on, or that chose its assistant.
    pub context: String,
    /// Number of the caller.
    pub caller_number: String,
    /// Number that was called.
    pub called_number: String,
    /// When the relay learned of it.
    pub created_at: Timestamp,
    /// What happened in it.
    pub journal: Journal,
    /// The token by which it was placed or brought, where that has a limit.
    pub by: Option<String>,
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

/// A place in the list of all calls, whichever relay has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// When the call was learned of.
    pub created_at: Timestamp,
    /// Its id, which decides between calls of the same moment.
    pub call_id: String,
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
        origin: Origin,
        context: String,
        numbers: (String, String),
        created_at: Timestamp,
        control: mpsc::Sender<Control>,
    ) -> Self {
        let (caller_number, called_number) = numbers;
        let status = Status { state: State::Ringing, activity: None, turns: 0, ended_at: None };
        Self {
            call_id,
            origin,
            context,
            caller_number,
            called_number,
            created_at,
            journal: Journal::starting_after(0),
            by: None,
            control,
            status: Mutex::new(status),
        }
    }

    /// The same call, for which a token counts.
    pub(crate) fn counted_for(self, by: Option<String>) -> Self {
        Self { by, ..self }
    }

    /// The same call, conducted by another process until now: its events are numbered on after `sequence`.
    pub(crate) fn taken_back(self, sequence: u64, turns: u32) -> Self {
        self.update(|status| status.turns = turns);
        Self { journal: Journal::starting_after(sequence), ..self }
    }

    /// The call as it is now.
    pub(crate) fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the call can be handed over and dialled into.
    pub(crate) fn check_trunk(&self) -> Result<(), Error> {
        match self.origin {
            Origin::Received | Origin::Placed => Ok(()),
            Origin::Streamed => Err(Error::AudioOnly),
        }
    }

    /// Asks something of the call, which answers at once.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Asked, Error> {
        let (reply, answer) = oneshot::channel();
        self.control.try_send(Control::Ask(ask, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::CallOverloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Refused(Refusal::Ending),
        })?;
        match tokio::time::timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(answer)) => answer.map_err(Error::Refused),
            Ok(Err(_)) => Err(Error::Refused(Refusal::Ending)),
            Err(_) => Err(Error::CallOverloaded),
        }
    }

    fn place(&self) -> (Timestamp, &str) {
        (self.created_at, &self.call_id)
    }

    fn is_live(&self) -> bool {
        !matches!(self.status().state, State::Ended { .. })
    }
}

impl Place {
    fn is_after(&self, record: &CallRecord) -> bool {
        (self.created_at, self.call_id.as_str()).cmp(&record.place()) == Ordering::Greater
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

    /// Calls older than `before` that `wanted` accepts, newest first, at most `limit`.
    pub(crate) fn page(
        &self,
        before: Option<&Place>,
        limit: usize,
        wanted: impl Fn(&CallRecord) -> bool,
    ) -> Vec<Arc<CallRecord>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = |record: &CallRecord| before.is_none_or(|before| before.is_after(record));
        let found = inner.by_order.values().filter(|record| is_older(record) && wanted(record));
        let mut found: Vec<_> = found.cloned().collect();
        drop(inner);
        found.sort_unstable_by(|one, other| other.place().cmp(&one.place()));
        found.truncate(limit);
        found
    }
}
