//! So many requests a minute, evenly: a minute's worth at once, then one after the other.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_mins(1);

/// What one token has left. The generic cell rate algorithm: one moment is all that is kept.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When everything that was taken would have come in, had it come evenly.
    even: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_minute: u64) -> Self {
        let interval = MINUTE / u32::try_from(per_minute.max(1)).unwrap_or(u32::MAX);
        Self { interval, even: Mutex::default() }
    }

    /// Takes one request, or says how long until there is one.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let next = even.map_or(now, |even| even.max(now)) + self.interval;
        if let Some(wait) = next.checked_duration_since(now + MINUTE).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        *even = Some(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_comes_at_once_and_then_one_after_the_other() {
        let pace = Pace::new(3);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..3 {
            pace.take(start).unwrap();
        }
        assert_eq!(pace.take(start), Err(Duration::from_secs(20)));
        assert_eq!(pace.take(at(15)), Err(Duration::from_secs(5)));
        assert_eq!(pace.take(at(20)), Ok(()));
        assert_eq!(pace.take(at(20)), Err(Duration::from_secs(20)));
        for _ in 0..3 {
            pace.take(at(200)).unwrap();
        }
        assert!(pace.take(at(200)).is_err());
    }
}
