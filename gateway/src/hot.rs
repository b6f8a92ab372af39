//! Clips that were fetched just now, in memory: the platform fetches a phrase for every caller anew. What a name holds
//! never changes, so this is never wrong; it only forgets, after a while, so that a clip that the store has lost is
//! gone here too.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

/// All clips together: an hour of speech.
const MOST_BYTES: usize = 32 * 1_024 * 1_024;
/// A larger clip is read from the store every time.
const LARGEST: usize = 1_024 * 1_024;
/// After this the store is asked again. Far below the time for which a clip in use is kept there.
const REMEMBERED: Duration = Duration::from_mins(1);

/// The least recently used are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Hot(Mutex<Clips>);

#[derive(Debug, Default)]
struct Clips {
    by_name: HashMap<String, Clip>,
    by_use: BTreeMap<u64, String>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Clip {
    bytes: Bytes,
    read_at: Instant,
    used: u64,
}

impl Hot {
    /// A clip that was read a short while ago.
    pub(crate) fn get(&self, name: &str, now: Instant) -> Option<Bytes> {
        let mut clips = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(clips.by_name.get(name)?.read_at) > REMEMBERED {
            clips.forget(name);
            return None;
        }
        clips.uses += 1;
        let uses = clips.uses;
        let clip = clips.by_name.get_mut(name)?;
        let bytes = clip.bytes.clone();
        let before = std::mem::replace(&mut clip.used, uses);
        if let Some(name) = clips.by_use.remove(&before) {
            clips.by_use.insert(uses, name);
        }
        Some(bytes)
    }

    /// Remembers a clip that was read from the store.
    pub(crate) fn put(&self, name: &str, bytes: Bytes, now: Instant) {
        if bytes.len() > LARGEST {
            return;
        }
        let mut clips = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clips.forget(name);
        clips.uses += 1;
        clips.bytes += bytes.len();
        let used = clips.uses;
        clips.by_use.insert(used, name.to_owned());
        clips.by_name.insert(name.to_owned(), Clip { bytes, read_at: now, used });
        while clips.bytes > MOST_BYTES {
            let Some((_, oldest)) = clips.by_use.pop_first() else { break };
            clips.forget(&oldest);
        }
    }
}

impl Clips {
    fn forget(&mut self, name: &str) {
        if let Some(clip) = self.by_name.remove(name) {
            self.by_use.remove(&clip.used);
            self.bytes -= clip.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_and_all_of_it_has_its_bound() {
        let (hot, now) = (Hot::default(), Instant::now());
        let clip = Bytes::from(vec![7; LARGEST]);
        for n in 0..40 {
            hot.put(&n.to_string(), clip.clone(), now);
            assert!(hot.get("0", now).is_some(), "it is used again and again");
        }
        assert!(hot.get("1", now).is_none() && hot.get("39", now).is_some());
        let clips = hot.0.lock().unwrap();
        assert!(clips.bytes <= MOST_BYTES && clips.by_name.len() == clips.by_use.len());
        assert_eq!(clips.bytes, clips.by_name.len() * LARGEST);
    }

    #[test]
    fn a_clip_is_forgotten_after_a_while_and_a_large_one_never_remembered() {
        let (hot, now) = (Hot::default(), Instant::now());
        hot.put("a", Bytes::from_static(b"a"), now);
        hot.put("a", Bytes::from_static(b"a"), now);
        assert!(hot.get("a", now + REMEMBERED).is_some());
        assert!(hot.get("a", now + REMEMBERED + Duration::from_secs(1)).is_none());
        hot.put("large", Bytes::from(vec![0; LARGEST + 1]), now);
        assert!(hot.get("large", now).is_none());
        assert_eq!(hot.0.lock().unwrap().bytes, 0);
    }
}
