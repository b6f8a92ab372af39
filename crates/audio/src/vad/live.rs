//! Voice activity on live telephone frames: fast enough for a barge-in, deaf to noise and to the assistant's own echo.
//!
//! Three questions are asked of every frame of 20 ms: is it loud enough to be anything, does it sound like a voice
//! (a small network, which noise does not fool as it does an energy detector), and is it more than the echo of what the assistant is
//! saying. Only frames that pass all three are voice. The same frames always give the same answers.

use std::time::Duration;

use super::echo::Echo;
use crate::FRAME_SAMPLES;

/// One frame.
const FRAME: Duration = Duration::from_millis(20);
/// Below this a frame is silent whatever it sounds like: the idle noise of a mu-law line.
const SILENCE_DB: f32 = -50.0;
/// A frame that is not this much louder than the quietest of late is steady noise, however it sounds.
const MARGIN_DB: f32 = 4.0;
/// What is quiet rises by this much a frame, 12 dB a second: faster than noise comes up, slower than a word lasts.
const FLOOR_RISE_DB: f32 = 0.24;
/// A score from which a frame is voice while nobody speaks, and while somebody does.
const SCORE_START: f32 = 0.7;
const SCORE_GO_ON: f32 = 0.5;
/// Voiced frames of the last five that are speech.
const START: u32 = 3;
/// Voiced frames of the last ten that are speech while the assistant can be heard.
const START_OVER_ASSISTANT: u32 = 7;
/// Frames without voice that are a pause: within a word there are shorter ones.
const PAUSE: u32 = 5;
/// Voiced frames of the last three that end a pause.
const RESUME: u32 = 2;
/// What the network works on.
const WINDOW: usize = 256;

/// What a frame changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody has begun to speak.
    Started {
        /// How many frames ago, this one included, voice began: what came just before belongs to the utterance too.
        onset_frames: usize,
    },
    /// He has fallen silent, or takes a breath.
    Paused {
        /// How much voice there was since [`Change::Started`].
        voiced: Duration,
    },
    /// He goes on.
    Resumed,
}

/// Finds speech in consecutive 20 ms frames of one call.
pub struct LiveVad {
    network: Box<earshot::Detector>,
    upsampler: Upsampler,
    /// Samples at 16 kHz that wait for a whole window.
    window: [i16; WINDOW],
    filled: usize,
    score: f32,
    floor_db: f32,
    echo: Echo,
    is_silent: bool,
    /// Whether each of the last frames was voice; the newest is bit 0.
    recent: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Quiet,
    Speaking { voiced: u32 },
    Paused { voiced: u32 },
}

// === impl LiveVad ===

impl std::fmt::Debug for LiveVad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveVad")
            .field("phase", &self.phase)
            .field("score", &self.score)
            .finish_non_exhaustive()
    }
}

impl Default for LiveVad {
    fn default() -> Self {
        Self::new()
    }
}

impl LiveVad {
    /// Makes a detector for one call.
    pub fn new() -> Self {
        Self {
            network: earshot::Detector::default_boxed(),
            upsampler: Upsampler::default(),
            window: [0; WINDOW],
            filled: 0,
            score: 0.0,
            floor_db: 0.0,
            echo: Echo::default(),
            is_silent: true,
            recent: 0,
            phase: Phase::Quiet,
        }
    }

    /// Takes the next frame of the caller, and the one of the assistant that is being played meanwhile, if any.
    pub fn push(
        &mut self,
        near: &[i16; FRAME_SAMPLES],
        far: Option<&[i16; FRAME_SAMPLES]>,
    ) -> Option<Change> {
        let level = level_db(near);
        let is_echo = self.echo.push(level, far.map_or(f32::NEG_INFINITY, level_db));
        self.is_silent = level <= SILENCE_DB;
        self.listen(near);
        let needed = if self.phase == Phase::Quiet { SCORE_START } else { SCORE_GO_ON };
        self.floor_db = (self.floor_db + FLOOR_RISE_DB).min(level);
        let is_sound = !self.is_silent && level > self.floor_db + MARGIN_DB;
        let is_voiced = is_sound && self.score >= needed && !is_echo;
        self.recent = self.recent << 1 | u32::from(is_voiced);
        self.advance(is_voiced)
    }

    /// Whether the last frame was silence, whatever else the line is: the idle noise of a telephone at most.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// The utterance is over: what comes next is another one.
    pub fn reset(&mut self) {
        self.phase = Phase::Quiet;
        self.recent = 0;
    }

    fn advance(&mut self, is_voiced: bool) -> Option<Change> {
        match &mut self.phase {
            Phase::Quiet => {
                let (frames, needed) =
                    if self.echo.is_audible() { (10, START_OVER_ASSISTANT) } else { (5, START) };
                let recent = self.recent & ((1 << frames) - 1);
                if recent.count_ones() < needed {
                    return None;
                }
                let onset_frames = (u32::BITS - recent.leading_zeros()) as usize;
                self.phase = Phase::Speaking { voiced: recent.count_ones() };
                Some(Change::Started { onset_frames })
            }
            Phase::Speaking { voiced } => {
                *voiced += u32::from(is_voiced);
                if self.recent.trailing_zeros() < PAUSE {
                    return None;
                }
                let voiced = *voiced;
                self.phase = Phase::Paused { voiced };
                Some(Change::Paused { voiced: FRAME * voiced })
            }
            Phase::Paused { voiced } => {
                *voiced += u32::from(is_voiced);
                if (self.recent & 0b111).count_ones() < RESUME {
                    return None;
                }
                self.phase = Phase::Speaking { voiced: *voiced };
                Some(Change::Resumed)
            }
        }
    }

    /// Silence is not worth the network's time, of which a line has as much as of speech.
    fn listen(&mut self, frame: &[i16; FRAME_SAMPLES]) {
        let doubled = self.upsampler.push(frame);
        let mut rest = doubled.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WINDOW - self.filled));
            self.window[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
            if self.filled == WINDOW {
                self.filled = 0;
                self.score = if self.is_silent { 0.0 } else { self.network.predict_i16(&self.window) };
            }
        }
    }
}

/// Doubles the sample rate: a half-band filter, whose even taps but the middle one are zero.
#[derive(Debug, Default)]
struct Upsampler {
    /// The end of the frame before.
    last: [f32; HISTORY],
}

/// Samples that the filter reaches over, but one.
const HISTORY: usize = 7;

/// One side of the odd taps, from the middle outwards (Kaiser window; -28 dB at 5 kHz, where a telephone has nothing).
const TAPS: [f32; 4] = [0.623_8, -0.169_2, 0.064_1, -0.018_7];

// === impl Upsampler ===

impl Upsampler {
    fn push(&mut self, frame: &[i16; FRAME_SAMPLES]) -> [i16; 2 * FRAME_SAMPLES] {
        let mut samples = [0.0; HISTORY + FRAME_SAMPLES];
        let (before, now) = samples.split_at_mut(HISTORY);
        before.copy_from_slice(&self.last);
        for (sample, near) in now.iter_mut().zip(frame) {
            *sample = f32::from(*near);
        }
        self.last.copy_from_slice(&samples[FRAME_SAMPLES..]);
        let mut doubled = [0; 2 * FRAME_SAMPLES];
        for (pair, reach) in doubled.as_chunks_mut::<2>().0.iter_mut().zip(samples.windows(HISTORY + 1)) {
            let between: f32 =
                TAPS.iter().enumerate().map(|(n, tap)| tap * (reach[3 - n] + reach[4 + n])).sum();
            *pair = [reach[3] as i16, between.clamp(-32_768.0, 32_767.0) as i16];
        }
        doubled
    }
}

/// Mean power of a frame in decibels below full scale.
fn level_db(frame: &[i16; FRAME_SAMPLES]) -> f32 {
    let sum: i64 = frame.iter().map(|sample| i64::from(*sample) * i64::from(*sample)).sum();
    10.0 * (sum as f32 / (FRAME_SAMPLES as f32 * 32_768.0 * 32_768.0) + 1e-10).log10()
}

#[cfg(test)]
mod tests;
