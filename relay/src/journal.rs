//! What happened in one call, in order, for any number of watchers. Each reads at its own pace from the same log,
//! so a slow one delays nobody, and is told if what it would read next is not kept any more.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;
use voice_call::Notice;

use crate::ports::{PLATFORM, Sound};

/// Events kept of one call: more than an hour of lively talk has.
pub(crate) const KEPT: usize = 50_000;

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Position in the call's history; 1 is the first.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub notice: Notice,
    /// Who speaks, where a playback has started.
    pub played: Vec<Played>,
}

/// One clip of a playback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Played {
    /// Who spoke.
    pub engine: String,
    /// Whether it had been made before it was needed.
    pub is_cached: bool,
}

/// The log of one call.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: Mutex<VecDeque<Entry>>,
    /// The newest sequence, and whether it is the last one.
    head: watch::Sender<Head>,
}

/// How far a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The newest sequence.
    pub sequence: u64,
    /// Whether no more will come.
    pub is_closed: bool,
}

impl From<&Sound> for Played {
    fn from(sound: &Sound) -> Self {
        match sound {
            Sound::Clip(clip) => Self { engine: clip.engine.clone(), is_cached: clip.is_cached },
            Sound::Live(clip) => {
                let (engine, is_cached) = clip.origin();
                Self { engine, is_cached }
            }
            Sound::Text(_) => Self { engine: PLATFORM.to_owned(), is_cached: false },
        }
    }
}

impl Journal {
    /// A log whose first event comes after this sequence; zero for that of a new call.
    pub(crate) fn starting_after(sequence: u64) -> Self {
        let head = watch::Sender::new(Head { sequence, is_closed: false });
        Self { entries: Mutex::default(), head }
    }

    /// Adds what happened.
    pub(crate) fn push(&self, at: Timestamp, notice: Notice, played: Vec<Played>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = self.head.borrow().sequence + 1;
        entries.push_back(Entry { sequence, at, notice, played });
        if entries.len() > KEPT {
            entries.pop_front();
        }
        drop(entries);
        self.head.send_modify(|head| head.sequence = sequence);
    }

    /// Notes that the call is over.
    pub(crate) fn close(&self) {
        self.head.send_modify(|head| head.is_closed = true);
    }

    /// How far the log is.
    pub(crate) fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Follows the log.
    pub(crate) fn follow(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Events after `sequence`, at most `limit` of them.
    ///
    /// # Errors
    /// With the sequence of the oldest event that is kept, when older ones were asked for.
    pub(crate) fn after(&self, sequence: u64, limit: usize) -> Result<Vec<Entry>, u64> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.head.borrow().sequence + 1;
        let first = entries.front().map_or(next, |entry| entry.sequence);
        if sequence + 1 < first {
            return Err(first);
        }
        let skip = (sequence + 1 - first) as usize;
        Ok(entries.iter().skip(skip).take(limit).cloned().collect())
    }
}
