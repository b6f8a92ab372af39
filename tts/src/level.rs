//! Loudness and edges, so that a change of engine is no jump and clauses join well.

/// What telephone speech sounds right at: -20 dBFS.
const TARGET_RMS: f32 = 0.1;
/// Headroom of 3 dB for whatever comes after.
const PEAK: f32 = 0.7;
/// An engine is never made more than this much louder: that would be noise.
const MOST_GAIN: f32 = 8.0;
/// Quieter than this is silence.
const SILENCE: f32 = 0.004;

/// The gain that brings samples to the common loudness.
pub(crate) fn gain(samples: &[f32]) -> f32 {
    let voiced: Vec<f32> = samples.iter().copied().filter(|sample| sample.abs() > SILENCE).collect();
    if voiced.is_empty() {
        return 1.0;
    }
    let rms = (voiced.iter().map(|s| s * s).sum::<f32>() / voiced.len() as f32).sqrt();
    let peak = voiced.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    (TARGET_RMS / rms).min(PEAK / peak).min(MOST_GAIN)
}

/// The part of samples between the silences at their edges, with a little of each.
pub(crate) fn trimmed(samples: &[f32], rate: u32) -> &[f32] {
    let margin = (rate / 33) as usize;
    let is_loud = |sample: &f32| sample.abs() > SILENCE;
    let Some(first) = samples.iter().position(is_loud) else { return &[] };
    let last = samples.iter().rposition(is_loud).unwrap_or(first);
    &samples[first.saturating_sub(margin)..(last + margin).min(samples.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_and_loud_speech_come_out_alike_and_edges_are_short() {
        for amplitude in [0.02_f32, 0.1, 0.9] {
            let tone: Vec<f32> = (0..8_000).map(|n| amplitude * (n as f32 * 0.3).sin()).collect();
            let gain = gain(&tone);
            let rms = (tone.iter().map(|s| (s * gain).powi(2)).sum::<f32>() / 8_000.0).sqrt();
            assert!((rms - TARGET_RMS).abs() < 0.02, "{amplitude}: {rms}");
        }
        let padded = [vec![0.0; 4_000], vec![0.3; 800], vec![0.0; 4_000]].concat();
        assert!((800..1_400).contains(&trimmed(&padded, 8_000).len()));
        assert_eq!(trimmed(&[0.0; 100], 8_000), [] as [f32; 0]);
    }
}
