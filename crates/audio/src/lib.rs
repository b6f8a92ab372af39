//! Samples in, samples out: G.711, WAV, resampling, decoding and voice activity. Pure: no threads, no async, no
//! clock; all that is shared is a pool of resamplers at rest. Samples are `f32` in -1..1, one channel, unless a name says otherwise.

pub mod decode;
pub mod mulaw;
#[cfg(feature = "playback")]
pub mod playback;
pub mod resample;
#[cfg(test)]
mod testing;
pub mod vad;
pub mod wav;

use std::{ops::RangeInclusive, time::Duration};

/// The sample rate of the telephone network.
pub const TELEPHONE_HERTZ: u32 = 8_000;

/// Samples of one 20 ms frame at 8 kHz, the slice that telephony providers send.
pub const FRAME_SAMPLES: usize = 160;

/// Sample rates that are believed of audio from outside.
const HERTZ: RangeInclusive<u32> = 4_000..=192_000;

/// Channels that are believed of audio from outside.
const MOST_CHANNELS: u16 = 8;

/// One channel of decoded audio.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Samples in -1..1.
    pub samples: Vec<f32>,
    /// Samples per second.
    pub sample_rate_hertz: u32,
}

impl Audio {
    /// The playing time.
    pub fn duration(&self) -> Duration {
        duration_of(self.samples.len(), self.sample_rate_hertz)
    }
}

/// The playing time of `samples` samples at a rate.
pub fn duration_of(samples: usize, sample_rate_hertz: u32) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(sample_rate_hertz.max(1)))
}

/// A float may be anything; one that is no number would spread through every filter behind it.
fn tame(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }
}

/// What is wrong with audio from outside.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The bytes hold no audio format that is known here; another decoder may know it.
    #[error("not a known audio format: {0}")]
    UnknownFormat(String),
    /// The header promises something that cannot be.
    #[error("broken audio header: {0}")]
    BrokenHeader(String),
    /// What follows the header cannot be decoded.
    #[error("broken audio: {0}")]
    Broken(String),
    /// There is less than the header promises.
    #[error("the audio is cut off: {0}")]
    CutOff(String),
    /// There are no samples.
    #[error("the audio is empty")]
    Empty,
    /// The audio is longer than the caller accepts, or has so high a rate that it is as much to hold.
    #[error("the audio is longer than {limit:?}, or has more samples than that at 48 kHz")]
    TooLong {
        /// Longest accepted playing time.
        limit: Duration,
    },
}
