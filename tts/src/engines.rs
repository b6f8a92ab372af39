//! The engines in order of preference, each behind its breaker.

mod choice;
mod manner;
mod spoken;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use tokio::time::timeout;

use self::manner::Manners;
pub(crate) use self::{choice::Wish, manner::Manner, spoken::Spoken};
use crate::{
    breaker::{Breaker, Cause, State},
    error::{EngineError, Failure},
    ports::{Engine, Sound, Voice},
};

/// All engines.
#[derive(Clone)]
pub(crate) struct Engines {
    all: Arc<[Arc<Guarded>]>,
}

struct Guarded {
    engine: Box<dyn Engine>,
    breaker: Mutex<Breaker>,
    manners: Manners,
}

/// An engine as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its name.
    pub name: &'static str,
    /// Whether a request would go to it.
    pub health: EngineHealth,
    /// The voice that it speaks with when none of its own is asked for.
    pub default_voice: String,
    /// Its voices.
    pub voices: Vec<Voice>,
}

/// Whether an engine can speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineHealth {
    /// It can.
    Up,
    /// It failed, and is left alone for so long.
    Failing(Duration),
    /// One request is finding out.
    Probing,
    /// No request is allowed for so long.
    QuotaExhausted(Duration),
    /// It cannot be used as it is configured.
    Unusable(String),
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|guarded| guarded.engine.name())).finish()
    }
}

impl Engines {
    pub(crate) fn new(engines: Vec<Box<dyn Engine>>) -> Self {
        let guarded = engines.into_iter().map(|engine| {
            Arc::new(Guarded { engine, breaker: Mutex::default(), manners: Manners::default() })
        });
        Self { all: guarded.collect() }
    }

    pub(crate) fn get(&self, n: usize) -> &dyn Engine {
        &*self.all[n].engine
    }

    /// Has an engine begin to speak; gives it once there are samples. `None` when it fails, is being left alone, cannot
    /// be used, or there is no time left before `limit`.
    pub(crate) async fn begin(
        &self,
        n: usize,
        text: &str,
        voice: &str,
        language: &str,
        limit: Option<tokio::time::Instant>,
    ) -> Option<Spoken> {
        let guarded = &self.all[n];
        let name = guarded.engine.name();
        let time = limit.map_or(Duration::MAX, |limit| limit.duration_since(tokio::time::Instant::now()));
        let refusal = if time.is_zero() { Some("deadline") } else { guarded.refusal(voice) };
        if let Some(reason) = refusal {
            tracing::debug!(engine = name, reason, "an engine is passed over");
            metrics::counter!("tts_engine_skips_total", "engine" => name, "reason" => reason).increment(1);
            return None;
        }
        let mut spoken = Spoken::new(guarded.clone(), text, voice);
        let patience = guarded.engine.patience().first.min(time);
        spoken.sounds = guarded.engine.speak(text, voice, language);
        let first = async {
            loop {
                match spoken.sounds.next().await {
                    Some(Ok(Sound::Rate(rate))) => spoken.rate = rate,
                    Some(Ok(Sound::Samples(samples))) if spoken.rate > 0 => return Ok(samples),
                    Some(Err(error)) => return Err(error),
                    Some(Ok(Sound::Samples(_))) | None => return Err(EngineError::new("no sound came")),
                }
            }
        };
        let first = timeout(patience, first).await;
        match first.unwrap_or_else(|_| Err(EngineError::late("the first sound", patience))) {
            Ok(samples) => {
                metrics::histogram!("tts_engine_first_audio_seconds", "engine" => name)
                    .record(spoken.elapsed().as_secs_f64());
                spoken.first = Some(samples);
                Some(spoken)
            }
            Err(error) => {
                spoken.failed(&error);
                None
            }
        }
    }

    /// Every engine as it is now.
    pub(crate) fn status(&self) -> Vec<Status> {
        let now = Instant::now();
        self.all.iter().map(|guarded| guarded.status(now)).collect()
    }
}

impl Guarded {
    /// Why it is not asked, if so. If not, the breaker waits for a verdict.
    fn refusal(&self, voice: &str) -> Option<&'static str> {
        let is_broken = |own: &Voice| own.name == voice && own.problem.is_some();
        if self.engine.problem().is_some() || self.engine.voices().iter().any(is_broken) {
            return Some("unusable");
        }
        let mut breaker = self.breaker();
        if breaker.admits(Instant::now()) {
            return None;
        }
        Some(match breaker.state() {
            State::Open { cause: Cause::Quota, .. } => "quota",
            State::Open { .. } | State::Probing | State::Closed { .. } => "failing",
        })
    }

    fn failed(&self, error: &EngineError) {
        let name = self.engine.name();
        let kind = error.kind.name();
        tracing::warn!(engine = name, kind, %error, "an engine failed");
        metrics::counter!("tts_engine_failures_total", "engine" => name, "kind" => kind).increment(1);
        let now = Instant::now();
        match (error.kind, error.retry_after) {
            (Failure::Quota, wait) => self.breaker().spent(now, wait.unwrap_or_default()),
            (Failure::Broken | Failure::Late, wait) => self.breaker().failed(now, wait),
        }
    }

    fn status(&self, now: Instant) -> Status {
        let health = match (self.engine.problem(), self.breaker().state()) {
            (Some(problem), _) => EngineHealth::Unusable(problem),
            (None, State::Open { until, cause: Cause::Quota }) if until > now => {
                EngineHealth::QuotaExhausted(until - now)
            }
            (None, State::Open { until, cause: Cause::Failures }) if until > now => {
                EngineHealth::Failing(until - now)
            }
            (None, State::Probing) => EngineHealth::Probing,
            // The next request finds out, and it goes there.
            (None, State::Open { .. } | State::Closed { .. }) => EngineHealth::Up,
        };
        Status {
            name: self.engine.name(),
            health,
            default_voice: self.engine.default_voice().to_owned(),
            voices: self.engine.voices(),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
