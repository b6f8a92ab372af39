//! What speech needs from the world.

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

    /// Speaks. The stream ends after the last sample or with an error; dropping it stops the work.
    fn speak(
        &self,
        text: &str,
        voice: &str,
        language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>>;
}
