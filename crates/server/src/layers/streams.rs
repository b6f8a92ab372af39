//! How many streams each connection has open.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::status::{Reason, ServiceError, reason};

/// The streams of all connections, each of which may have so many.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    most: u32,
    open: Arc<Mutex<HashMap<SocketAddr, u32>>>,
}

/// One stream, for as long as it is not dropped.
#[derive(Debug)]
pub(super) struct Stream {
    peer: SocketAddr,
    open: Arc<Mutex<HashMap<SocketAddr, u32>>>,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection has {0} streams open, as many as MAX_STREAMS_PER_CONNECTION allows")]
pub(super) struct TooManyStreams(u32);

impl ServiceError for TooManyStreams {
    fn reason(&self) -> Reason {
        reason::STREAMS_AT_LIMIT
    }
}

impl Streams {
    pub(super) fn new(most: u32) -> Self {
        Self { most, open: Arc::default() }
    }

    /// Opens one more of the connection from `peer`.
    pub(super) fn open(&self, peer: SocketAddr) -> Result<Stream, TooManyStreams> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= self.most {
            return Err(TooManyStreams(*count));
        }
        *count += 1;
        Ok(Stream { peer, open: self.open.clone() })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_its_number_of_streams_and_leaves_nothing_behind() {
        let streams = Streams::new(2);
        let (here, there) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        let held = [streams.open(here).unwrap(), streams.open(here).unwrap()];
        assert!(streams.open(here).is_err() && streams.open(there).is_ok());
        drop(held);
        assert!(streams.open(here).is_ok());
        assert!(streams.open.lock().unwrap().is_empty());
    }
}
