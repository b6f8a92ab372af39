//! What audio looks like on a media socket, and the way to it from the line's 8 kHz and back.

use voice_audio::{FRAME_SAMPLES, TELEPHONE_HERTZ, mulaw};

/// Codec of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(super) encoding: Encoding,
    pub(super) hertz: u32,
    /// 20 ms frames in one message.
    pub(super) frames: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Mulaw,
    /// Signed 16 bits, little-endian.
    Linear16,
}

impl Codec {
    /// Reads `PCMU`, `PCMU@8000h`, `L16@16000h` or `L16@24000h`, each with `@40i` for messages of 40 ms if wanted.
    ///
    /// # Errors
    /// When it is another one.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        let text = text.unwrap_or("PCMU");
        let unknown = || format!("codec {text} is none of PCMU@8000h, L16@16000h, L16@24000h");
        let mut parts = text.split('@');
        let encoding = match parts.next() {
            Some("PCMU") => Encoding::Mulaw,
            Some("L16") => Encoding::Linear16,
            _ => return Err(unknown()),
        };
        let mut codec = Self { encoding, hertz: TELEPHONE_HERTZ, frames: 1 };
        for part in parts {
            let number = part.get(..part.len().saturating_sub(1)).and_then(|number| number.parse().ok());
            match (number, part.chars().last()) {
                (Some(hertz @ (8_000 | 16_000 | 24_000)), Some('h')) => codec.hertz = hertz,
                (Some(millis @ (20 | 40 | 60)), Some('i')) => codec.frames = millis as usize / 20,
                _ => return Err(unknown()),
            }
        }
        if codec.encoding == Encoding::Mulaw && codec.hertz != TELEPHONE_HERTZ {
            return Err(unknown());
        }
        Ok(codec)
    }

    /// The name of its encoding in a stream's `start`.
    pub(super) fn mime(self) -> &'static str {
        match self.encoding {
            Encoding::Mulaw => "audio/x-mulaw",
            Encoding::Linear16 => "audio/x-L16",
        }
    }

    /// Samples at its own rate in 20 ms.
    pub(super) fn frame_samples(self) -> usize {
        FRAME_SAMPLES * self.factor()
    }

    /// Its rate over the line's.
    pub(super) fn factor(self) -> usize {
        (self.hertz / TELEPHONE_HERTZ) as usize
    }

    /// Samples at its rate, as bytes.
    pub(super) fn encode(self, samples: &[f32]) -> Vec<u8> {
        match self.encoding {
            Encoding::Mulaw => mulaw::encode(samples),
            Encoding::Linear16 => {
                samples.iter().flat_map(|sample| mulaw::to_i16(*sample).to_le_bytes()).collect()
            }
        }
    }

    /// Bytes as samples at its rate; `None` if they are no whole samples.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<Vec<f32>> {
        match self.encoding {
            Encoding::Mulaw => Some(mulaw::decode(bytes)),
            Encoding::Linear16 => {
                let (samples, rest) = bytes.as_chunks::<2>();
                rest.is_empty().then(|| {
                    samples.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0).collect()
                })
            }
        }
    }
}

/// Changes the rate by a whole factor, frame by frame; what comes out is a millisecond and a half late.
#[derive(Debug)]
pub(super) struct RateChange {
    factor: usize,
    taps: Vec<f32>,
    history: Vec<f32>,
}

impl RateChange {
    pub(super) fn new(factor: usize) -> Self {
        let half = 12 * factor as i32;
        let cutoff = 0.92 / factor as f32;
        let tap = |n: i32| {
            let x = n as f32 * std::f32::consts::PI;
            let sinc = if n == 0 { cutoff } else { (x * cutoff).sin() / x };
            sinc * (0.5 + 0.5 * (x / (half + 1) as f32).cos())
        };
        let taps: Vec<f32> = (-half..=half).map(tap).collect();
        Self { factor, history: vec![0.0; taps.len() - 1], taps }
    }

    /// From the line's rate.
    pub(super) fn up(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.factor == 1 {
            return samples.to_vec();
        }
        let gain = self.factor as f32;
        let spread = samples.iter().flat_map(|sample| {
            std::iter::once(sample * gain).chain(std::iter::repeat_n(0.0, self.factor - 1))
        });
        let spread: Vec<f32> = spread.collect();
        self.filter(&spread)
    }

    /// To the line's rate.
    pub(super) fn down(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.factor == 1 {
            return samples.to_vec();
        }
        self.filter(samples).into_iter().step_by(self.factor).collect()
    }

    fn filter(&mut self, samples: &[f32]) -> Vec<f32> {
        self.history.extend_from_slice(samples);
        let windows = self.history.windows(self.taps.len());
        let filtered = windows.map(|window| window.iter().zip(&self.taps).map(|(a, b)| a * b).sum());
        let filtered = filtered.collect();
        self.history.drain(..samples.len());
        filtered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_read_as_the_vendor_writes_them() {
        let codec = |encoding, hertz, frames| Ok(Codec { encoding, hertz, frames });
        assert_eq!(Codec::parse(None), codec(Encoding::Mulaw, 8_000, 1));
        assert_eq!(Codec::parse(Some("PCMU@8000h")), codec(Encoding::Mulaw, 8_000, 1));
        assert_eq!(Codec::parse(Some("PCMU@40i")), codec(Encoding::Mulaw, 8_000, 2));
        assert_eq!(Codec::parse(Some("L16@24000h@40i")), codec(Encoding::Linear16, 24_000, 2));
        for unknown in ["PCMU@16000h", "L16@44100h", "OPUS", "", "L16@", "PCMU@7i"] {
            assert!(Codec::parse(Some(unknown)).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_tone_survives_the_way_up_and_down_in_level_and_length() {
        for factor in [1, 2, 3] {
            let (mut up, mut down) = (RateChange::new(factor), RateChange::new(factor));
            let tone: Vec<f32> = (0..1_600).map(|n| 0.5 * (n as f32 * 0.6).sin()).collect();
            let mut back = Vec::new();
            for frame in tone.chunks(FRAME_SAMPLES) {
                let high = up.up(frame);
                assert_eq!(high.len(), FRAME_SAMPLES * factor);
                back.extend(down.down(&high));
            }
            assert_eq!(back.len(), tone.len());
            let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
            let level = power(&back[400..]) / power(&tone[400..]);
            assert!((0.95..1.05).contains(&level), "factor {factor}: {level}");
        }
    }
}
