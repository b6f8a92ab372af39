//! Which webhooks were taken already. Neither way of signing has a time or a number in it, so what can be done against
//! replays is to remember signatures: the newest of them, in this process. A call that one begins has an id of its own
//! besides, so that a replay elsewhere or much later finds it taken.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

/// Signatures that are remembered: those of a day at one call in two seconds, in three megabytes.
const REMEMBERED: usize = 43_200;

type Fingerprint = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct Replays(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    known: HashSet<Fingerprint>,
    by_age: VecDeque<Fingerprint>,
}

impl Replays {
    /// Remembers a signature; `false` if it was known.
    pub(super) fn is_new(&self, signature: &[u8]) -> bool {
        let digest = Sha256::digest(signature);
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(&digest[..16]);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.known.insert(fingerprint) {
            return false;
        }
        seen.by_age.push_back(fingerprint);
        if seen.by_age.len() > REMEMBERED
            && let Some(oldest) = seen.by_age.pop_front()
        {
            seen.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signature_is_new_once_and_memory_has_its_bound() {
        let replays = Replays::default();
        for n in 0..REMEMBERED + 10 {
            assert!(replays.is_new(&n.to_le_bytes()));
        }
        assert!(!replays.is_new(&REMEMBERED.to_le_bytes()));
        let seen = replays.0.lock().unwrap();
        assert_eq!((seen.known.len(), seen.by_age.len()), (REMEMBERED, REMEMBERED));
    }
}
