//! The one conversion of a leg's audio: whatever its format, the detector hears 160 samples at 8 kHz.

use std::sync::LazyLock;

use voice_audio::{FRAME_SAMPLES, TELEPHONE_HERTZ, mulaw};

use crate::sound::AudioFormat;

/// 20 ms at 8 kHz.
pub(super) type Frame = [i16; FRAME_SAMPLES];

/// The sample of every mu-law code.
static SAMPLES: LazyLock<[i16; 256]> = LazyLock::new(|| {
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    let samples = mulaw::decode(&codes);
    std::array::from_fn(|code| mulaw::to_i16(samples[code]))
});

/// Reads a frame of a leg's audio. What is missing at its end is silence. Higher rates are averaged down: enough to
/// tell whether somebody speaks, and nobody hears it.
pub(super) fn samples(format: AudioFormat, frame: &[u8]) -> Frame {
    let mut samples = [0; FRAME_SAMPLES];
    match format {
        AudioFormat::Mulaw => {
            let table: &[i16; 256] = &SAMPLES;
            for (sample, code) in samples.iter_mut().zip(frame) {
                *sample = table[usize::from(*code)];
            }
        }
        AudioFormat::Linear16 { hertz } => {
            let each = (hertz / TELEPHONE_HERTZ).max(1) as usize;
            for (sample, group) in samples.iter_mut().zip(frame.chunks_exact(2 * each)) {
                let sum: i32 =
                    group.chunks_exact(2).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]]))).sum();
                *sample = (sum / each as i32) as i16;
            }
        }
    }
    samples
}

/// Mean power of a frame in decibels below full scale.
pub(super) fn level_db(frame: &Frame) -> f32 {
    let power: i64 = frame.iter().map(|sample| i64::from(*sample).pow(2)).sum();
    10.0 * (power as f32 / frame.len() as f32 / 32_768.0_f32.powi(2)).max(1e-9).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_the_same_at_every_rate() {
        let tone = |hertz: u32| -> Vec<f32> {
            (0..hertz / 50)
                .map(|n| 0.5 * (std::f32::consts::TAU * 400.0 * n as f32 / hertz as f32).sin())
                .collect()
        };
        let coded = samples(AudioFormat::Mulaw, &mulaw::encode(&tone(8_000)));
        let power = |frame: &Frame| frame.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        for hertz in [8_000, 16_000, 24_000] {
            let bytes: Vec<u8> =
                tone(hertz).iter().flat_map(|sample| mulaw::to_i16(*sample).to_le_bytes()).collect();
            let read = samples(AudioFormat::Linear16 { hertz }, &bytes);
            let ratio = power(&read) / power(&coded);
            assert!((0.9..1.1).contains(&ratio), "{hertz}: {ratio}");
        }
        assert_eq!(samples(AudioFormat::Mulaw, &[mulaw::SILENCE; 10]), [0; FRAME_SAMPLES]);
    }
}
