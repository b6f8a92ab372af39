//! Parameters of commands about media streams and taps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ControlId, Direction};

/// Where a stream goes, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct StreamTo {
    /// `wss://` without a query; `ws://` to this machine.
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<String>,
    /// Accepted; both settings play what comes as it comes.
    #[serde(default)]
    pub(crate) realtime: bool,
    /// Shown to whoever listens at the address.
    #[serde(default, skip_serializing)]
    pub(crate) authorization_bearer_token: Option<String>,
    #[serde(default)]
    pub(crate) custom_parameters: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_url: Option<String>,
}

/// `calling.stream`.
#[derive(Debug, Deserialize)]
pub(crate) struct StartStream {
    pub(crate) control_id: ControlId,
    #[serde(flatten)]
    pub(crate) to: StreamTo,
    #[serde(default)]
    pub(crate) track: Tracks,
}

/// What a one-way stream carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Tracks {
    #[default]
    #[serde(rename = "inbound_track")]
    Inbound,
    #[serde(rename = "outbound_track")]
    Outbound,
    #[serde(rename = "both_tracks")]
    Both,
}

/// `calling.tap`.
#[derive(Debug, Deserialize)]
pub(crate) struct Tap {
    pub(crate) control_id: ControlId,
    pub(crate) tap: TapWhat,
    pub(crate) device: TapDevice,
}

/// What is tapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", content = "params", rename_all = "lowercase")]
pub(crate) enum TapWhat {
    Audio {
        #[serde(default)]
        direction: Direction,
    },
}

/// Where a tap goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", content = "params", rename_all = "lowercase")]
pub(crate) enum TapDevice {
    /// A WebSocket that is sent bare codec bytes.
    Ws {
        uri: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        codec: Option<String>,
    },
    /// RTP; not simulated.
    Rtp {},
}
