//! Single instances of a service, by address: each has a connection of its own, which all that is asked of it shares.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{Channel, ClientConfig, Peer, channel};

/// Instances that are remembered; the one that was not used for longest is forgotten.
const MOST: usize = 64;

/// Channels to instances of one service.
#[derive(Debug)]
pub struct Directory {
    peer: Peer,
    client: ClientConfig,
    known: Mutex<HashMap<String, (Channel, Instant)>>,
}

impl Directory {
    /// Knows nobody yet.
    pub fn new(peer: Peer, client: ClientConfig) -> Self {
        Self { peer, client, known: Mutex::default() }
    }

    /// A channel to the instance at an address.
    ///
    /// # Errors
    /// When it is no address.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn at(&self, addr: &str) -> anyhow::Result<Channel> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((channel, used)) = known.get_mut(addr) {
            *used = now;
            return Ok(channel.clone());
        }
        let channel = channel(self.peer, addr, &self.client)?;
        let oldest = known.iter().min_by_key(|(_, (_, used))| *used).map(|(addr, _)| addr.clone());
        if let Some(oldest) = oldest.filter(|_| known.len() >= MOST) {
            known.remove(&oldest);
        }
        known.insert(addr.to_owned(), (channel.clone(), now));
        Ok(channel)
    }
}
