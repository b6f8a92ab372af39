//! Speech as a clip, or as a stream.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_stream::stream;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use voice_audio::{Audio, TELEPHONE_HERTZ, mulaw, resample::StreamResampler, wav};
use voice_clips::{Clips, ClipsError};
use voice_speech::{for_speech, pack};
use voice_transcode::Transcoder;

use crate::{
    engines::Engines,
    error::{EngineError, Error},
    level,
};

/// The longest text.
const MOST_CHARS: usize = 4_000;
/// Between pieces of one clip.
const PAUSE: Duration = Duration::from_millis(150);

/// A text to be spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speech {
    /// What to say, as a person would.
    text: String,
    voice: String,
    language: String,
}

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
}

/// How raw samples are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Mu-law, or 16-bit little-endian.
    pub is_mulaw: bool,
    /// Samples per second.
    pub rate: u32,
}

/// Speaks.
#[derive(Clone, Debug)]
pub(crate) struct Synthesis {
    engines: Engines,
    clips: Clips,
    transcoder: Transcoder,
    /// One at a time for each clip: the second finds what the first has made.
    flights: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Speech {
    /// Prepares a text.
    ///
    /// # Errors
    /// When there is nothing to say, or too much.
    pub(crate) fn new(text: &str, voice: String, language: String) -> Result<Self, Error> {
        let invalid = |message: String| Error::InvalidField { field: "text", message };
        let chars = text.chars().count();
        if chars > MOST_CHARS {
            return Err(invalid(format!("has {chars} characters; at most {MOST_CHARS} are spoken at once")));
        }
        let language = if language.is_empty() { "en-US".to_owned() } else { language };
        let text = for_speech(text, &language);
        if text.is_empty() {
            return Err(invalid("holds nothing that can be spoken".to_owned()));
        }
        Ok(Self { text, voice, language })
    }
}

impl Synthesis {
    pub(crate) fn new(engines: Engines, clips: Clips, transcoder: Transcoder) -> Self {
        Self { engines, clips, transcoder, flights: Arc::default() }
    }

    /// Makes a clip, or finds it.
    ///
    /// # Errors
    /// When no engine can speak, or the clip cannot be kept.
    pub(crate) async fn clip(&self, speech: &Speech) -> Result<Clip, Error> {
        let preferred = self.name(0, speech);
        let flight = self.flight(&preferred);
        let guard = flight.lock().await;
        let made = self.clip_alone(speech).await;
        drop(guard);
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the table's: nobody else waits for it.
        if Arc::strong_count(&flight) <= 2 {
            flights.remove(&preferred);
        }
        made
    }

    async fn clip_alone(&self, speech: &Speech) -> Result<Clip, Error> {
        for n in 0..self.engines.count() {
            let filename = self.name(n, speech);
            let engine = self.engines.get(n).name();
            match self.clips.get(&filename).await {
                Ok(file) => {
                    let duration = duration_of_file(&file);
                    return Ok(Clip { filename, duration, engine, is_cached: true });
                }
                Err(ClipsError::Gone) => {}
                Err(error) => return Err(error.into()),
            }
            // A clip is heard only when it is whole, so an engine that fails in the middle has cost nothing but time.
            let Some(samples) = self.speak_all(n, speech).await else { continue };
            let file = Bytes::from(wav::write_mulaw(&mulaw::encode(&samples)));
            // Another process may have been faster: then its clip is the one that is played.
            let duration = duration_of_file(&self.clips.put(&filename, file).await?);
            metrics::counter!("tts_clips_total", "engine" => engine).increment(1);
            return Ok(Clip { filename, duration, engine, is_cached: false });
        }
        Err(Error::Unavailable)
    }

    /// The whole text by one engine, at 8 kHz.
    async fn speak_all(&self, n: usize, speech: &Speech) -> Option<Vec<f32>> {
        let engine = self.engines.get(n);
        let voice = self.voice(n, speech).to_owned();
        let mut all: Vec<f32> = Vec::new();
        for piece in pack(&speech.text, engine.max_chars()) {
            let mut spoken = self.engines.begin(n, &piece, &voice, &speech.language).await?;
            let mut samples = Vec::new();
            while let Some(more) = spoken.samples.next().await {
                match more {
                    Ok(more) => samples.extend(more),
                    Err(error) => {
                        self.engines.failed(n, &error);
                        return None;
                    }
                }
            }
            let rate = spoken.rate;
            let gain = level::gain(&samples);
            let even = level::trimmed(&samples, rate).iter().map(|sample| sample * gain).collect();
            let even = Audio { samples: even, sample_rate_hertz: rate };
            let piece = match self.transcoder.resample(even, TELEPHONE_HERTZ).await {
                Ok(piece) if !piece.is_empty() => piece,
                Ok(_) => {
                    self.engines.failed(n, &EngineError::new("nothing but silence came"));
                    return None;
                }
                Err(error) => {
                    // No engine's fault, but none can be heard without it.
                    tracing::error!(%error, "a clip cannot be brought to the telephone's rate");
                    return None;
                }
            };
            if !all.is_empty() {
                all.extend(std::iter::repeat_n(
                    0.0,
                    (PAUSE.as_millis() as u32 * TELEPHONE_HERTZ / 1_000) as usize,
                ));
            }
            all.extend(piece);
        }
        self.engines.succeeded(n);
        Some(all)
    }

    /// Speaks as a stream: who speaks first, then raw audio. A piece that fails before it has sounded is spoken by
    /// the next engine; one that breaks off is not begun again, the next one goes on.
    pub(crate) fn stream(
        self,
        speech: Speech,
        format: Format,
    ) -> impl Stream<Item = Result<Streamed, Error>> + Send {
        stream! {
            let mut first = 0;
            let mut has_begun = false;
            let limit = self.engines.get(0).max_chars();
            for piece in pack(&speech.text, limit) {
                let mut spoken = None;
                while spoken.is_none() && first < self.engines.count() {
                    let voice = self.voice(first, &speech).to_owned();
                    spoken = self.engines.begin(first, &piece, &voice, &speech.language).await;
                    if spoken.is_none() {
                        first += 1;
                    }
                }
                let Some(mut spoken) = spoken else {
                    yield Err(Error::Unavailable);
                    return;
                };
                if !std::mem::replace(&mut has_begun, true) {
                    yield Ok(Streamed::Started { engine: self.engines.get(first).name() });
                }
                let mut resampler = StreamResampler::new(spoken.rate, format.rate);
                let mut out = Vec::new();
                let mut gain = None;
                let mut is_broken = false;
                while let Some(samples) = spoken.samples.next().await {
                    let Ok(samples) = samples.inspect_err(|error| self.engines.failed(first, error)) else {
                        is_broken = true;
                        first += 1;
                        break;
                    };
                    let gain = *gain.get_or_insert_with(|| level::gain(&samples));
                    let even: Vec<f32> = samples.iter().map(|sample| sample * gain).collect();
                    resampler.push(&even, &mut out);
                    if !out.is_empty() {
                        yield Ok(Streamed::Audio(format.encode(&std::mem::take(&mut out))));
                    }
                }
                resampler.finish(&mut out);
                if !out.is_empty() {
                    yield Ok(Streamed::Audio(format.encode(&out)));
                }
                if !is_broken {
                    self.engines.succeeded(first);
                }
            }
        }
    }

    /// A fallback engine's clip has a name of its own, so that it never answers for the preferred one.
    fn name(&self, n: usize, speech: &Speech) -> String {
        let engine = self.engines.get(n);
        self.clips.name_for(&speech.text, self.voice(n, speech), engine.name(), &speech.language)
    }

    /// Voices are the preferred engine's; others have their own.
    fn voice<'a>(&'a self, n: usize, speech: &'a Speech) -> &'a str {
        if n == 0 && !speech.voice.is_empty() { &speech.voice } else { self.engines.get(n).default_voice() }
    }

    fn flight(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.entry(name.to_owned()).or_default().clone()
    }
}

/// What a stream gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// First of all.
    Started {
        /// Who speaks.
        engine: &'static str,
    },
    /// Raw audio.
    Audio(Bytes),
}

impl Format {
    fn encode(self, samples: &[f32]) -> Bytes {
        if self.is_mulaw {
            return mulaw::encode(samples).into();
        }
        samples.iter().flat_map(|sample| mulaw::to_i16(*sample).to_le_bytes()).collect()
    }
}

/// Of a file that we wrote: one byte a sample behind its header.
fn duration_of_file(file: &[u8]) -> Duration {
    wav::read(file).map(|audio| audio.duration()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
