//! What was asked, and how each request ended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Requests that are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 10_000;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Service {
    /// Speech to text.
    Stt,
    /// Chat completions.
    Llm,
    /// Text to speech.
    Tts,
    /// Everything else.
    Models,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It is being answered.
    Open,
    /// The whole answer was given, such as it was.
    Answered,
    /// The client went away first, or a fault broke the connection.
    Broken,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    /// 1 for the first.
    pub(super) n: u64,
    pub(super) endpoint: Service,
    /// Unix time in milliseconds when its head had arrived.
    pub(super) at_ms: f64,
    /// The same for the end of the answer.
    pub(super) ended_ms: Option<f64>,
    /// Length of its body.
    pub(super) bytes: u64,
    pub(super) status: Option<u16>,
    pub(super) state: State,
    /// What the endpoint makes of it: messages, input, text heard and so on.
    #[serde(flatten)]
    pub(super) details: Map<String, Value>,
}

/// The requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<(u64, VecDeque<Record>)>);

/// A request's place in the journal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    journal: Arc<Journal>,
    n: u64,
    request_id: Arc<str>,
}

/// Notes that a request is broken off, unless it was answered before.
#[derive(Debug)]
pub(super) struct Guard(Entry);

impl Journal {
    pub(super) fn open(
        self: &Arc<Self>,
        endpoint: Service,
        bytes: u64,
        details: Map<String, Value>,
    ) -> Entry {
        let mut journal = self.0.lock().expect("no panic while locked");
        let (last, records) = &mut *journal;
        *last += 1;
        if records.len() == REMEMBERED {
            records.pop_front();
        }
        records.push_back(Record {
            n: *last,
            endpoint,
            at_ms: unix_ms(),
            ended_ms: None,
            bytes,
            status: None,
            state: State::Open,
            details,
        });
        Entry { journal: Arc::clone(self), n: *last, request_id: new_request_id() }
    }

    pub(super) fn after(&self, n: u64) -> Vec<Record> {
        let journal = self.0.lock().expect("no panic while locked");
        journal.1.iter().filter(|record| record.n > n).cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.0.lock().expect("no panic while locked").1.clear();
    }
}

impl Entry {
    /// The id that the answer carries.
    pub(super) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Adds what the endpoint makes of the request.
    pub(super) fn note(&self, name: &str, value: impl Into<Value>) {
        self.change(|record| {
            record.details.insert(name.to_owned(), value.into());
        });
    }

    pub(super) fn set_status(&self, status: u16) {
        self.change(|record| record.status = Some(status));
    }

    pub(super) fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn end(&self, state: State) {
        self.change(|record| {
            if record.state == State::Open {
                record.state = state;
                record.ended_ms = Some(unix_ms());
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut journal = self.journal.0.lock().expect("no panic while locked");
        if let Some(record) = journal.1.iter_mut().rev().find(|record| record.n == self.n) {
            change(record);
        }
    }
}

impl Guard {
    /// Notes that the whole answer was given.
    pub(super) fn answered(self) {
        self.0.end(State::Answered);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end(State::Broken);
    }
}

/// Unix time in milliseconds, with microseconds behind the point.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator is an edge: its journal is compared with other processes'"
)]
pub(super) fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}

/// `req_` and 26 characters of base 32.
fn new_request_id() -> Arc<str> {
    let digits = b"0123456789abcdefghjkmnpqrstvwxyz";
    let id = (0..26).map(|_| char::from(digits[fastrand::usize(..digits.len())]));
    format!("req_{}", id.collect::<String>()).into()
}
