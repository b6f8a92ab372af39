//! Parameters of commands about other legs and about who answered.

use serde::{Deserialize, Serialize};

use super::{ControlId, Media, Seconds, StreamTo};

/// Seconds that a telephone rings when the client names none.
const RING_SECONDS: f64 = 30.0;

/// `calling.dial`.
#[derive(Debug, Deserialize)]
pub(crate) struct Dial {
    pub(crate) tag: String,
    /// Tried in order; those of one inner list at the same time.
    pub(crate) devices: Vec<Vec<Device>>,
    /// Accepted and checked; no call here costs anything or lasts that long.
    #[serde(rename = "max_duration")]
    pub(crate) _max_duration: Option<Seconds>,
}

/// `calling.connect`.
#[derive(Debug, Deserialize)]
pub(crate) struct Connect {
    pub(crate) devices: Vec<Vec<Device>>,
    pub(crate) tag: Option<String>,
    /// Accepted and checked; the caller does not hear it.
    #[serde(default, rename = "ringback")]
    pub(crate) _ringback: Vec<Media>,
}

/// Whom to connect.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", content = "params", rename_all = "lowercase")]
pub(crate) enum Device {
    /// A telephone.
    Phone {
        /// The number that it is called from.
        from_number: String,
        /// The number to call.
        to_number: String,
        /// How long it may ring.
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<Seconds>,
    },
    /// A call that is up already; only to be connected to.
    Call {
        /// The node that it lives on.
        node_id: String,
        /// Its id.
        call_id: String,
    },
    /// A socket that hears the caller and speaks to him; only to be connected to.
    Stream(StreamTo),
}

impl Device {
    /// Ticks that it rings before it is given up.
    pub(crate) fn ring_ticks(&self) -> u64 {
        match self {
            Self::Phone { timeout, .. } => timeout.unwrap_or(Seconds(RING_SECONDS)).frames(),
            Self::Call { .. } | Self::Stream(_) => 0,
        }
    }
}

/// `calling.transfer`.
#[derive(Debug, Deserialize)]
pub(crate) struct Transfer {
    /// A document's address, a document, or `context:` and a context.
    pub(crate) dest: String,
}

/// `calling.detect`.
#[derive(Debug, Deserialize)]
pub(crate) struct Detect {
    pub(crate) control_id: ControlId,
    pub(crate) detect: DetectWhat,
    #[serde(default = "thirty_seconds")]
    pub(crate) timeout: Seconds,
}

fn thirty_seconds() -> Seconds {
    Seconds(30.0)
}

/// What to detect.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "params", rename_all = "lowercase")]
pub(crate) enum DetectWhat {
    /// Whether a person or a machine has answered.
    Machine(DetectMachine),
    /// Fax tones; not simulated.
    Fax {},
    /// Keys; not simulated.
    Digit {},
}

/// How to tell a machine from a person; defaults of the reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct DetectMachine {
    pub(crate) initial_timeout: Seconds,
    pub(crate) end_silence_timeout: Seconds,
    /// Longer speech than this is a machine's.
    pub(crate) machine_voice_threshold: Seconds,
    /// Whether the end of a machine's greeting is told.
    pub(crate) detect_message_end: bool,
}

impl Default for DetectMachine {
    fn default() -> Self {
        Self {
            initial_timeout: Seconds(4.5),
            end_silence_timeout: Seconds(1.0),
            machine_voice_threshold: Seconds(1.25),
            detect_message_end: true,
        }
    }
}
