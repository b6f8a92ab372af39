//! How often one number calls: at the same time, and within an hour. Counted by each relay for itself.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use crate::error::Error;

const HOUR: i64 = 3_600;

/// For one of his calls to be over.
const WHILE_CALLING: Duration = Duration::from_secs(5);

/// How often one number may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerLimits {
    /// At the same time.
    pub at_once: Option<u32>,
    /// Within an hour.
    pub an_hour: Option<u32>,
}

/// When numbers have called within the last hour.
#[derive(Debug, Default)]
pub(crate) struct Callers(HashMap<String, VecDeque<Timestamp>>);

impl Callers {
    /// Counts a call of a number that has `live` others. Who hides his number is not counted.
    ///
    /// # Errors
    /// When he calls too often.
    pub(crate) fn admit(
        &mut self,
        number: &str,
        live: usize,
        limits: CallerLimits,
        now: Timestamp,
    ) -> Result<(), Error> {
        if number.is_empty() {
            return Ok(());
        }
        let is_recent = |at: &Timestamp| now.as_second() - at.as_second() < HOUR;
        self.0.retain(|_, calls| {
            while calls.front().is_some_and(|first| !is_recent(first)) {
                calls.pop_front();
            }
            !calls.is_empty()
        });
        if limits.at_once.is_some_and(|most| live >= most as usize) {
            return Err(Error::CallerAtLimit { wait: WHILE_CALLING });
        }
        let Some(most) = limits.an_hour else { return Ok(()) };
        let calls = self.0.entry(number.to_owned()).or_default();
        if calls.len() >= most as usize {
            let oldest = calls.front().map_or(now, |first| *first);
            let left = HOUR - (now.as_second() - oldest.as_second());
            return Err(Error::CallerAtLimit { wait: Duration::from_secs(left.max(1) as u64) });
        }
        calls.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_calls_as_often_as_it_may_and_others_are_not_concerned() {
        let limits = CallerLimits { at_once: Some(2), an_hour: Some(2) };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut callers = Callers::default();
        let busy = callers.admit("+1", 2, limits, at(0)).unwrap_err();
        assert!(matches!(busy, Error::CallerAtLimit { wait } if wait == WHILE_CALLING));
        assert!(
            callers.admit("+1", 0, limits, at(0)).is_ok() && callers.admit("+1", 1, limits, at(600)).is_ok()
        );
        let often = callers.admit("+1", 0, limits, at(1_000)).unwrap_err();
        assert!(matches!(often, Error::CallerAtLimit { wait } if wait == Duration::from_secs(2_600)));
        assert!(callers.admit("+2", 0, limits, at(1_000)).is_ok());
        assert!(callers.admit("", 9, limits, at(1_000)).is_ok());
        assert!(callers.admit("+1", 0, limits, at(3_600)).is_ok());
    }
}
