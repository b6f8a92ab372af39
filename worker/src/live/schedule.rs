//! When it is worth recognising an utterance that goes on: every pass is a request, and most providers bill ten seconds.

use std::time::Duration;

use tokio::time::Instant;

/// Voice before the first pass: two or three words.
const FIRST: Duration = Duration::from_millis(700);
/// New voice before another one.
const STEP: Duration = Duration::from_millis(800);
/// The same as a part of all voice so far: the longer somebody speaks, the fewer of his words are new.
const PART: u32 = 4;

/// When the next pass over one utterance is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// Voice in the last pass.
    passed: Duration,
    /// Nothing before this.
    pause: Option<Instant>,
}

/// What a process spends on passes that nobody waits for: so many a minute, a tenth of them at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    per_second: f64,
    most: f64,
    left: f64,
    counted: Option<Instant>,
}

impl Schedule {
    pub(super) fn is_due(&self, voiced: Duration, now: Instant) -> bool {
        let step = if self.passed.is_zero() { FIRST } else { STEP.max(self.passed / PART) };
        voiced >= self.passed + step && self.pause.is_none_or(|until| until <= now)
    }

    /// A pass over so much voice has begun.
    pub(super) fn begin(&mut self, voiced: Duration) {
        self.passed = voiced;
    }

    /// Nothing is due until then.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.pause = Some(until);
    }
}

impl Budget {
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = f64::from(per_minute);
        let most = (per_minute / 10.0).max(1.0);
        Self { per_second: per_minute / 60.0, most, left: most, counted: None }
    }

    /// Takes one pass.
    ///
    /// # Errors
    /// When there is none left: the time at which there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let since = self.counted.map_or(Duration::ZERO, |counted| now.saturating_duration_since(counted));
        self.left = (self.left + since.as_secs_f64() * self.per_second).min(self.most);
        self.counted = Some(now);
        if self.left < 1.0 {
            return Err(now + Duration::from_secs_f64((1.0 - self.left) / self.per_second));
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn passes_grow_apart_as_the_utterance_grows() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        let mut passes = Vec::new();
        for tenths in 0..600 {
            let voiced = MS(100 * tenths);
            if schedule.is_due(voiced, now) {
                passes.push(tenths);
                schedule.begin(voiced);
            }
        }
        assert_eq!(&passes[..6], [7, 15, 23, 31, 39, 49]);
        assert!(passes.len() <= 18, "a minute of speech takes {} passes", passes.len());
    }

    #[test]
    fn a_pass_that_is_put_off_comes_later() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.put_off(now + MS(500));
        assert!(!schedule.is_due(MS(2_000), now));
        assert!(schedule.is_due(MS(2_000), now + MS(500)));
    }

    #[test]
    fn a_process_spends_a_tenth_of_its_minute_at_once_and_the_rest_as_time_goes_by() {
        let mut budget = Budget::new(60);
        let start = Instant::now();
        let at_once = (0..20).filter(|_| budget.take(start).is_ok()).count();
        assert_eq!(at_once, 6);
        let next = budget.take(start).unwrap_err();
        assert!(next > start + MS(900) && next <= start + MS(1_001), "{:?}", next - start);
        let in_a_minute =
            (0..600).filter(|tenths| budget.take(start + MS(2_000 + 100 * tenths)).is_ok()).count();
        assert!((59..=61).contains(&in_a_minute), "{in_a_minute}");
    }
}
