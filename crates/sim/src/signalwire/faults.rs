//! Misbehaviour on demand: rules that fire on a client's frame or on an event, and what is wrong with recordings.

use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

/// Everything that is to go wrong; `PUT /sim/faults` replaces the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Faults {
    /// Rules; the first that matches is applied.
    pub(crate) rules: Vec<Rule>,
    /// What is wrong with every recording's download.
    pub(crate) recordings: Option<RecordingFault>,
    /// A `calling.connect` fails with this reason instead of connecting.
    pub(crate) connect_fails: Option<String>,
    /// What is wrong with the way between the platform and media sockets.
    pub(crate) streams: StreamFaults,
}

/// What is wrong with the way between the platform and media sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamFaults {
    /// Frames of the caller are up to so much late, in order.
    pub(crate) jitter_ms: u64,
    /// So many of a hundred never go out.
    pub(crate) lose_percent: u8,
    /// So many go out twice.
    pub(crate) double_percent: u8,
    /// So many go out `late_ms` later, behind those that follow.
    pub(crate) late_percent: u8,
    /// How late.
    pub(crate) late_ms: u64,
    /// The platform reads nothing of what a client sends, for as long as this holds.
    pub(crate) reader_stalls: bool,
    /// A socket cannot be opened, for this reason.
    pub(crate) open_fails: Option<String>,
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// What sets it off.
    pub(crate) when: When,
    /// What happens.
    pub(crate) then: Then,
    /// Matches to let pass first.
    #[serde(default)]
    pub(crate) skip: u32,
    /// How often it fires; absent = always.
    #[serde(default)]
    pub(crate) times: Option<u32>,
}

/// What sets a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum When {
    /// A request of the client.
    Method {
        /// Its method.
        method: String,
    },
    /// An event that is about to be sent.
    Event {
        /// Its type.
        event: String,
        /// Its state; absent = any.
        state: Option<String>,
    },
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Then {
    /// The socket is gone at once; the request is not carried out, the event is lost.
    Drop,
    /// The request is never answered and not carried out; the event is never sent.
    Lose,
    /// The result (with everything behind it) or the event (alone) comes late.
    Delay {
        /// How late.
        ms: u64,
    },
    /// The request is refused: a number is a JSON-RPC error, a string a result code.
    Refuse {
        /// The code.
        code: Code,
    },
    /// The event is sent twice, with the same id.
    Duplicate,
    /// The event is sent after the one that follows it, or after 500 ms.
    Reorder,
}

/// A code of either error layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Code {
    /// Of a JSON-RPC error.
    Protocol(i64),
    /// Of a result.
    Result(String),
}

/// What is wrong with a recording's download.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RecordingFault {
    /// 404 for ever.
    Missing,
    /// 404 for this long after `finished`.
    Late {
        /// How long.
        ms: u64,
    },
    /// 200 with no bytes.
    Empty,
    /// 200, `audio/wav`, and a page of HTML.
    NotAudio,
    /// 200 and a WAV file that goes on and on.
    TooLarge {
        /// Bytes of it.
        bytes: u64,
    },
    /// 302 to elsewhere.
    Redirect {
        /// Where to.
        url: String,
    },
    /// This HTTP status.
    Status {
        /// The status.
        status: u16,
    },
    /// The right file, a kilobyte at a time.
    Slow {
        /// Pause before each kilobyte.
        ms_per_kilobyte: u64,
    },
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct FaultBox(Mutex<Faults>);

impl FaultBox {
    /// Replaces them all.
    ///
    /// # Errors
    /// When a rule asks for what cannot be: the text says which.
    pub(crate) fn replace(&self, faults: Faults) -> Result<(), String> {
        for (n, rule) in faults.rules.iter().enumerate() {
            let possible = match (&rule.when, &rule.then) {
                (_, Then::Drop | Then::Lose | Then::Delay { .. })
                | (When::Method { .. }, Then::Refuse { .. })
                | (When::Event { .. }, Then::Duplicate | Then::Reorder) => true,
                (When::Method { .. }, Then::Duplicate | Then::Reorder)
                | (When::Event { .. }, Then::Refuse { .. }) => false,
            };
            if !possible {
                return Err(format!(
                    "rule {n}: a request cannot be duplicated or reordered, nor an event refused"
                ));
            }
        }
        *self.lock() = faults;
        Ok(())
    }

    /// What is in force now.
    pub(crate) fn current(&self) -> Faults {
        self.lock().clone()
    }

    /// What is wrong with media streams now.
    pub(crate) fn streams(&self) -> StreamFaults {
        self.lock().streams.clone()
    }

    /// What to do to a request.
    pub(crate) fn on_method(&self, method: &str) -> Option<Then> {
        self.take(|when| matches!(when, When::Method { method: wanted } if wanted == method))
    }

    /// What to do to an event.
    pub(crate) fn on_event(&self, event_type: &str, event_state: &str) -> Option<Then> {
        self.take(|when| match when {
            When::Method { .. } => false,
            When::Event { event, state } => {
                event == event_type && state.as_ref().is_none_or(|state| state == event_state)
            }
        })
    }

    fn take(&self, matches: impl Fn(&When) -> bool) -> Option<Then> {
        let mut faults = self.lock();
        let rule = faults.rules.iter_mut().find(|rule| rule.times != Some(0) && matches(&rule.when))?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.then.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().expect("no holder of the faults panics")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_skips_fires_as_often_as_told_and_is_then_spent() {
        let faults = FaultBox::default();
        let rules = json!({ "rules": [
            { "when": { "event": "calling.call.play", "state": "finished" }, "then": { "do": "lose" }, "skip": 1, "times": 1 },
            { "when": { "method": "calling.play" }, "then": { "do": "refuse", "code": "500" } }
        ] });
        faults.replace(serde_json::from_value(rules).unwrap()).unwrap();
        assert_eq!(faults.on_event("calling.call.play", "playing"), None);
        assert_eq!(faults.on_event("calling.call.play", "finished"), None);
        assert_eq!(faults.on_event("calling.call.play", "finished"), Some(Then::Lose));
        assert_eq!(faults.on_event("calling.call.play", "finished"), None);
        for _ in 0..2 {
            assert_eq!(
                faults.on_method("calling.play"),
                Some(Then::Refuse { code: Code::Result("500".into()) })
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_typing_errors_too() {
        let faults = FaultBox::default();
        let rules =
            json!({ "rules": [{ "when": { "method": "calling.play" }, "then": { "do": "reorder" } }] });
        assert!(faults.replace(serde_json::from_value(rules).unwrap()).is_err());
        assert!(serde_json::from_value::<Faults>(json!({ "rulez": [] })).is_err());
    }
}
