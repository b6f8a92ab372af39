//! Everything that happened, in order: numbered without gaps, so that a reader can come late and miss nothing.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use serde_json::{Value, json};
use tokio::sync::watch;

/// Records kept; older ones are dropped, and a reader that asks for them is told so. An hour of one busy call, or
/// some minutes of three hundred.
const KEPT: usize = 500_000;

/// The log that `/sim/events` serves.
#[derive(Debug)]
pub(crate) struct Journal {
    inner: Mutex<Inner>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    dropped: u64,
    lines: VecDeque<String>,
}

/// The asked-for records are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Number of the oldest record that is kept.
    pub(crate) first: u64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), latest: watch::Sender::new(0) }
    }

    /// Appends a record; `fields` must be an object.
    pub(crate) fn record(&self, at_ms: f64, event: &str, fields: Value) {
        let mut inner = self.lock();
        let n = inner.dropped + inner.lines.len() as u64 + 1;
        let mut record = json!({ "n": n, "at_ms": at_ms, "event": event });
        if let (Value::Object(record), Value::Object(fields)) = (&mut record, fields) {
            record.extend(fields);
        }
        inner.lines.push_back(format!("{record}\n"));
        if inner.lines.len() > KEPT {
            inner.lines.pop_front();
            inner.dropped += 1;
        }
        drop(inner);
        self.latest.send_replace(n);
    }

    /// Up to `limit` lines after record number `after`.
    ///
    /// # Errors
    /// When some of them are no longer kept.
    pub(crate) fn after(&self, after: u64, limit: usize) -> Result<Vec<String>, Dropped> {
        let inner = self.lock();
        if after < inner.dropped {
            return Err(Dropped { first: inner.dropped + 1 });
        }
        let skip = (after - inner.dropped) as usize;
        Ok(inner.lines.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Tells when there is a new record.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the journal panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_numbered_without_gaps_and_read_from_anywhere() {
        let journal = Journal::new();
        for n in 0..3 {
            journal.record(f64::from(n), "beat", json!({ "n_was": n }));
        }
        assert_eq!(journal.after(3, 9), Ok(vec![]));
        let lines = journal.after(1, 1).unwrap();
        let record: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(record, json!({ "n": 2, "at_ms": 1.0, "event": "beat", "n_was": 1 }));
    }

    #[test]
    fn what_was_dropped_is_said_and_not_skipped() {
        let journal = Journal::new();
        for _ in 0..KEPT + 2 {
            journal.record(0.0, "beat", json!({}));
        }
        assert_eq!(journal.after(1, 1), Err(Dropped { first: 3 }));
        assert!(journal.after(2, 1).unwrap()[0].contains("\"n\":3"));
    }
}
