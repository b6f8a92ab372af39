//! The engines in order of preference, each behind its breaker.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use futures::{StreamExt as _, stream::BoxStream};

use crate::{
    breaker::Breaker,
    error::EngineError,
    ports::{Engine, Sound},
};

/// All engines.
#[derive(Clone)]
pub(crate) struct Engines {
    all: Arc<[Guarded]>,
}

struct Guarded {
    engine: Box<dyn Engine>,
    breaker: Mutex<Breaker>,
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|guarded| guarded.engine.name())).finish()
    }
}

/// A piece of text in an engine's hands.
pub(crate) struct Spoken {
    pub(crate) rate: u32,
    pub(crate) samples: BoxStream<'static, Result<Vec<f32>, EngineError>>,
}

impl Engines {
    pub(crate) fn new(engines: Vec<Box<dyn Engine>>) -> Self {
        let guarded = engines.into_iter().map(|engine| Guarded { engine, breaker: Mutex::default() });
        Self { all: guarded.collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, n: usize) -> &dyn Engine {
        &*self.all[n].engine
    }

    /// Has an engine begin to speak; `None` when it fails or is being left alone.
    pub(crate) async fn begin(&self, n: usize, text: &str, voice: &str, language: &str) -> Option<Spoken> {
        let guarded = &self.all[n];
        if !guarded.breaker().admits(Instant::now()) {
            return None;
        }
        let mut sounds = guarded.engine.speak(text, voice, language);
        match sounds.next().await {
            Some(Ok(Sound::Rate(rate))) => {
                let samples = sounds.filter_map(async |sound| match sound {
                    Ok(Sound::Samples(samples)) => Some(Ok(samples)),
                    Ok(Sound::Rate(_)) => None,
                    Err(error) => Some(Err(error)),
                });
                Some(Spoken { rate, samples: samples.boxed() })
            }
            Some(Err(error)) => {
                self.failed(n, &error);
                None
            }
            Some(Ok(Sound::Samples(_))) | None => {
                self.failed(n, &EngineError::new("no sound came"));
                None
            }
        }
    }

    pub(crate) fn succeeded(&self, n: usize) {
        self.all[n].breaker().succeeded();
    }

    pub(crate) fn failed(&self, n: usize, error: &EngineError) {
        let name = self.all[n].engine.name();
        tracing::warn!(engine = name, %error, "an engine failed");
        metrics::counter!("tts_engine_failures_total", "engine" => name).increment(1);
        self.all[n].breaker().failed(Instant::now(), error.retry_after);
    }
}

impl Guarded {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
