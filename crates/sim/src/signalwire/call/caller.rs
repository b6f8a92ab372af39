//! The caller's mouth: a queue of things to say, and exactly when which word of them is over.

use std::collections::VecDeque;

use serde::Serialize;
use voice_audio::{Audio, FRAME_SAMPLES, TELEPHONE_HERTZ, resample::resample, vad::find_speech};

/// Utterances that may wait.
const QUEUE: usize = 64;

/// Samples of silence before a machine's tone: 300 ms.
const TONE_PAUSE: usize = 2_400;
/// Samples of the tone: 400 ms.
const TONE: usize = 3_200;

/// Something to say.
#[derive(Clone, Debug)]
pub(crate) struct Utterance {
    samples: Vec<f32>,
    text: String,
    /// First and last sample of speech.
    span: Option<(usize, usize)>,
    /// Each word, with the sample at which it is over.
    words: Vec<(usize, String)>,
    /// Whether it is a machine's tone.
    is_tone: bool,
}

impl Utterance {
    /// Prepares audio with the words in it, if anybody knows them. The words share the speech evenly.
    pub(crate) fn new(audio: &Audio, text: &str) -> Self {
        let samples = resample(&audio.samples, audio.sample_rate_hertz, TELEPHONE_HERTZ);
        let to_sample =
            |time: std::time::Duration| (time.as_secs_f64() * f64::from(TELEPHONE_HERTZ)) as usize;
        let span =
            find_speech(&samples, TELEPHONE_HERTZ).map(|span| (to_sample(span.start), to_sample(span.end)));
        let words: Vec<&str> = text.split_whitespace().collect();
        let (start, end) = span.unwrap_or((0, samples.len()));
        let timed = words.iter().enumerate();
        let words = timed
            .map(|(n, word)| (start + (end - start) * (n + 1) / words.len(), (*word).to_owned()))
            .collect();
        Self { samples, text: text.to_owned(), span, words, is_tone: false }
    }

    /// Something like speech, of which nobody knows the words.
    pub(crate) fn murmur(millis: u64) -> Self {
        // Rises and falls as syllables do, so that it never becomes the noise floor.
        let sample = |n: usize| {
            let seconds = n as f32 / TELEPHONE_HERTZ as f32;
            0.4 * (seconds * 4.0 * std::f32::consts::PI).sin().abs() * (seconds * 1_000.0).sin()
        };
        Self::made((millis as usize) * 8, sample)
    }

    /// A pause, and the tone after which a machine records.
    pub(crate) fn tone() -> Self {
        let sample = |n: usize| {
            if n < TONE_PAUSE { 0.0 } else { 0.4 * (n as f32 * std::f32::consts::FRAC_PI_4).sin() }
        };
        Self { is_tone: true, ..Self::made(TONE_PAUSE + TONE, sample) }
    }

    fn made(samples: usize, sample: impl Fn(usize) -> f32) -> Self {
        let samples = (0..samples).map(sample).collect();
        Self::new(&Audio { samples, sample_rate_hertz: TELEPHONE_HERTZ }, "")
    }

    /// How long it takes to say.
    pub(crate) fn duration_ms(&self) -> f64 {
        self.samples.len() as f64 / 8.0
    }
}

/// One stretch of speech that the line has carried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SpokenSpan {
    start_ms: f64,
    /// Absent while it goes on.
    end_ms: Option<f64>,
    text: String,
}

/// 20 ms of the caller.
#[derive(Debug)]
pub(crate) struct CallerFrame {
    /// The sound.
    pub(crate) samples: [f32; FRAME_SAMPLES],
    /// Words that ended in this frame.
    pub(crate) words: Vec<String>,
    /// Speech began at this sample; the text of the utterance.
    pub(crate) started: Option<(usize, String)>,
    /// Speech ended at this sample.
    pub(crate) stopped: Option<usize>,
    /// A machine's tone is over.
    pub(crate) has_tone_ended: bool,
}

/// The caller.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    queue: VecDeque<Utterance>,
    /// Sample of the first utterance to say next.
    at: usize,
    spoken: Vec<SpokenSpan>,
}

impl Caller {
    pub(super) fn say(&mut self, utterance: Utterance) -> Result<(), &'static str> {
        if self.queue.len() >= QUEUE {
            return Err("too much is queued to be said");
        }
        self.queue.push_back(utterance);
        Ok(())
    }

    /// The next 20 ms.
    pub(super) fn frame(&mut self) -> CallerFrame {
        let mut frame = CallerFrame {
            samples: [0.0; FRAME_SAMPLES],
            words: Vec::new(),
            started: None,
            stopped: None,
            has_tone_ended: false,
        };
        let mut filled = 0;
        while filled < FRAME_SAMPLES {
            let Some(utterance) = self.queue.front() else { break };
            let count = (utterance.samples.len() - self.at).min(FRAME_SAMPLES - filled);
            let said = self.at..self.at + count;
            frame.samples[filled..filled + count].copy_from_slice(&utterance.samples[said.clone()]);
            let place = |sample: usize| filled + sample - said.start;
            if let Some((start, end)) = utterance.span {
                if said.contains(&start) {
                    frame.started = Some((place(start), utterance.text.clone()));
                }
                if end > said.start && end <= said.end {
                    frame.stopped = Some(place(end));
                }
            }
            let over = utterance.words.iter().filter(|(end, _)| *end > said.start && *end <= said.end);
            frame.words.extend(over.map(|(_, word)| word.clone()));
            filled += count;
            self.at = said.end;
            if self.at == utterance.samples.len() {
                frame.has_tone_ended |= utterance.is_tone;
                self.queue.pop_front();
                self.at = 0;
            }
        }
        frame
    }

    pub(super) fn note_start(&mut self, at_ms: f64, text: &str) {
        self.spoken.push(SpokenSpan { start_ms: at_ms, end_ms: None, text: text.to_owned() });
    }

    pub(super) fn note_stop(&mut self, at_ms: f64) {
        if let Some(span) = self.spoken.last_mut() {
            span.end_ms = Some(at_ms);
        }
    }

    pub(super) fn fall_silent(&mut self) {
        self.queue.clear();
        self.at = 0;
    }

    pub(super) fn spoken(&self) -> &[SpokenSpan] {
        &self.spoken
    }
}
