//! Parameters of call commands, as the reference has them, checked on arrival.

mod legs;
mod streams;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) use self::{
    legs::{Connect, Detect, DetectMachine, DetectWhat, Device, Dial, Transfer},
    streams::{StartStream, StreamTo, Tap, TapDevice, TapWhat, Tracks},
};
use super::wire::Refusal;

/// Parses the parameters of a command.
///
/// # Errors
/// A -32602 refusal that names `class`, as the real server does.
pub(crate) fn parse<T: DeserializeOwned>(class: &str, params: &Value) -> Result<T, Refusal> {
    T::deserialize(params).map_err(|error| Refusal::invalid_params(class, &error.to_string()))
}

/// The id that a client gives an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct ControlId(pub(crate) String);

impl TryFrom<String> for ControlId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.len() > 200 {
            Err("control_id is empty or too long")
        } else {
            Ok(Self(text))
        }
    }
}

/// A count of seconds that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "f64")]
pub(crate) struct Seconds(pub(crate) f64);

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if (0.0..=86_400.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err("seconds are beyond 0 to 86400")
        }
    }
}

impl Seconds {
    /// As 20 ms frames.
    pub(crate) fn frames(self) -> u64 {
        (self.0 * 50.0).round() as u64
    }
}

/// A gain in decibels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Volume(pub(crate) f64);

impl TryFrom<f64> for Volume {
    type Error = &'static str;

    fn try_from(decibels: f64) -> Result<Self, Self::Error> {
        if (-40.0..=40.0).contains(&decibels) {
            Ok(Self(decibels))
        } else {
            Err("volume is beyond -40 to 40 dB")
        }
    }
}

/// Whose audio, seen from the platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// What the remote party says.
    #[default]
    Speak,
    /// What it hears.
    Listen,
    /// Both, mixed.
    Both,
}

/// Something that can be played.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", content = "params", rename_all = "lowercase")]
pub(crate) enum Media {
    /// A file to fetch.
    Audio {
        /// Where it is.
        url: String,
    },
    /// A text that the platform speaks; language, gender and voice are accepted and not heard.
    Tts {
        /// The text.
        text: String,
    },
    /// Nothing, for a while.
    Silence {
        /// How long.
        duration: Seconds,
    },
    /// A ringing tone; every country rings like the US here.
    Ringtone {
        /// Country.
        name: String,
        /// How long; one ring if absent.
        duration: Option<Seconds>,
    },
}

/// `calling.play`.
#[derive(Debug, Deserialize)]
pub(crate) struct Play {
    pub(crate) control_id: ControlId,
    pub(crate) play: Vec<Media>,
    #[serde(default)]
    pub(crate) volume: Volume,
    /// Times to play the list; 0 = for ever.
    #[serde(default = "once", rename = "loop")]
    pub(crate) times: u32,
    /// Accepted and checked; the caller hears it in any case.
    #[serde(rename = "direction")]
    pub(crate) _direction: Option<Direction>,
}

fn once() -> u32 {
    1
}

/// A command about a running operation.
#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) control_id: ControlId,
}

/// `calling.play.volume`, beside the operation that it is about.
#[derive(Debug, Deserialize)]
pub(crate) struct SetVolume {
    pub(crate) volume: Volume,
}

/// `calling.record`.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) control_id: ControlId,
    pub(crate) record: RecordWhat,
}

/// What to record.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordWhat {
    pub(crate) audio: RecordAudio,
}

/// How to record; defaults of the reference.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RecordAudio {
    pub(crate) beep: bool,
    pub(crate) format: RecordFormat,
    pub(crate) stereo: bool,
    pub(crate) direction: Direction,
    pub(crate) initial_timeout: Seconds,
    pub(crate) end_silence_timeout: Seconds,
    pub(crate) terminators: String,
    pub(crate) input_sensitivity: f64,
}

impl Default for RecordAudio {
    fn default() -> Self {
        Self {
            beep: false,
            format: RecordFormat::Mp3,
            stereo: false,
            direction: Direction::Speak,
            initial_timeout: Self::DEFAULT_INITIAL_TIMEOUT,
            end_silence_timeout: Seconds(1.0),
            terminators: "#*".into(),
            input_sensitivity: 44.0,
        }
    }
}

impl RecordAudio {
    /// Seconds to first speech when none are given.
    pub(crate) const DEFAULT_INITIAL_TIMEOUT: Seconds = Seconds(5.0);
}

/// File format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordFormat {
    Mp3,
    Wav,
}

/// `calling.record.pause`.
#[derive(Debug, Deserialize)]
pub(crate) struct PauseRecord {
    pub(crate) control_id: ControlId,
    #[serde(default)]
    pub(crate) behavior: PauseBehavior,
}

/// What a paused recording holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PauseBehavior {
    /// Nothing of the pause.
    #[default]
    Skip,
    /// Silence as long as the pause.
    Silence,
}

/// `calling.collect`.
#[derive(Debug, Deserialize)]
pub(crate) struct Collect {
    pub(crate) control_id: ControlId,
    #[serde(flatten)]
    pub(crate) what: CollectWhat,
}

/// What to collect.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct CollectWhat {
    pub(crate) digits: Option<CollectDigits>,
    pub(crate) speech: Option<CollectSpeech>,
    pub(crate) initial_timeout: Seconds,
    pub(crate) partial_results: bool,
    pub(crate) continuous: bool,
    pub(crate) send_start_of_input: bool,
    pub(crate) start_input_timers: bool,
}

impl CollectWhat {
    /// Seconds to first input when none are given.
    pub(crate) const DEFAULT_INITIAL_TIMEOUT: Seconds = Seconds(4.0);
}

impl Default for CollectWhat {
    fn default() -> Self {
        Self {
            digits: None,
            speech: None,
            initial_timeout: Self::DEFAULT_INITIAL_TIMEOUT,
            partial_results: false,
            continuous: false,
            send_start_of_input: false,
            start_input_timers: true,
        }
    }
}

/// Digits to collect.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CollectDigits {
    pub(crate) max: u32,
    #[serde(default)]
    pub(crate) terminators: String,
    #[serde(default = "five_seconds")]
    pub(crate) digit_timeout: Seconds,
}

fn five_seconds() -> Seconds {
    Seconds(5.0)
}

/// Speech to collect; language, hints, engine and model are accepted and make no difference.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct CollectSpeech {
    pub(crate) end_silence_timeout: Seconds,
    pub(crate) speech_timeout: Seconds,
}

impl Default for CollectSpeech {
    fn default() -> Self {
        Self { end_silence_timeout: Seconds(1.0), speech_timeout: Seconds(60.0) }
    }
}

/// `calling.play_and_collect`.
#[derive(Debug, Deserialize)]
pub(crate) struct PlayAndCollect {
    pub(crate) control_id: ControlId,
    pub(crate) play: Vec<Media>,
    pub(crate) collect: CollectWhat,
    #[serde(default)]
    pub(crate) volume: Volume,
}

/// `calling.send_digits`.
#[derive(Debug, Deserialize)]
pub(crate) struct SendDigits {
    pub(crate) control_id: ControlId,
    pub(crate) digits: String,
}

/// `calling.end`.
#[derive(Debug, Deserialize)]
pub(crate) struct End {
    #[serde(default)]
    pub(crate) reason: EndReason,
}

/// Why a client ends a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum EndReason {
    #[default]
    Hangup,
    Cancel,
    Busy,
    NoAnswer,
    Decline,
    Error,
}
