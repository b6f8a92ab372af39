//! Speech as a clip: made once, kept, and found again.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use voice_audio::{Audio, TELEPHONE_HERTZ, duration_of, mulaw, wav};
use voice_clips::ClipsError;
use voice_speech::pack;

use super::{Speech, Synthesis};
use crate::{
    engines::{Manner, Spoken},
    error::{EngineError, Error},
    level::{self, Meter},
};

/// What the engines behind the preferred one need to be in time: espeak-ng takes a tenth of it.
const RESERVE: Duration = Duration::from_millis(700);

/// A clip that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clip {
    /// Its name in the store.
    pub filename: String,
    /// Its exact playing time.
    pub duration: Duration,
    /// Who spoke.
    pub engine: &'static str,
    /// Whether it was there already.
    pub is_cached: bool,
    /// Whether another engine was to speak and could not.
    pub is_fallback: bool,
}

impl Synthesis {
    /// Makes a clip before a deadline, or finds it.
    ///
    /// # Errors
    /// When the engine or the voice does not exist, no engine can speak, or the clip cannot be kept.
    pub(crate) async fn clip(&self, speech: &Speech, deadline: Instant) -> Result<Clip, Error> {
        let order = self.engines.order(&speech.wish)?;
        let preferred = order.first().map(|n| self.name(*n, speech)).unwrap_or_default();
        let flight = Flight::board(self, preferred);
        let clip = {
            let _alone = flight.lock.lock().await;
            self.clip_alone(speech, &order, deadline).await?
        };
        let result = if clip.is_cached { "hit" } else { "made" };
        metrics::counter!("tts_clip_requests_total", "result" => result).increment(1);
        tracing::Span::current().record("engine", clip.engine);
        Ok(clip)
    }

    async fn clip_alone(&self, speech: &Speech, order: &[usize], deadline: Instant) -> Result<Clip, Error> {
        for (place, n) in order.iter().copied().enumerate() {
            let (filename, is_fallback) = (self.name(n, speech), place > 0);
            let engine = self.engines.get(n).name();
            match self.clips.get(&filename).await {
                Ok(file) => {
                    let duration = duration_of_file(&file);
                    return Ok(Clip { filename, duration, engine, is_cached: true, is_fallback });
                }
                Err(ClipsError::Gone) => {}
                Err(error) => return Err(error.into()),
            }
            let is_last = place + 1 == order.len();
            let limit = if is_last { deadline } else { deadline - RESERVE };
            // A clip is heard only when it is whole, so an engine that fails in the middle has cost nothing but time.
            let Some(samples) = self.speak_all(n, speech, limit).await else { continue };
            let file = Bytes::from(wav::write_mulaw(&mulaw::encode(&samples)));
            // Another process may have been faster: then its clip is the one that is played.
            let duration = duration_of_file(&self.clips.put(&filename, file).await?);
            metrics::counter!("tts_clips_total", "engine" => engine).increment(1);
            return Ok(Clip { filename, duration, engine, is_cached: false, is_fallback });
        }
        Err(Error::Unavailable)
    }

    /// The whole text by one engine, at 8 kHz.
    async fn speak_all(&self, n: usize, speech: &Speech, limit: Instant) -> Option<Vec<f32>> {
        let voice = self.engines.voice(n, &speech.wish);
        let mut all: Vec<f32> = Vec::new();
        let mut pause = Duration::ZERO;
        for piece in pack(&speech.spoken, self.engines.get(n).max_chars()) {
            let mut spoken = self.engines.begin(n, &piece, voice, &speech.wish.language, Some(limit)).await?;
            let Ok(samples) = timeout_at(limit, collect(&mut spoken)).await else {
                spoken.failed(&EngineError::late("the end of a clip", spoken.elapsed()));
                return None;
            };
            let samples = samples?;
            let Some((even, rms)) = evened(&samples, spoken.rate) else {
                spoken.failed(&EngineError::new("nothing but silence came"));
                return None;
            };
            let sound = match self.transcoder.resample(even, TELEPHONE_HERTZ).await {
                Ok(sound) => sound,
                Err(error) => {
                    // No engine's fault, but none can be heard without it.
                    tracing::error!(%error, "a clip cannot be brought to the telephone's rate");
                    return None;
                }
            };
            let seconds = duration_of(sound.len(), TELEPHONE_HERTZ).as_secs_f32();
            let seconds_per_char = Some(seconds / piece.chars().count() as f32);
            spoken.succeeded(Manner { rms: Some(rms), seconds_per_char });
            all.resize(all.len() + (pause.as_millis() as u32 * TELEPHONE_HERTZ / 1_000) as usize, 0.0);
            all.extend(sound);
            pause = level::pause_after(&piece);
        }
        Some(all)
    }

    /// A fallback engine's clip has a name of its own, so that it never answers for the preferred one.
    fn name(&self, n: usize, speech: &Speech) -> String {
        let voice = self.engines.voice(n, &speech.wish);
        self.clips.name_for(&speech.spoken, voice, self.engines.get(n).name(), &speech.wish.language)
    }
}

/// One at a time for each clip, until the last of them is done or gone.
struct Flight<'a> {
    synthesis: &'a Synthesis,
    name: String,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<'a> Flight<'a> {
    fn board(synthesis: &'a Synthesis, name: String) -> Self {
        let mut flights = synthesis.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = flights.entry(name.clone()).or_default().clone();
        Self { synthesis, name, lock }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.synthesis.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the table's: nobody else waits for it.
        if Arc::strong_count(&self.lock) <= 2 {
            flights.remove(&self.name);
        }
    }
}

/// All samples; `None` when the engine fails.
async fn collect(spoken: &mut Spoken) -> Option<Vec<f32>> {
    let mut samples = Vec::new();
    while let Some(more) = spoken.next().await {
        samples.extend(more.ok()?);
    }
    Some(samples)
}

/// Trims and evens out; gives the loudness that there was, too.
fn evened(samples: &[f32], rate: u32) -> Option<(Audio, f32)> {
    let speech = level::trimmed(samples, rate);
    let mut meter = Meter::default();
    meter.add(speech);
    let rms = meter.rms()?;
    let gain = level::gain(rms);
    let samples = speech.iter().map(|sample| level::amplified(*sample, gain)).collect();
    Some((Audio { samples, sample_rate_hertz: rate }, rms))
}

/// Of a file that we wrote: one byte a sample behind its header.
fn duration_of_file(file: &[u8]) -> Duration {
    wav::read(file).map(|audio| audio.duration()).unwrap_or_default()
}
