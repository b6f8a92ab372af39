//! The two ways in which the audio of calls reaches us, and what is different for calls of the second one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use voice_call::{Config as CallConfig, Endpoint};

use crate::{adapters::stream_line::Media, assistants::Assistant, media::MediaDesk, session::Tools};

/// How the audio of a call reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// As recordings, by commands of the platform.
    Recording,
    /// As frames.
    Stream,
}

/// How calls of the stream door are conducted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Silence within a turn after which it is bridged.
    pub filler_after: Duration,
    /// Silence that ends an utterance.
    pub endpoint: Endpoint,
    /// Whether replies are begun before the end of an utterance is certain.
    pub speculation: bool,
}

/// What calls of the stream door have in common.
#[derive(Debug)]
pub(crate) struct StreamDoor {
    /// What every such call uses.
    pub tools: Tools,
    /// How they are conducted.
    pub settings: StreamSettings,
    /// Where their audio arrives.
    pub desk: Arc<MediaDesk>,
    /// Where gateways take streams: an address to which a token is added.
    pub media_url: String,
    /// Where the grid of 20 ms begins on which all of them speak.
    pub origin: Instant,
}

impl StreamDoor {
    /// How a call with this assistant is conducted.
    pub(crate) fn config_of(&self, assistant: &Assistant) -> CallConfig {
        let StreamSettings { filler_after, endpoint, speculation } = self.settings;
        CallConfig { filler_after, endpoint, speculation, can_seek: true, ..assistant.call.clone() }
    }

    /// Where the audio of a telephone's call is to be brought.
    pub(crate) fn media(&self, call_id: &str) -> Media {
        Media { place: self.desk.place(call_id), url: self.media_url.clone(), origin: self.origin }
    }
}

/// The address for streams of a gateway with this public address.
pub(crate) fn media_url(public_base_url: &str) -> String {
    // `http` and `https` become `ws` and `wss`.
    format!("{}/media", public_base_url.replacen("http", "ws", 1))
}
