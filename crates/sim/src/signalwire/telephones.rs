//! The telephones that a client may call, and what each does when it rings.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// Telephones by number; one that is not listed is answered by somebody who says nothing.
pub(crate) type Telephones = Arc<BTreeMap<String, Telephone>>;

/// One telephone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telephone {
    /// What becomes of a call.
    pub(crate) does: Does,
    /// When, in milliseconds of ringing.
    pub(crate) after_ms: u64,
    /// How long whoever answers speaks at once, in milliseconds.
    pub(crate) says_ms: u64,
    /// Whether a tone follows, as a machine has it.
    pub(crate) beep: bool,
}

/// What becomes of a call to a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Does {
    /// It is answered.
    Answer,
    /// It is in use.
    Busy,
    /// It rings until whoever calls gives up.
    NoAnswer,
    /// It cannot be reached.
    Fail,
}

/// How ringing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Ticks of ringing.
    pub(crate) after_ticks: u64,
    /// The platform's reason; `None` if it is answered.
    pub(crate) failure: Option<&'static str>,
}

impl Default for Telephone {
    fn default() -> Self {
        Self { does: Does::Answer, after_ms: 300, says_ms: 0, beep: false }
    }
}

impl Telephone {
    /// What comes of letting it ring for at most `ring_ticks`.
    pub(crate) fn outcome(&self, ring_ticks: u64) -> Outcome {
        let failure = match self.does {
            Does::Answer => None,
            Does::Busy => Some("busy"),
            Does::NoAnswer => Some("noAnswer"),
            Does::Fail => Some("error"),
        };
        let after_ticks = self.after_ms / 20;
        if self.does == Does::NoAnswer || after_ticks > ring_ticks {
            return Outcome { after_ticks: ring_ticks, failure: Some("noAnswer") };
        }
        Outcome { after_ticks, failure }
    }
}
