//! A piece of text in an engine's hands: its samples as they come, and the verdict on it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use super::{Guarded, Manner};
use crate::{
    error::EngineError,
    ports::{Patience, Sound},
};

/// The slowest speaker, in seconds a character; longer is no speech any more.
const SLOWEST: f32 = 0.5;
/// What every text is granted besides, in seconds.
const GRANTED: f32 = 10.0;

/// Speech under way. Dropping it stops the engine's work.
pub(crate) struct Spoken {
    /// Samples per second.
    pub(crate) rate: u32,
    pub(super) first: Option<Vec<f32>>,
    pub(super) sounds: BoxStream<'static, Result<Sound, EngineError>>,
    guarded: Arc<Guarded>,
    voice: String,
    patience: Patience,
    begun: Instant,
    /// Seconds that the engine may still speak.
    left: f32,
    is_judged: bool,
}

impl std::fmt::Debug for Spoken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spoken")
            .field("engine", &self.engine())
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl Spoken {
    pub(super) fn new(guarded: Arc<Guarded>, text: &str, voice: &str) -> Self {
        Self {
            rate: 0,
            first: None,
            sounds: stream::empty().boxed(),
            voice: voice.to_owned(),
            patience: guarded.engine.patience(),
            left: GRANTED + SLOWEST * text.chars().count() as f32,
            guarded,
            begun: Instant::now(),
            is_judged: false,
        }
    }

    /// Who speaks.
    pub(crate) fn engine(&self) -> &'static str {
        self.guarded.engine.name()
    }

    /// How long ago it was asked.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is known of this voice.
    pub(crate) fn manner(&self) -> Manner {
        self.guarded.manners.of(&self.voice)
    }

    /// The next samples. An error is the engine's failure and has been told to its breaker.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<f32>, EngineError>> {
        let next = match self.first.take() {
            Some(first) => Ok(first),
            None => self.wait().await?,
        };
        let next = next.and_then(|samples| {
            self.left -= samples.len() as f32 / self.rate as f32;
            if self.left < 0.0 { Err(EngineError::new("it does not stop speaking")) } else { Ok(samples) }
        });
        Some(next.inspect_err(|error| self.failed(error)))
    }

    async fn wait(&mut self) -> Option<Result<Vec<f32>, EngineError>> {
        loop {
            match timeout(self.patience.between, self.sounds.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(Sound::Samples(samples)))) => return Some(Ok(samples)),
                Ok(Some(Ok(Sound::Rate(_)))) => {}
                Ok(Some(Err(error))) => return Some(Err(error)),
                Err(_) => return Some(Err(EngineError::late("the next sound", self.patience.between))),
            }
        }
    }

    /// The engine has done well, and this is how it spoke.
    pub(crate) fn succeeded(&mut self, manner: Manner) {
        self.is_judged = true;
        self.guarded.breaker().succeeded();
        self.guarded.manners.learn(&self.voice, manner);
    }

    /// The engine has failed.
    pub(crate) fn failed(&mut self, error: &EngineError) {
        self.is_judged = true;
        self.guarded.failed(error);
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        if !self.is_judged {
            self.guarded.breaker().abandoned(Instant::now());
        }
    }
}
