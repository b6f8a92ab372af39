//! Voice activity by energy over a tracked noise floor. Good enough to find where speech starts and ends on a
//! recording and to tell speech from a silent line; what may interrupt the assistant is decided by [`live`].

mod echo;
pub mod live;

use std::time::Duration;

/// What is looked at at a time.
const FRAME: Duration = Duration::from_millis(20);
/// How far above the noise floor a frame must be to count as voiced.
const MARGIN_DB: f32 = 9.0;
/// How far above it a frame may be a quiet sound of speech; less is the line alone.
const SOUND_DB: f32 = 4.0;
/// Below this a frame is silent whatever the floor is: the idle noise of a mu-law line.
const SILENCE_DB: f32 = -50.0;
/// The floor rises by this much a frame at most, so that speech does not become the floor: 6 dB a second.
const FLOOR_RISE_DB: f32 = 0.12;
/// Voiced frames of the last five that start speech.
const START_VOICED: usize = 3;

/// What a frame changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Speech has begun.
    Started,
    /// Speech has been over for the configured silence.
    Ended,
}

/// Finds speech in consecutive 20 ms frames.
#[derive(Clone, Debug)]
pub struct EnergyVad {
    floor_db: f32,
    recent: [bool; 5],
    at: usize,
    speaking: bool,
    silent_frames: usize,
    end_frames: usize,
}

impl EnergyVad {
    /// Makes a detector that reports the end of speech after `end_silence` without voice.
    pub fn new(end_silence: Duration) -> Self {
        Self {
            floor_db: -60.0,
            recent: [false; 5],
            at: 0,
            speaking: false,
            silent_frames: 0,
            end_frames: (end_silence.as_millis() / 20).max(1) as usize,
        }
    }

    /// Takes the next 20 ms of samples.
    pub fn push(&mut self, frame: &[f32]) -> Option<Transition> {
        let voiced = self.is_voiced(frame);
        self.recent[self.at] = voiced;
        self.at = (self.at + 1) % self.recent.len();
        if voiced {
            self.silent_frames = 0;
        } else {
            self.silent_frames += 1;
        }
        if !self.speaking && self.recent.iter().filter(|voiced| **voiced).count() >= START_VOICED {
            self.speaking = true;
            return Some(Transition::Started);
        }
        if self.speaking && self.silent_frames >= self.end_frames {
            self.speaking = false;
            self.recent = [false; 5];
            return Some(Transition::Ended);
        }
        None
    }

    /// Whether speech is going on.
    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    fn is_voiced(&mut self, frame: &[f32]) -> bool {
        self.rise(frame) > MARGIN_DB
    }

    /// How far the next frame is above the floor, in dB; infinitely far below if it is silent anyway.
    fn rise(&mut self, frame: &[f32]) -> f32 {
        let power = frame.iter().map(|s| s * s).sum::<f32>() / frame.len().max(1) as f32;
        let level = 10.0 * (power + 1e-10).log10();
        self.floor_db =
            if level < self.floor_db { level.max(-70.0) } else { (self.floor_db + FLOOR_RISE_DB).min(level) };
        if level > SILENCE_DB { level - self.floor_db } else { f32::NEG_INFINITY }
    }
}

/// Where speech is in a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeechSpan {
    /// From the start of the recording to the first voiced frame.
    pub start: Duration,
    /// From the start of the recording to the end of the last voiced frame.
    pub end: Duration,
    /// Sum of the voiced frames.
    pub voiced: Duration,
}

/// Finds speech in a recording while it grows.
#[derive(Clone, Debug)]
pub struct SpeechFinder {
    vad: EnergyVad,
    frames: u32,
    span: Option<SpeechSpan>,
    sound_end: Duration,
}

impl Default for SpeechFinder {
    fn default() -> Self {
        Self {
            vad: EnergyVad::new(Duration::from_hours(1)),
            frames: 0,
            span: None,
            sound_end: Duration::ZERO,
        }
    }
}

impl SpeechFinder {
    /// Takes the next 20 ms of samples.
    pub fn push(&mut self, frame: &[f32]) {
        let start = FRAME * self.frames;
        self.frames += 1;
        let rise = self.vad.rise(frame);
        if rise > SOUND_DB {
            self.sound_end = start + FRAME;
        }
        if rise <= MARGIN_DB {
            return;
        }
        let found = self.span.get_or_insert(SpeechSpan { start, end: start, voiced: Duration::ZERO });
        found.end = start + FRAME;
        found.voiced += FRAME;
    }

    /// Where the last sound ends that may belong to speech, though it is too quiet to be found as such; since then there
    /// was the line alone.
    pub fn sound_end(&self) -> Duration {
        self.sound_end
    }

    /// Where speech is so far; `None` while there was none.
    pub fn span(&self) -> Option<SpeechSpan> {
        self.span
    }
}

/// Finds speech in a whole recording; `None` when there is none.
pub fn find_speech(samples: &[f32], sample_rate_hertz: u32) -> Option<SpeechSpan> {
    let frame = (sample_rate_hertz / 50) as usize;
    let mut finder = SpeechFinder::default();
    samples.chunks_exact(frame.max(1)).for_each(|samples| finder.push(samples));
    finder.span()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(db: f32, count: usize) -> Vec<f32> {
        let amplitude = 10_f32.powf(db / 20.0) * std::f32::consts::SQRT_2;
        (0..count * 160).map(|n| amplitude * (n as f32 * 0.5).sin()).collect()
    }

    #[test]
    fn speech_after_silence_starts_within_three_frames_and_ends_after_the_configured_silence() {
        let audio = [frames(-65.0, 50), frames(-20.0, 30), frames(-65.0, 60)].concat();
        let mut vad = EnergyVad::new(Duration::from_millis(600));
        let seen: Vec<_> = audio
            .chunks_exact(160)
            .enumerate()
            .filter_map(|(n, frame)| vad.push(frame).map(|transition| (n, transition)))
            .collect();
        assert_eq!(seen, [(52, Transition::Started), (109, Transition::Ended)]);
    }

    #[test]
    fn silence_and_steady_noise_hold_no_speech() {
        assert_eq!(find_speech(&frames(-65.0, 100), 8_000), None);
        let noisy = find_speech(&frames(-30.0, 500), 8_000);
        assert!(noisy.is_none_or(|span| span.voiced < Duration::from_secs(4)), "{noisy:?}");
    }

    #[test]
    fn what_is_found_while_a_recording_grows_is_what_is_found_in_it() {
        let audio = [frames(-65.0, 20), frames(-20.0, 30), frames(-65.0, 10), frames(-25.0, 5)].concat();
        let mut finder = SpeechFinder::default();
        for (n, frame) in audio.chunks_exact(160).enumerate() {
            finder.push(frame);
            assert_eq!(finder.span(), find_speech(&audio[..160 * (n + 1)], 8_000));
        }
    }

    #[test]
    fn a_sound_that_is_too_quiet_to_be_found_as_speech_is_no_silence() {
        let mut finder = SpeechFinder::default();
        let audio =
            [frames(-40.0, 200), frames(-20.0, 30), frames(-40.0, 20), frames(-34.0, 5), frames(-40.0, 20)];
        audio.concat().chunks_exact(160).for_each(|frame| finder.push(frame));
        assert_eq!(finder.span().unwrap().end, Duration::from_millis(4_600));
        assert_eq!(finder.sound_end(), Duration::from_millis(5_100));
    }

    #[test]
    fn speech_is_found_where_it_is() {
        let audio = [frames(-65.0, 50), frames(-20.0, 30), frames(-65.0, 60)].concat();
        let span = find_speech(&audio, 8_000).unwrap();
        assert_eq!(span.start, Duration::from_secs(1));
        assert_eq!(span.end, Duration::from_millis(1_600));
    }
}
