//! Leaves an engine alone that keeps failing, so that a dead provider costs its timeout once and not at every clause.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// How long it stays open.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest wait that a provider may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A circuit breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether the engine may be asked now. After a pause one request goes through to try.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.failures += 1;
        if let Some(wait) = retry_after {
            self.open_until = Some(now + wait.min(LONGEST_PAUSE));
        } else if self.failures >= FAILURES {
            self.open_until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_open_it_and_one_success_closes_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            assert!(breaker.admits(now));
            breaker.failed(now, None);
        }
        assert!(!breaker.admits(now + PAUSE / 2));
        assert!(breaker.admits(now + PAUSE), "one try goes through");
        assert!(!breaker.admits(now + PAUSE), "and only one");
        breaker.succeeded();
        assert!(breaker.admits(now + PAUSE));
    }

    #[test]
    fn a_provider_that_asks_to_wait_is_left_alone_for_that_long() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.failed(now, Some(Duration::from_secs(30)));
        assert!(!breaker.admits(now + Duration::from_secs(29)));
        assert!(breaker.admits(now + Duration::from_secs(30)));
    }
}
