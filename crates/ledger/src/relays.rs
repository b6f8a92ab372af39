//! Which relays there are, and whose a call is.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use deadpool_redis::redis::{RedisResult, Script, aio::MultiplexedConnection};

use crate::{Away, Inner, Ledger, digest};

/// A relay that was not there for so long is forgotten. Until then its calls are known to be its calls.
const FORGOTTEN_MS: u64 = 60_000;

/// Digits of a relay's id.
const DIGITS: usize = 8;

/// Who a relay is: eight hexadecimal digits, made from the address at which others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayId(String);

/// Whose a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This relay's.
    Here,
    /// That of another one, at this address.
    There(String),
    /// No relay is known that makes such ids.
    Nobody,
}

#[derive(Debug)]
pub(crate) struct Relays {
    addr: String,
    id: RelayId,
    /// The others, as of late.
    others: Mutex<Vec<(RelayId, String)>>,
    attend: Script,
}

impl RelayId {
    /// The id of the relay at an address.
    pub fn of(addr: &str) -> Self {
        let mut digits = digest(addr);
        digits.truncate(DIGITS);
        Self(digits)
    }

    /// Whether a call's id is one of this relay's.
    pub fn owns(&self, call_id: &str) -> bool {
        call_id.split_once('-').is_some_and(|(relay, _)| relay == self.0)
    }
}

impl fmt::Display for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Relays {
    pub(crate) fn new(addr: &str) -> Self {
        Self {
            addr: addr.to_owned(),
            id: RelayId::of(addr),
            others: Mutex::default(),
            attend: Script::new(include_str!("attend.lua")),
        }
    }

    pub(crate) fn own_id(&self) -> &RelayId {
        &self.id
    }

    pub(crate) fn own_addr(&self) -> &str {
        &self.addr
    }

    fn others(&self) -> Vec<(RelayId, String)> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find(&self, call_id: &str) -> Option<Owner> {
        if self.id.owns(call_id) {
            return Some(Owner::Here);
        }
        let owner = self.others().into_iter().find(|(id, _)| id.owns(call_id));
        owner.map(|(_, addr)| Owner::There(addr))
    }
}

impl<T> Inner<T> {
    /// Says that this relay is there, and learns of the others.
    pub(crate) async fn attend(&self, mut redis: MultiplexedConnection) -> RedisResult<()> {
        let Self { relays, keys, .. } = self;
        let mut call = relays.attend.key(&keys.relays);
        let addrs: Vec<String> = call.arg(&relays.addr).arg(FORGOTTEN_MS).invoke_async(&mut redis).await?;
        let others = addrs.into_iter().filter(|addr| *addr != relays.addr);
        let others = others.map(|addr| (RelayId::of(&addr), addr)).collect();
        *relays.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
        Ok(())
    }
}

impl<T> Ledger<T> {
    /// Addresses of the other relays: those that were there within the last minute.
    pub fn others(&self) -> Vec<String> {
        self.inner.relays.others().into_iter().map(|(_, addr)| addr).collect()
    }

    /// Whose a call is, by its id alone. Redis is asked only for an id as relays make them, of one that is not known so
    /// far.
    pub async fn owner(&self, call_id: &str) -> Owner {
        if let Some(owner) = self.inner.relays.find(call_id) {
            return owner;
        }
        if !is_made_by_a_relay(call_id) {
            return Owner::Nobody;
        }
        let asked: Result<(), Away> = self.inner.link.ask(async |redis| self.inner.attend(redis).await).await;
        if let Err(error) = asked {
            tracing::debug!(%error, "whether there is another relay is not known");
        }
        self.inner.relays.find(call_id).unwrap_or(Owner::Nobody)
    }
}

fn is_made_by_a_relay(call_id: &str) -> bool {
    let relay = call_id.split_once('-').map(|(relay, _)| relay);
    relay.is_some_and(|relay| relay.len() == DIGITS && relay.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_known_by_its_address_and_its_calls_by_their_first_part() {
        let relay = RelayId::of("http://10.0.0.7:50051");
        assert_eq!(relay, RelayId::of("http://10.0.0.7:50051"));
        assert_ne!(relay, RelayId::of("http://10.0.0.8:50051"));
        assert_eq!(relay.to_string().len(), DIGITS);
        assert!(relay.owns(&format!("{relay}-0193")) && is_made_by_a_relay(&format!("{relay}-0193")));
        assert!(!is_made_by_a_relay("cxml-0193") && !is_made_by_a_relay(""));
        for other in ["", "-", "0193", &relay.to_string(), &format!("{relay}x-0193")] {
            assert!(!relay.owns(other), "{other}");
        }
    }
}
