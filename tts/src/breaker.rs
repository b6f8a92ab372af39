//! Leaves an engine alone that keeps failing, so that a dead provider costs its timeout once and not at every clause.
//! After a pause one request finds out how it is; the pauses grow while it stays dead.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// How long it stays open at first.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a pause doubles: up to 40 s.
const DOUBLINGS: u32 = 3;
/// The longest wait that a provider may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A circuit breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
    /// Pauses since the last success.
    pauses: u32,
}

/// How an engine is thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It answers, apart from so many failures in a row.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// It is left alone.
    Open {
        /// Until then.
        until: Instant,
        /// Why.
        cause: Cause,
    },
    /// One request is finding out.
    Probing,
}

/// Why an engine is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It failed.
    Failures,
    /// Its provider's plan allows no more for now.
    Quota,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether the engine may be asked now. After a pause one request goes through to try; it has to end with a
    /// verdict, or with [`Breaker::abandoned`].
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Probing => false,
            State::Open { until, .. } if now < until => false,
            State::Open { .. } => {
                self.state = State::Probing;
                true
            }
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        let failures = match self.state {
            State::Closed { failures } => failures + 1,
            // It was asked before it was given up.
            State::Open { .. } => return,
            State::Probing => FAILURES,
        };
        if let Some(wait) = retry_after {
            self.open(now + wait.min(LONGEST_PAUSE), Cause::Failures);
        } else if failures >= FAILURES {
            let pause = PAUSE * 2_u32.pow(self.pauses.min(DOUBLINGS));
            self.pauses += 1;
            self.open(now + pause, Cause::Failures);
        } else {
            self.state = State::Closed { failures };
        }
    }

    /// There is no quota for it; nothing is wrong with it otherwise.
    pub(crate) fn spent(&mut self, now: Instant, retry_after: Duration) {
        self.open(now + retry_after.min(LONGEST_PAUSE), Cause::Quota);
    }

    /// A request was dropped before its end: if it was to find out how the engine is, the next one may.
    pub(crate) fn abandoned(&mut self, now: Instant) {
        if self.state == State::Probing {
            self.open(now, Cause::Failures);
        }
    }

    fn open(&mut self, until: Instant, cause: Cause) {
        self.state = State::Open { until, cause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.admits(now));
            breaker.failed(now, None);
        }
        breaker
    }

    #[test]
    fn three_failures_open_it_and_one_success_closes_it() {
        let now = Instant::now();
        let mut breaker = broken(now);
        assert!(!breaker.admits(now + PAUSE / 2));
        assert!(breaker.admits(now + PAUSE), "one try goes through");
        assert!(!breaker.admits(now + PAUSE * 100), "and only one, however long it takes");
        breaker.succeeded();
        assert!(breaker.admits(now + PAUSE));
    }

    #[test]
    fn pauses_grow_up_to_a_bound_while_it_stays_dead() {
        let mut now = Instant::now();
        let mut breaker = broken(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let State::Open { until, cause: Cause::Failures } = breaker.state() else {
                panic!("{breaker:?}")
            };
            pauses.push((until - now).as_secs());
            now = until;
            assert!(breaker.admits(now));
            breaker.failed(now, None);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 40, 40]);
    }

    #[test]
    fn a_try_that_is_dropped_leaves_room_for_the_next_one() {
        let now = Instant::now();
        let mut breaker = broken(now);
        assert!(breaker.admits(now + PAUSE));
        breaker.abandoned(now + PAUSE);
        assert!(breaker.admits(now + PAUSE));
        let mut sound = Breaker::default();
        sound.abandoned(now);
        assert_eq!(sound.state(), State::Closed { failures: 0 });
    }

    #[test]
    fn a_provider_that_asks_to_wait_is_left_alone_for_that_long_but_not_forever() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.failed(now, Some(Duration::from_secs(30)));
        assert!(!breaker.admits(now + Duration::from_secs(29)));
        assert!(breaker.admits(now + Duration::from_secs(30)));
        breaker.spent(now, Duration::from_hours(9));
        assert!(breaker.admits(now + LONGEST_PAUSE));
    }

    #[test]
    fn what_was_asked_before_it_was_given_up_changes_nothing_by_failing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.spent(now, Duration::from_secs(9));
        let before = breaker.state();
        breaker.failed(now, Some(Duration::from_mins(1)));
        assert_eq!(breaker.state(), before);
    }
}
