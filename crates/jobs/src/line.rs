//! The one connection on which a process hears what is published, and on which it says what somebody waits for. News
//! and answers that Redis has at the same moment so arrive together, and wake the process once.

use std::sync::{Mutex, PoisonError};

use deadpool_redis::redis::aio::MultiplexedConnection;
use tokio_util::sync::CancellationToken;

/// The connection, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<Option<Connected>>);

/// A connection that worked when it was last used.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) connection: MultiplexedConnection,
    /// Fires when it is gone, or is to be given up: then another one is made.
    pub(crate) lost: CancellationToken,
}

impl Line {
    pub(crate) fn get(&self) -> Option<Connected> {
        self.slot().clone().filter(|connected| !connected.lost.is_cancelled())
    }

    pub(crate) fn set(&self, connected: Option<Connected>) {
        *self.slot() = connected;
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Connected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
