//! Ports for processes that are killed and started again where they were: each is given once.

use std::{
    net::TcpListener,
    ops::Range,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;

/// Below 32768, from where on the kernel takes ports for connections and for whoever asks for any: none of those can
/// take the port of a process that is not there yet, or is down.
const ALL: Range<u16> = 10_000..32_000;

/// So many belong to one process of tests.
const BLOCK: u16 = 500;

static OWN: Mutex<Ports> = Mutex::new(Ports::NONE);

/// The ports of this process.
#[derive(Debug)]
struct Ports {
    left: Range<u16>,
    /// Names that only one process can have; the kernel gives them back with the process.
    claims: Vec<UnixListener>,
}

impl Ports {
    const NONE: Self = Self { left: 0..0, claims: Vec::new() };

    fn next(&mut self) -> anyhow::Result<u16> {
        loop {
            let Some(port) = self.left.next() else {
                self.claim()?;
                continue;
            };
            // Something else may be served there.
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
    }

    fn claim(&mut self) -> anyhow::Result<()> {
        let blocks = ALL.step_by(BLOCK.into()).map(|first| first..first + BLOCK);
        let mut claimed = blocks.filter_map(|block| {
            let name = SocketAddr::from_abstract_name(format!("voicemesh-ports-{}", block.start)).ok()?;
            Some((UnixListener::bind_addr(&name).ok()?, block))
        });
        let (claim, block) = claimed.next().context("other tests that are running have all ports")?;
        self.claims.push(claim);
        self.left = block;
        Ok(())
    }
}

/// A port that is free, and that nobody else is given.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_processes_are_given_the_same_port_and_none_is_given_twice() {
        let (mut one, mut two) = (Ports::NONE, Ports::NONE);
        let count = usize::from(BLOCK) + 1;
        let given = (0..count).flat_map(|_| [one.next().unwrap(), two.next().unwrap()]);
        assert_eq!(given.collect::<BTreeSet<_>>().len(), 2 * count);
    }
}
