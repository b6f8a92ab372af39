//! How fast the recogniser usually is, learnt from its answers, and how many second requests that justifies.

use std::{collections::VecDeque, time::Duration};

/// Groq's whisper answers most requests within half a second, and some after two.
const PRIOR: Duration = Duration::from_millis(900);
/// The prior counts as much as so many answers.
const PRIOR_WEIGHT: u32 = 10;
/// Answers that are remembered.
const REMEMBERED: usize = 100;
/// Requests of a hundred that are slower than the pace.
const SLOW_PERCENT: usize = 5;
/// However fast a provider is, a hiccup of the network is no reason to ask twice.
const LEAST: Duration = Duration::from_millis(150);
/// However slow it is, the second request needs time as well.
const MOST: Duration = Duration::from_secs(2);
/// Second requests for each first one. When all of a sudden everything is slow, a second one for each would make it worse.
const SHARE: f32 = 0.1;
/// The most that is saved up.
const SAVED: f32 = 3.0;

/// The pace of a recogniser.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    recent: VecDeque<Duration>,
    /// Second requests that may be made.
    allowance: f32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { recent: VecDeque::with_capacity(REMEMBERED), allowance: SAVED }
    }
}

impl Pace {
    /// An answer took so long, or at least so long.
    pub(super) fn learn(&mut self, took: Duration) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
        self.allowance = (self.allowance + SHARE).min(SAVED);
    }

    /// How long an answer takes in 95 of 100 cases; longer is slow.
    pub(super) fn patience(&self) -> Duration {
        let count = self.recent.len();
        if count == 0 {
            return PRIOR;
        }
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        let at = count - 1 - count * SLOW_PERCENT / 100;
        let (_, usual, _) = sorted.select_nth_unstable(at);
        let known = count as u32;
        ((PRIOR * PRIOR_WEIGHT + *usual * known) / (PRIOR_WEIGHT + known)).clamp(LEAST, MOST)
    }

    /// Takes a second request, if there is one to take.
    pub(super) fn may_hedge(&mut self) -> bool {
        let may = self.allowance >= 1.0;
        if may {
            self.allowance -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn learnt(millis: impl IntoIterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        millis.into_iter().for_each(|millis| pace.learn(MS(millis)));
        pace
    }

    #[test]
    fn the_pace_begins_with_a_guess_and_becomes_what_is_seen() {
        assert_eq!(Pace::default().patience(), PRIOR);
        let some = learnt([300; 10]).patience();
        assert!(MS(550) < some && some < MS(650), "{some:?}");
        let many = learnt([300; 100]).patience();
        assert!(MS(300) < many && many < MS(360), "{many:?}");
        let slower = learnt([300; 100].into_iter().chain([800; 100])).patience();
        assert!(MS(800) < slower && slower < MS(820), "{slower:?}");
    }

    #[test]
    fn five_slow_answers_of_a_hundred_do_not_count_and_six_do() {
        let with = |slow: usize| learnt((0..100).map(|n| if n < slow { 1_900 } else { 300 })).patience();
        assert!(with(5) < MS(400), "{:?}", with(5));
        assert!(with(6) > MS(1_700), "{:?}", with(6));
    }

    #[test]
    fn patience_has_bounds() {
        assert_eq!(learnt([20; 100]).patience(), LEAST);
        assert_eq!(learnt([4_000; 100]).patience(), MOST);
    }

    #[test]
    fn one_request_of_ten_may_have_a_second() {
        let mut pace = Pace::default();
        let at_once = (0..10).filter(|_| pace.may_hedge()).count();
        assert_eq!(at_once, 3);
        let mut hedges = 0;
        for _ in 0..200 {
            pace.learn(MS(300));
            hedges += usize::from(pace.may_hedge());
        }
        assert!((19..=20).contains(&hedges), "{hedges}");
    }
}
