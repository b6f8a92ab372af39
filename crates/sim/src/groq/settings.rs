//! What can be changed while the simulator runs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Modes and delays.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How it listens: `real` or `canned=TEXT`.
    pub stt: SttMode,
    /// How long a transcription takes at least.
    pub stt_delay_ms: u64,
    /// How long the first token of a reply takes.
    pub first_token_ms: u64,
    /// How long each further token takes.
    pub token_ms: u64,
    /// What a reasoning model says to itself before it answers, unless the request leaves it out.
    pub reasoning: String,
    /// How it speaks: `real` or `canned`.
    pub tts: TtsMode,
    /// How long the first byte of speech takes at least.
    pub tts_first_byte_ms: u64,
    /// Writes streams as unkindly as the format allows: comments, CRLF, no space after the colon, pieces of 7 bytes.
    pub hostile_framing: bool,
}

/// How the simulator listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum SttMode {
    /// Recognises speech.
    Real,
    /// Always hears this.
    Canned(String),
}

/// How the simulator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TtsMode {
    /// With a voice.
    Real,
    /// With a tone of 60 ms per character.
    Canned,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stt: SttMode::Real,
            stt_delay_ms: 0,
            first_token_ms: 0,
            token_ms: 0,
            reasoning: "The caller wants an answer. Keep it short.".to_owned(),
            tts: TtsMode::Real,
            tts_first_byte_ms: 0,
            hostile_framing: false,
        }
    }
}

impl FromStr for SttMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("canned", heard)) => Ok(Self::Canned(heard.to_owned())),
            None if text == "real" => Ok(Self::Real),
            _ => Err(format!("{text:?} is neither `real` nor `canned=TEXT`")),
        }
    }
}

impl TryFrom<String> for SttMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SttMode> for String {
    fn from(mode: SttMode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for SttMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => f.write_str("real"),
            Self::Canned(heard) => write!(f, "canned={heard}"),
        }
    }
}
