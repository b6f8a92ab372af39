//! An engine's samples on their way into a stream: silence at the edges goes, loudness is evened out, the rate is
//! changed. A clause has one gain from its beginning to its end.

use voice_audio::resample::StreamResampler;

use crate::{
    engines::Manner,
    level::{self, Meter, Trimmer},
};

/// So much of a voice that was never heard before is measured before its gain is chosen, in parts of a second.
const MEASURED: u32 = 4;

/// Shapes one clause.
#[derive(Debug)]
pub(super) struct Shaper {
    trimmer: Trimmer,
    meter: Meter,
    gain: Option<f32>,
    /// What waits for the gain.
    waiting: Vec<f32>,
    least: usize,
    resampler: StreamResampler,
}

impl Shaper {
    pub(super) fn new(from: u32, to: u32, manner: Manner) -> Self {
        Self {
            trimmer: Trimmer::new(from),
            meter: Meter::default(),
            gain: manner.rms.map(level::gain),
            waiting: Vec::new(),
            least: (from / MEASURED) as usize,
            resampler: StreamResampler::new(from, to),
        }
    }

    /// Takes samples and appends what can be sent by now.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let speech = self.trimmer.push(samples);
        self.meter.add(&speech);
        if self.gain.is_none() {
            self.waiting.extend(speech);
            if self.waiting.len() >= self.least {
                self.choose(out);
            }
            return;
        }
        self.resample(&speech, out);
    }

    /// Appends the rest. Gives the loudness of the voice; `None` if there was only silence.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) -> Option<f32> {
        self.choose(out);
        self.resampler.finish(out);
        self.meter.rms()
    }

    fn choose(&mut self, out: &mut Vec<f32>) {
        let waiting = std::mem::take(&mut self.waiting);
        self.gain = self.gain.or(self.meter.rms().map(level::gain));
        self.resample(&waiting, out);
    }

    fn resample(&mut self, speech: &[f32], out: &mut Vec<f32>) {
        let gain = self.gain.unwrap_or(1.0);
        let even: Vec<f32> = speech.iter().map(|sample| level::amplified(*sample, gain)).collect();
        self.resampler.push(&even, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f32, seconds: f32) -> Vec<f32> {
        (0..(24_000.0 * seconds) as usize).map(|n| amplitude * (n as f32 * 0.1).sin()).collect()
    }

    fn shaped(samples: &[f32], manner: Manner) -> (Vec<f32>, Option<f32>) {
        let mut shaper = Shaper::new(24_000, 8_000, manner);
        let mut out = Vec::new();
        for piece in samples.chunks(700) {
            shaper.push(piece, &mut out);
        }
        let rms = shaper.finish(&mut out);
        (out, rms)
    }

    /// Loudness of every 20 ms.
    fn course(samples: &[f32]) -> Vec<f32> {
        let rms = |part: &[f32]| (part.iter().map(|s| s * s).sum::<f32>() / part.len() as f32).sqrt();
        samples.chunks_exact(160).map(rms).collect()
    }

    #[test]
    fn voices_of_any_loudness_come_out_alike_from_their_first_sample() {
        for amplitude in [0.02, 0.2, 0.8] {
            let (out, rms) = shaped(&tone(amplitude, 1.0), Manner::default());
            assert!((rms.unwrap() / amplitude * 2.0_f32.sqrt() - 1.0).abs() < 0.2);
            let course = course(&out);
            let (first, last) = (course[1], course[course.len() - 2]);
            assert!((first / last - 1.0).abs() < 0.01, "no jump within a clause: {course:?}");
            assert!((first / 0.1 - 1.0).abs() < 0.2, "-20 dBFS: {first}");
        }
    }

    #[test]
    fn a_voice_that_is_known_waits_for_nothing() {
        let mut shaper = Shaper::new(24_000, 8_000, Manner { rms: Some(0.1), ..Manner::default() });
        let mut out = Vec::new();
        shaper.push(&tone(0.2, 0.02), &mut out);
        assert!(!out.is_empty());
        let mut shaper = Shaper::new(24_000, 8_000, Manner::default());
        out.clear();
        shaper.push(&tone(0.2, 0.02), &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn silence_is_nothing_and_edges_are_short() {
        assert_eq!(shaped(&vec![0.0; 48_000], Manner::default()).1, None);
        let padded = [vec![0.0; 24_000], tone(0.2, 0.5), vec![0.0; 24_000]].concat();
        let (out, _) = shaped(&padded, Manner::default());
        assert!((4_000..4_800).contains(&out.len()), "{}", out.len());
    }
}
