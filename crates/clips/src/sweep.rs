//! Removing what nobody needs any more: the least recently used first, never anything in use, and a bounded number
//! at a time. Any number of processes may sweep one store; they agree on what is oldest.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use crate::{Clips, ClipsError, IN_USE, missing, name, unused_for};

/// The most that one sweep removes.
const BATCH: usize = 1_000;

/// What a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All clips together. Clips in use stay even beyond it.
    pub bytes: u64,
    /// From the last use of a clip.
    pub age: Duration,
}

/// What a sweep found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Clips that are left.
    pub clips: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Clips that were removed.
    pub removed: u64,
    /// Whether there is more to remove than one sweep does.
    pub has_more: bool,
}

/// A clip that is not in use, ordered by its last use.
struct Idle(ObjectMeta);

impl Clips {
    /// Removes clips that are too old, and the least recently used until the rest is within its limit.
    ///
    /// # Errors
    /// When the store cannot be listed. A clip that cannot be removed is left to the next sweep.
    pub async fn sweep(&self, limits: Limits, now: Timestamp) -> Result<Swept, ClipsError> {
        let mut swept = Swept::default();
        let mut oldest = BinaryHeap::new();
        let mut listed = self.store.list(None);
        while let Some(meta) = listed.try_next().await.map_err(ClipsError::Store)? {
            if !name::has_form(meta.location.as_ref()) {
                continue;
            }
            swept.clips += 1;
            swept.bytes += meta.size;
            if unused_for(&meta, now) > IN_USE {
                oldest.push(Idle(meta));
            }
            if oldest.len() > BATCH {
                oldest.pop();
                swept.has_more = true;
            }
        }
        drop(listed);
        for Idle(meta) in oldest.into_sorted_vec() {
            let is_too_old = unused_for(&meta, now) > limits.age;
            if !is_too_old && swept.bytes <= limits.bytes {
                swept.has_more = false;
                break;
            }
            match self.remove(&meta, now).await {
                Ok(true) => {
                    swept.clips -= 1;
                    swept.bytes -= meta.size;
                    swept.removed += 1;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a clip could not be removed"),
            }
        }
        Ok(swept)
    }

    /// Looks at a clip once more and removes it if it still is not in use. Nobody of this process hands it out
    /// meanwhile; another process that does so within this one round trip has its clip removed.
    pub(crate) async fn remove(&self, meta: &ObjectMeta, now: Timestamp) -> Result<bool, ClipsError> {
        let _alone = self.gate(meta.location.as_ref()).write().await;
        let again = match self.store.head(&meta.location).await.map_err(missing) {
            Ok(again) => again,
            // Another process was faster.
            Err(ClipsError::Gone) => return Ok(true),
            Err(error) => return Err(error),
        };
        if unused_for(&again, now) <= IN_USE {
            return Ok(false);
        }
        match self.store.delete(&meta.location).await.map_err(missing) {
            Ok(()) | Err(ClipsError::Gone) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Ord for Idle {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |idle: &Self| (idle.0.last_modified, idle.0.location.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Idle {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Idle {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Idle {}
