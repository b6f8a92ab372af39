//! G.711 mu-law.

use audio_codec_algorithms::{decode_ulaw, encode_ulaw};

/// Mu-law silence. `0x7F` is negative zero, which some decoders click on.
pub const SILENCE: u8 = 0xFF;

/// Encodes samples; values beyond -1..1 are clamped.
pub fn encode(samples: &[f32]) -> Vec<u8> {
    samples.iter().map(|sample| encode_ulaw(to_i16(*sample))).collect()
}

/// Decodes to samples in -1..1.
pub fn decode(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| f32::from(decode_ulaw(*byte)) / 32_768.0).collect()
}

/// Rounds a sample to 16 bits; values beyond -1..1 are clamped.
pub fn to_i16(sample: f32) -> i16 {
    (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_all_ones() {
        assert_eq!(encode(&[0.0]), [SILENCE]);
        assert_eq!(decode(&[SILENCE]), [0.0]);
    }

    #[test]
    fn a_round_trip_stays_within_mu_laws_own_noise() {
        let samples: Vec<f32> = (0..800).map(|n| 0.5 * (n as f32 * 0.3).sin()).collect();
        let back = decode(&encode(&samples));
        let noise: f32 = samples.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum();
        let signal: f32 = samples.iter().map(|a| a.powi(2)).sum();
        assert!(10.0 * (signal / noise).log10() > 30.0);
    }
}
