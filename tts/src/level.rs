//! Loudness and edges, so that a change of engine is no jump and clauses join well.

use std::time::Duration;

/// What telephone speech sounds right at: -20 dBFS.
const TARGET_RMS: f32 = 0.1;
/// Headroom of 3 dB for whatever comes after.
const PEAK: f32 = 0.7;
/// An engine is never made more than this much louder: that would be noise.
const MOST_GAIN: f32 = 8.0;
/// Quieter than this is silence.
const SILENCE: f32 = 0.004;

/// The pause behind a text of which more follows, as a speaker would make it.
pub(crate) fn pause_after(text: &str) -> Duration {
    Duration::from_millis(
        match text.trim_end_matches(['"', '\'', ')', '\u{201d}', '\u{2019}']).chars().last() {
            Some(',' | ';' | ':' | '\u{2013}' | '\u{2014}') => 80,
            Some(last) if last.is_alphanumeric() => 30,
            _ => 150,
        },
    )
}

/// The part of samples between the silences at their edges, with a little of each.
pub(crate) fn trimmed(samples: &[f32], rate: u32) -> &[f32] {
    let margin = margin(rate);
    let Some(first) = samples.iter().position(is_loud) else { return &[] };
    let last = samples.iter().rposition(is_loud).unwrap_or(first);
    &samples[first.saturating_sub(margin)..(last + margin).min(samples.len())]
}

/// Measures loudness: of what is voiced, so that pauses do not count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    sum: f64,
    count: usize,
}

impl Meter {
    pub(crate) fn add(&mut self, samples: &[f32]) {
        for sample in samples.iter().filter(|sample| is_loud(sample)) {
            self.sum += f64::from(sample * sample);
            self.count += 1;
        }
    }

    pub(crate) fn rms(&self) -> Option<f32> {
        (self.count > 0).then(|| (self.sum / self.count as f64).sqrt() as f32)
    }
}

/// The gain that brings a loudness to the common one.
pub(crate) fn gain(rms: f32) -> f32 {
    (TARGET_RMS / rms).min(MOST_GAIN)
}

/// A sample with a gain; what would be too loud is bent, not cut.
pub(crate) fn amplified(sample: f32, gain: f32) -> f32 {
    let loud = sample * gain;
    if loud.abs() <= PEAK {
        return loud;
    }
    let room = 1.0 - PEAK;
    let bent = PEAK + room * ((loud.abs() - PEAK) / room).tanh();
    bent.copysign(loud)
}

/// The same as [`trimmed`], for a stream: silence is held back until it is known whether something follows.
#[derive(Debug)]
pub(crate) struct Trimmer {
    margin: usize,
    held: Vec<f32>,
    has_begun: bool,
}

impl Trimmer {
    pub(crate) fn new(rate: u32) -> Self {
        Self { margin: margin(rate), held: Vec::new(), has_begun: false }
    }

    /// What is known to belong to the speech now.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        self.held.extend_from_slice(samples);
        let Some(last) = self.held.iter().rposition(is_loud) else {
            if !self.has_begun {
                let excess = self.held.len().saturating_sub(self.margin);
                self.held.drain(..excess);
            }
            return Vec::new();
        };
        if !std::mem::replace(&mut self.has_begun, true) {
            let first = self.held.iter().position(is_loud).unwrap_or(last);
            self.held.drain(..first.saturating_sub(self.margin));
        }
        let last = self.held.iter().rposition(is_loud).unwrap_or_default();
        // A zero crossing is no silence: what lies within the margin goes out at once.
        let end = (last + self.margin).min(self.held.len());
        self.held.drain(..end).collect()
    }
}

fn is_loud(sample: &f32) -> bool {
    sample.abs() > SILENCE
}

fn margin(rate: u32) -> usize {
    (rate / 33) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| amplitude * (n as f32 * 0.3).sin()).collect()
    }

    #[test]
    fn quiet_and_loud_speech_come_out_alike() {
        for amplitude in [0.02_f32, 0.1, 0.9] {
            let tone = tone(amplitude, 8_000);
            let mut meter = Meter::default();
            meter.add(&tone);
            let gain = gain(meter.rms().unwrap());
            let rms = (tone.iter().map(|s| amplified(*s, gain).powi(2)).sum::<f32>() / 8_000.0).sqrt();
            assert!((rms - TARGET_RMS).abs() < 0.02, "{amplitude}: {rms}");
        }
        assert_eq!(Meter::default().rms(), None);
    }

    #[test]
    fn peaks_are_bent_smoothly_and_never_clip() {
        let all: Vec<f32> = (0..2_000).map(|n| amplified(n as f32 * 0.001, 4.0)).collect();
        assert!(all.is_sorted() && all.iter().all(|sample| *sample <= 1.0));
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] < 0.0041), "no step");
        assert!((amplified(-0.1, 2.0) + 0.2).abs() < 1e-6);
    }

    #[test]
    fn edges_are_short_in_a_clip_and_in_a_stream_cut_anywhere() {
        let gap = [tone(0.3, 800), vec![0.0; 2_000], tone(0.3, 801)].concat();
        let padded = [vec![0.0; 4_000], gap.clone(), vec![0.0; 4_000]].concat();
        let whole = trimmed(&padded, 8_000);
        assert!((gap.len()..gap.len() + 600).contains(&whole.len()));
        for cut in [1, 7, 160, 4_100, 20_000] {
            let mut trimmer = Trimmer::new(8_000);
            let streamed: Vec<f32> = padded.chunks(cut).flat_map(|piece| trimmer.push(piece)).collect();
            assert!(streamed.len().abs_diff(whole.len()) <= 242, "{cut}: {} {}", streamed.len(), whole.len());
            assert_eq!(streamed[..gap.len()], whole[..gap.len()], "{cut}");
        }
        assert_eq!(trimmed(&[0.0; 100], 8_000), [] as [f32; 0]);
        assert!(Trimmer::new(8_000).push(&vec![0.0; 10_000]).is_empty());
    }

    #[test]
    fn pauses_follow_the_punctuation() {
        assert!(pause_after("Well,") < pause_after("Well."));
        assert!(pause_after("cut in mid") < pause_after("a pause;"));
        assert_eq!(pause_after("He said \"no.\""), pause_after("no."));
    }
}
