//! What speech needs from the world.

use std::time::Duration;

use futures::stream::BoxStream;

use crate::error::EngineError;

/// What an engine says, as it comes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sound {
    /// First of all: samples per second of what follows.
    Rate(u32),
    /// Consecutive samples in -1..1.
    Samples(Vec<f32>),
}

/// A voice of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    /// Its name, as requests give it.
    pub name: String,
    /// BCP 47 tags of the languages that it speaks; empty means any.
    pub languages: Vec<String>,
    /// Samples per second that it speaks in; zero while it is not known.
    pub sample_rate_hertz: u32,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
}

/// How patient one is with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// From the request to the first samples.
    pub first: Duration,
    /// From some samples to the next, and to the end.
    pub between: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), between: Duration::from_secs(1) }
    }
}

/// Something that speaks.
pub(crate) trait Engine: Send + Sync {
    /// Its stable name.
    fn name(&self) -> &'static str;

    /// The longest text that it takes at once, in characters.
    fn max_chars(&self) -> usize;

    /// The voice that is used when none is asked for.
    fn default_voice(&self) -> &str;

    /// The voices that it offers.
    fn voices(&self) -> Vec<Voice>;

    /// Whether a voice is one of its own.
    fn has_voice(&self, name: &str) -> bool {
        self.voices().iter().any(|voice| voice.name == name)
    }

    /// Why it cannot be used at all, if so.
    fn problem(&self) -> Option<String> {
        let voices = self.voices();
        let first = voices.first()?.problem.clone();
        if voices.iter().all(|voice| voice.problem.is_some()) { first } else { None }
    }

    /// How long it may take.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// Speaks. The stream ends after the last sample or with an error; dropping it stops the work.
    fn speak(
        &self,
        text: &str,
        voice: &str,
        language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>>;
}
