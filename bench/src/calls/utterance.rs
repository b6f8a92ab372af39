//! What a caller says: one sentence as frames, ready to be sent.

use std::time::Duration;

use anyhow::ensure;
use base64::Engine as _;
use voice_audio::{
    FRAME_SAMPLES, TELEPHONE_HERTZ, decode, mulaw,
    resample::resample,
    vad::live::{Change, LiveVad},
};

/// The longest sentence.
const LONGEST: Duration = Duration::from_secs(20);

/// One frame of a caller.
#[derive(Clone, Debug)]
pub struct Near {
    /// Samples, as the far end decodes them.
    pub samples: [i16; FRAME_SAMPLES],
    /// Base64 of its mu-law.
    pub payload: String,
}

/// A sentence of a caller.
#[derive(Clone, Debug)]
pub struct Utterance {
    /// Its frames.
    pub frames: Vec<Near>,
}

impl Near {
    /// A frame without sound.
    pub fn silent() -> Self {
        Self::of(&[mulaw::SILENCE; FRAME_SAMPLES])
    }

    fn of(bytes: &[u8; FRAME_SAMPLES]) -> Self {
        let decoded = mulaw::decode(bytes);
        let samples = std::array::from_fn(|n| mulaw::to_i16(decoded[n]));
        Self { samples, payload: base64::engine::general_purpose::STANDARD.encode(bytes) }
    }

    /// The media message that carries it.
    pub fn message(&self, number: u64) -> String {
        format!(
            r#"{{"event":"media","sequenceNumber":"{}","streamSid":"MZ1","media":{{"track":"inbound","chunk":"{number}","timestamp":"{}","payload":"{}"}}}}"#,
            number + 1,
            number * 20,
            self.payload
        )
    }
}

impl Utterance {
    /// Makes frames of a WAV file with one sentence, without the silence around it.
    ///
    /// # Errors
    /// When it is no audio, or nobody speaks in it.
    pub fn of(wav: &[u8]) -> anyhow::Result<Self> {
        let audio = decode::decode(wav, LONGEST)?;
        let samples = resample(&audio.samples, audio.sample_rate_hertz, TELEPHONE_HERTZ);
        let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let span = voice_audio::vad::find_speech(&samples, TELEPHONE_HERTZ);
        let span = span.ok_or_else(|| anyhow::anyhow!("nobody speaks in it"))?;
        let at = |time: Duration| (time.as_secs_f64() * f64::from(TELEPHONE_HERTZ)) as usize;
        let spoken: Vec<f32> = samples[at(span.start)..at(span.end).min(samples.len())]
            .iter()
            .map(|sample| sample * 0.5 / peak.max(0.01))
            .collect();
        let bytes = mulaw::encode(&spoken);
        let (frames, _) = bytes.as_chunks::<FRAME_SAMPLES>();
        let utterance = Self { frames: frames.iter().map(Near::of).collect() };
        let pauses = utterance.pauses();
        ensure!(pauses == 1, "a sentence of the load must be one stretch of voice, this is {pauses}");
        Ok(utterance)
    }

    /// How often a listener would think that it may be over.
    fn pauses(&self) -> usize {
        let mut vad = LiveVad::new();
        let silence = Near::silent();
        let lead = std::iter::repeat_n(&silence, 25);
        let frames = lead.clone().chain(&self.frames).chain(lead);
        frames.filter(|frame| matches!(vad.push(&frame.samples, None), Some(Change::Paused { .. }))).count()
    }
}
