//! Calls that are placed: who may be called, how often, and each request once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use voice_call::Voicemail;

use crate::error::Error;

/// Requests that are remembered; an older one that comes again would be a new call.
const REMEMBERED: usize = 10_000;

const DAY: i64 = 86_400;

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlaceCall {
    /// Chosen by whoever asks.
    pub request_id: String,
    /// Whom to call.
    pub to: String,
    /// As whom: one of our numbers.
    pub from: String,
    /// Chooses the assistant.
    pub context: String,
    /// How long it may ring.
    pub ring: Duration,
    /// What a machine is told.
    pub voicemail: Voicemail,
    /// What the assistant is told beyond its prompt.
    pub instructions: Option<String>,
}

/// Which numbers may be called, and how many calls a day.
#[derive(Debug)]
pub(crate) struct DialPlan {
    prefixes: Vec<String>,
    daily_cap: u64,
    /// The day, and the calls of it.
    used: Mutex<(i64, u64)>,
}

/// Requests that were carried out.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    calls: HashMap<String, (PlaceCall, String)>,
    order: VecDeque<String>,
}

impl DialPlan {
    /// Allows numbers that begin with one of `prefixes`, `daily_cap` times a day (UTC).
    pub(crate) fn new(prefixes: Vec<String>, daily_cap: u64) -> Self {
        Self { prefixes, daily_cap, used: Mutex::default() }
    }

    /// Whether a number may be called at all.
    pub(crate) fn check(&self, number: &str) -> Result<(), Error> {
        let is_allowed = self.prefixes.iter().any(|prefix| number.starts_with(prefix));
        if is_allowed { Ok(()) } else { Err(Error::DialNotAllowed) }
    }

    /// Takes one call of the day.
    pub(crate) fn take(&self, now: Timestamp) -> Result<(), Error> {
        self.count(now, 1)
    }

    /// Whether one could be taken.
    pub(crate) fn check_cap(&self, now: Timestamp) -> Result<(), Error> {
        self.count(now, 0)
    }

    fn count(&self, now: Timestamp, calls: u64) -> Result<(), Error> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let today = now.as_second().div_euclid(DAY);
        if used.0 != today {
            *used = (today, 0);
        }
        if used.1 >= self.daily_cap {
            let left = (today + 1) * DAY - now.as_second();
            return Err(Error::DialCapReached { wait: Duration::from_secs(left as u64) });
        }
        used.1 += calls;
        Ok(())
    }
}

impl Requests {
    /// The call that this request has placed already.
    pub(crate) fn find(&self, place: &PlaceCall) -> Result<Option<String>, Error> {
        match self.calls.get(&place.request_id) {
            None => Ok(None),
            Some((before, call_id)) if before == place => Ok(Some(call_id.clone())),
            Some(_) => Err(Error::RequestIdReused),
        }
    }

    pub(crate) fn remember(&mut self, place: PlaceCall, call_id: String) {
        self.order.push_back(place.request_id.clone());
        self.calls.insert(place.request_id.clone(), (place, call_id));
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_allows_nothing_and_a_day_has_its_number_of_calls() {
        let none = DialPlan::new(Vec::new(), 10);
        assert!(matches!(none.check("+15551234567"), Err(Error::DialNotAllowed)));
        let plan = DialPlan::new(vec!["+1555".into()], 2);
        assert!(plan.check("+15551234567").is_ok() && plan.check("+4930123456").is_err());
        let now = Timestamp::from_second(3 * DAY - 60).unwrap();
        assert!(plan.take(now).is_ok() && plan.take(now).is_ok());
        let wait = Duration::from_mins(1);
        assert!(matches!(plan.take(now), Err(Error::DialCapReached { wait: left }) if left == wait));
        assert!(plan.take(Timestamp::from_second(3 * DAY).unwrap()).is_ok());
    }

    #[test]
    fn a_request_is_carried_out_once_and_its_id_is_for_it_alone() {
        let place = PlaceCall {
            request_id: "r".into(),
            to: "+15551234567".into(),
            from: "+15550000000".into(),
            context: String::new(),
            ring: Duration::from_secs(30),
            voicemail: Voicemail::HangUp,
            instructions: None,
        };
        let mut requests = Requests::default();
        assert!(matches!(requests.find(&place), Ok(None)));
        requests.remember(place.clone(), "call".into());
        assert!(matches!(requests.find(&place), Ok(Some(call)) if call == "call"));
        let other = PlaceCall { voicemail: Voicemail::Ignore, ..place };
        assert!(matches!(requests.find(&other), Err(Error::RequestIdReused)));
    }
}
