//! Files of any form become samples: in process where `voice-audio` knows the form, by a child ffmpeg where it does
//! not, or always by ffmpeg if an operator wants it so.

mod ffmpeg;
mod mp4;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::Semaphore;
use voice_audio::{Audio, AudioError, decode::decode, resample::resample, wav};

use crate::ffmpeg::Ffmpeg;

/// Children at the same time: each takes a processor for most of its life.
const CHILDREN: usize = 4;

/// Who transcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This process, and ffmpeg for what it does not know.
    Native,
    /// A child ffmpeg.
    Ffmpeg,
}

/// The words for it in a configuration.
pub const ENGINES: [(&str, Engine); 2] = [("native", Engine::Native), ("ffmpeg", Engine::Ffmpeg)];

/// Why there are no samples.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// The file is at fault.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Only ffmpeg could do it.
    #[error("{why}: ffmpeg is needed and cannot be started ({error}); install it")]
    NoFfmpeg {
        /// What it is needed for.
        why: String,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// ffmpeg does not know the file either, or broke.
    #[error("ffmpeg failed: {0}")]
    Ffmpeg(String),
    /// ffmpeg is not ready in time.
    #[error("ffmpeg did not end within {0:?}")]
    TooSlow(Duration),
    /// The transcoder itself broke.
    #[error("the decoder broke: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// Transcodes.
#[derive(Clone, Debug)]
pub struct Transcoder {
    engine: Engine,
    ffmpeg: Ffmpeg,
    children: Arc<Semaphore>,
}

impl Transcoder {
    /// Makes a transcoder.
    ///
    /// # Errors
    /// When ffmpeg is wanted and cannot be started.
    pub async fn new(engine: Engine) -> Result<Self, TranscodeError> {
        let transcoder = Self { engine, ..Self::native() };
        if engine == Engine::Ffmpeg {
            transcoder.ffmpeg.check().await?;
        }
        Ok(transcoder)
    }

    /// One that works in this process, as long as it knows the form.
    pub fn native() -> Self {
        let children = Arc::new(Semaphore::new(CHILDREN));
        Self { engine: Engine::Native, ffmpeg: Ffmpeg::default(), children }
    }

    /// Decodes a file to one channel at its own rate.
    ///
    /// # Errors
    /// When it is not audio, is broken, or plays longer than `limit`.
    pub async fn decode(&self, file: Bytes, limit: Duration) -> Result<Audio, TranscodeError> {
        self.read(file, None, limit).await
    }

    /// Makes a file samples of one channel at a rate.
    ///
    /// # Errors
    /// When it is not audio, is broken, or plays longer than `limit`.
    pub async fn transcode(
        &self,
        file: Bytes,
        hertz: u32,
        limit: Duration,
    ) -> Result<Vec<f32>, TranscodeError> {
        Ok(self.read(file, Some(hertz), limit).await?.samples)
    }

    /// Brings samples to another rate.
    ///
    /// # Errors
    /// When ffmpeg is used and fails.
    pub async fn resample(&self, audio: Audio, hertz: u32) -> Result<Vec<f32>, TranscodeError> {
        if audio.samples.is_empty() || audio.sample_rate_hertz == hertz {
            return Ok(audio.samples);
        }
        match self.engine {
            Engine::Native => {
                let work = move || resample(&audio.samples, audio.sample_rate_hertz, hertz);
                Ok(tokio::task::spawn_blocking(work).await?)
            }
            Engine::Ffmpeg => {
                // Nothing is lost on the way: the file holds floats.
                let (file, limit) = (wav::write_float(&audio), audio.duration() + Duration::from_secs(1));
                self.transcode(file.into(), hertz, limit).await
            }
        }
    }

    async fn read(&self, file: Bytes, hertz: Option<u32>, limit: Duration) -> Result<Audio, TranscodeError> {
        if self.engine == Engine::Ffmpeg {
            return self.by_child(&file, hertz, limit, "TRANSCODER=ffmpeg").await;
        }
        let same = file.clone();
        let work = move || {
            let audio = decode(&same, limit)?;
            let wanted = hertz.unwrap_or(audio.sample_rate_hertz);
            let samples = resample(&audio.samples, audio.sample_rate_hertz, wanted);
            Ok(Audio { samples, sample_rate_hertz: wanted })
        };
        match tokio::task::spawn_blocking(work).await? {
            Err(unknown @ AudioError::UnknownFormat(_)) => {
                self.by_child(&file, hertz, limit, &unknown.to_string()).await
            }
            other => Ok(other?),
        }
    }

    async fn by_child(
        &self,
        file: &[u8],
        hertz: Option<u32>,
        limit: Duration,
        why: &str,
    ) -> Result<Audio, TranscodeError> {
        let _one_of = self.children.acquire().await.expect("the semaphore is never closed");
        let moved = mp4::index_first(file);
        self.ffmpeg.transcode(moved.as_deref().unwrap_or(file), hertz, limit, why).await
    }
}

#[cfg(test)]
mod tests;
