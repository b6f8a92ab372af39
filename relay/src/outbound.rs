//! Calls that are placed: who may be called, how often, and each request once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;
use voice_call::Voicemail;
use voice_ledger::{Dialled, Request};

use crate::{
    error::Error,
    kept::{Claim, Ledger},
};

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

/// Which numbers may be called, how many of them a day, and which requests were carried out. All relays of a mesh count
/// together; while Redis is away, each counts for itself.
#[derive(Debug)]
pub(crate) struct DialPlan {
    prefixes: Vec<String>,
    daily_cap: u64,
    ledger: Ledger,
    own: Mutex<Own>,
}

/// What came of a request to place a call.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The call is to be placed, and dialled by this right; without one while nobody else knows of the request.
    New(Option<Claim>),
    /// It was placed before, as this call.
    Again(String),
}

/// One call of the day, taken for a number.
#[derive(Debug)]
pub(crate) struct Taken {
    at: Timestamp,
    /// Whether the other relays count it too.
    is_counted: bool,
}

/// What this relay has counted.
#[derive(Debug, Default)]
struct Own {
    /// The day, and the calls of it.
    used: (i64, u64),
    requests: Requests,
}

/// Requests that were carried out.
#[derive(Debug, Default)]
struct Requests {
    calls: HashMap<String, (PlaceCall, String)>,
    order: VecDeque<String>,
}

impl PlaceCall {
    /// All that is asked for, as a text that is the same at every relay.
    fn content(&self) -> String {
        let Self { request_id: _, to, from, context, ring, voicemail, instructions } = self;
        let (voicemail, message) = match voicemail {
            Voicemail::Ignore => ("ignore", ""),
            Voicemail::HangUp => ("hang_up", ""),
            Voicemail::LeaveMessage(message) => ("leave_message", message.as_str()),
        };
        json!([to, from, context, ring.as_millis() as u64, voicemail, message, instructions]).to_string()
    }
}

impl DialPlan {
    /// Allows numbers that begin with one of `prefixes`, `daily_cap` times a day (UTC).
    pub(crate) fn new(prefixes: Vec<String>, daily_cap: u64, ledger: Ledger) -> Self {
        Self { prefixes, daily_cap, ledger, own: Mutex::default() }
    }

    /// Whether a number may be called at all.
    pub(crate) fn check(&self, number: &str) -> Result<(), Error> {
        let is_allowed = self.prefixes.iter().any(|prefix| number.starts_with(prefix));
        if is_allowed { Ok(()) } else { Err(Error::DialNotAllowed) }
    }

    /// Takes one call of the day for a request whose number may be called, which becomes `call_id` unless it was carried out before.
    pub(crate) async fn admit(
        &self,
        place: &PlaceCall,
        call_id: &str,
        now: Timestamp,
    ) -> Result<Admission, Error> {
        self.check(&place.to)?;
        if let Some(call_id) = self.own().requests.find(place)? {
            return Ok(Admission::Again(call_id));
        }
        let content = place.content();
        let request = Request { id: &place.request_id, content: &content, call_id };
        let dialled = self.ledger.dial(day(now), self.daily_cap, Some(request)).await;
        let is_counted = match dialled {
            Ok(Dialled::New) => true,
            Ok(Dialled::Again(call_id)) => return Ok(Admission::Again(call_id)),
            Ok(Dialled::Reused) => return Err(Error::RequestIdReused),
            Ok(Dialled::Capped) => return Err(capped(now)),
            Err(error) => {
                tracing::warn!(%error, "a call is placed that other relays do not know of");
                false
            }
        };
        let mut own = self.own();
        if let Some(call_id) = own.requests.find(place)? {
            return Ok(Admission::Again(call_id));
        }
        own.take(if is_counted { u64::MAX } else { self.daily_cap }, now)?;
        own.requests.remember(place.clone(), call_id.to_owned());
        Ok(Admission::New(is_counted.then(|| self.ledger.claim(&place.request_id, call_id))))
    }

    /// Has `call_id` take the place of a call of the same request that was never dialled, if that is certain.
    pub(crate) async fn replace(
        &self,
        place: &PlaceCall,
        undialled: &str,
        call_id: &str,
        now: Timestamp,
    ) -> Option<Claim> {
        match self.ledger.replace(&place.request_id, undialled, call_id).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!(%error, "whether a call was dialled is not known");
                return None;
            }
        }
        let mut own = self.own();
        // All relays have counted it already.
        own.take(u64::MAX, now).ok()?;
        own.requests.remember(place.clone(), call_id.to_owned());
        Some(self.ledger.claim(&place.request_id, call_id))
    }

    /// Whether one could be taken, as far as this relay has counted.
    pub(crate) fn check_cap(&self, now: Timestamp) -> Result<(), Error> {
        self.own().check(self.daily_cap, now)
    }

    /// Forgets a request that could not be carried out.
    pub(crate) async fn give_back(&self, request_id: &str, call_id: &str, now: Timestamp) {
        {
            let mut own = self.own();
            own.used.1 = own.used.1.saturating_sub(1);
            own.requests.forget(request_id);
        }
        self.ledger.give_back(day(now), Some((request_id, call_id))).await;
    }

    /// Takes one call of the day for a number that may be called.
    pub(crate) async fn take(&self, number: &str, now: Timestamp) -> Result<Taken, Error> {
        self.check(number)?;
        let is_counted = match self.ledger.dial(day(now), self.daily_cap, None).await {
            Ok(Dialled::Capped) => return Err(capped(now)),
            Ok(Dialled::New | Dialled::Again(_) | Dialled::Reused) => true,
            Err(error) => {
                tracing::warn!(%error, "a number is called that other relays do not count");
                false
            }
        };
        self.own().take(if is_counted { u64::MAX } else { self.daily_cap }, now)?;
        Ok(Taken { at: now, is_counted })
    }

    /// Gives back what was taken for a number that is not called after all.
    pub(crate) async fn put_back(&self, Taken { at, is_counted }: Taken) {
        {
            let mut own = self.own();
            if own.used.0 == day(at) {
                own.used.1 = own.used.1.saturating_sub(1);
            }
        }
        if is_counted {
            self.ledger.give_back(day(at), None).await;
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn take(&mut self, most: u64, now: Timestamp) -> Result<(), Error> {
        self.check(most, now)?;
        self.used.1 += 1;
        Ok(())
    }

    fn check(&mut self, most: u64, now: Timestamp) -> Result<(), Error> {
        let today = day(now);
        if self.used.0 != today {
            self.used = (today, 0);
        }
        if self.used.1 >= most { Err(capped(now)) } else { Ok(()) }
    }
}

/// Days since 1970.
fn day(now: Timestamp) -> i64 {
    now.as_second().div_euclid(DAY)
}

fn capped(now: Timestamp) -> Error {
    let left = (day(now) + 1) * DAY - now.as_second();
    Error::DialCapReached { wait: Duration::from_secs(left as u64) }
}

impl Requests {
    /// The call that this request has placed already.
    fn find(&self, place: &PlaceCall) -> Result<Option<String>, Error> {
        match self.calls.get(&place.request_id) {
            None => Ok(None),
            Some((before, call_id)) if before == place => Ok(Some(call_id.clone())),
            Some(_) => Err(Error::RequestIdReused),
        }
    }

    fn remember(&mut self, place: PlaceCall, call_id: String) {
        let request_id = place.request_id.clone();
        if self.calls.insert(request_id.clone(), (place, call_id)).is_none() {
            self.order.push_back(request_id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
    }

    fn forget(&mut self, request_id: &str) {
        self.calls.remove(request_id);
        self.order.retain(|known| known != request_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: &str = "+15551234567";

    /// A plan of a relay whose Redis is away.
    fn plan(prefixes: &[&str], daily_cap: u64) -> DialPlan {
        let (ledger, _) =
            Ledger::open(&"redis://127.0.0.1:1".into(), "test", "http://127.0.0.1:1", Duration::ZERO)
                .unwrap();
        DialPlan::new(prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(), daily_cap, ledger)
    }

    #[tokio::test]
    async fn no_prefix_allows_nothing_and_a_day_has_its_number_of_calls() {
        assert!(matches!(plan(&[], 10).check(NUMBER), Err(Error::DialNotAllowed)));
        let plan = plan(&["+1555"], 2);
        assert!(plan.check(NUMBER).is_ok() && plan.check("+4930123456").is_err());
        let now = Timestamp::from_second(3 * DAY - 60).unwrap();
        assert!(plan.take(NUMBER, now).await.is_ok() && plan.take(NUMBER, now).await.is_ok());
        let wait = Duration::from_mins(1);
        assert!(
            matches!(plan.take(NUMBER, now).await, Err(Error::DialCapReached { wait: left }) if left == wait)
        );
        let taken = plan.take(NUMBER, Timestamp::from_second(3 * DAY).unwrap()).await.unwrap();
        plan.put_back(taken).await;
        let tomorrow = async || plan.take(NUMBER, Timestamp::from_second(3 * DAY).unwrap()).await.is_ok();
        assert!(tomorrow().await && tomorrow().await && !tomorrow().await, "what was put back can be taken");
    }

    #[tokio::test]
    async fn a_request_is_carried_out_once_and_its_id_is_for_it_alone() {
        let place = PlaceCall {
            request_id: "r".into(),
            to: NUMBER.into(),
            from: "+15550000000".into(),
            context: String::new(),
            ring: Duration::from_secs(30),
            voicemail: Voicemail::HangUp,
            instructions: None,
        };
        let (plan, now) = (plan(&["+1555"], 1), Timestamp::from_second(DAY).unwrap());
        assert!(matches!(plan.admit(&place, "call", now).await, Ok(Admission::New(None))));
        let again = plan.admit(&place, "other", now).await;
        assert!(
            matches!(again, Ok(Admission::Again(call_id)) if call_id == "call"),
            "and is not counted twice"
        );
        let other = PlaceCall { voicemail: Voicemail::Ignore, ..place.clone() };
        assert!(matches!(plan.admit(&other, "other", now).await, Err(Error::RequestIdReused)));
        assert!(
            plan.replace(&place, "call", "other", now).await.is_none(),
            "nobody knows whether it was dialled"
        );
        plan.give_back("r", "call", now).await;
        assert!(matches!(plan.admit(&other, "other", now).await, Ok(Admission::New(None))));
    }
}
