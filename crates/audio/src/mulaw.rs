//! G.711 mu-law.

use std::sync::LazyLock;

use audio_codec_algorithms::{decode_ulaw, encode_ulaw};

/// Mu-law silence. `0x7F` is negative zero, which some decoders click on.
pub const SILENCE: u8 = 0xFF;

/// The code of every 16-bit sample: looking up is six times as fast as searching for the segment.
static CODES: LazyLock<Box<[u8]>> =
    LazyLock::new(|| (0..=u16::MAX).map(|bits| encode_ulaw(bits.cast_signed())).collect());

/// The level of every code, and the same as a 16-bit sample in the order of a WAV file's bytes.
static LEVELS: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|code| f32::from(decode_ulaw(code as u8)) / 32_768.0));
static PCM16: LazyLock<[[u8; 2]; 256]> = LazyLock::new(|| LEVELS.map(|level| to_i16(level).to_le_bytes()));

/// Encodes samples; values beyond -1..1 are clamped.
pub fn encode(samples: &[f32]) -> Vec<u8> {
    let codes: &[u8] = &CODES;
    samples.iter().map(|sample| codes[usize::from(to_i16(*sample).cast_unsigned())]).collect()
}

/// Decodes to samples in -1..1.
pub fn decode(bytes: &[u8]) -> Vec<f32> {
    let levels: &[f32; 256] = &LEVELS;
    bytes.iter().map(|byte| levels[usize::from(*byte)]).collect()
}

/// Decodes into samples that are there already; stops where either side ends.
pub fn decode_into(bytes: &[u8], samples: &mut [f32]) {
    let levels: &[f32; 256] = &LEVELS;
    samples.iter_mut().zip(bytes).for_each(|(sample, byte)| *sample = levels[usize::from(*byte)]);
}

/// Whether every sample is within `-level..level`.
pub fn are_within(bytes: &[u8], level: f32) -> bool {
    let levels: &[f32; 256] = &LEVELS;
    bytes.iter().all(|byte| levels[usize::from(*byte)].abs() <= level)
}

/// Appends the codes as 16-bit samples, little-endian: what decoding and [`to_i16`] give, at a tenth of the time.
pub(crate) fn append_pcm16(bytes: &[u8], out: &mut Vec<u8>) {
    let samples: &[[u8; 2]; 256] = &PCM16;
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    let (to, _) = out[start..].as_chunks_mut::<2>();
    to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = samples[usize::from(*byte)]);
}

/// Rounds a sample to 16 bits; values beyond -1..1 are clamped.
pub fn to_i16(sample: f32) -> i16 {
    // Half of one, away from zero, is what rounding does; that is a function's call on processors of the oldest kind.
    let scaled = sample * 32_767.0;
    (scaled + 0.5_f32.copysign(scaled)).clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_all_ones() {
        assert_eq!(encode(&[0.0]), [SILENCE]);
        assert_eq!(decode(&[SILENCE]), [0.0]);
        assert_eq!(encode(&[f32::NAN]), [SILENCE]);
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        let codes: Vec<u8> = (0..=u8::MAX).collect();
        let back = encode(&decode(&codes));
        for (code, back) in codes.iter().zip(back) {
            // Negative zero becomes zero.
            assert_eq!(back, if *code == 0x7F { SILENCE } else { *code });
        }
    }

    #[test]
    fn every_sample_becomes_the_nearest_code_or_one_beside_it() {
        let mut levels: Vec<i32> = (0..=u8::MAX).map(|code| i32::from(decode_ulaw(code))).collect();
        levels.sort_unstable();
        levels.dedup();
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(CODES[usize::from(sample.cast_unsigned())], encode_ulaw(sample));
            let decoded = i32::from(decode_ulaw(encode_ulaw(sample)));
            let above = levels.partition_point(|level| *level < i32::from(sample));
            let near = &levels[above.saturating_sub(1)..(above + 1).min(levels.len())];
            assert!(near.contains(&decoded), "{sample} became {decoded}");
        }
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
