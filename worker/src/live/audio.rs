//! The audio of one utterance, kept as it is received and converted once for each pass.

use std::time::Duration;

use bytes::Bytes;
use voice_audio::{Audio, duration_of, mulaw, resample::resample, vad::SpeechFinder, wav};

use crate::{
    error::{Error, TurnError},
    ports::Work,
    recogniser::STT_HERTZ,
};

/// Longest utterance of a call, and what comes before speech is noticed and after it.
pub(super) const LONGEST: Duration = Duration::from_secs(62);
/// The most that one message may carry.
const LONGEST_PIECE: Duration = Duration::from_millis(500);
/// Samples of 20 ms at the highest rate.
const LARGEST_FRAME: usize = 960;
/// What follows the last sound may still belong to it.
const TAIL: Duration = Duration::from_millis(60);
/// After so long a silence the last word is complete.
const PAUSE: Duration = Duration::from_millis(200);

/// How samples are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// G.711, a byte each.
    Mulaw,
    /// Signed, little-endian, two bytes each.
    Linear16,
}

/// Encoding and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// How samples are laid out.
    pub encoding: Encoding,
    /// Samples per second, 8,000 to 48,000.
    pub hertz: u32,
}

/// An utterance that grows.
#[derive(Debug)]
pub(super) struct Recording {
    format: Format,
    bytes: Vec<u8>,
    finder: SpeechFinder,
    /// Bytes that the finder has had.
    searched: usize,
}

/// How much of an utterance there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// All of it.
    pub duration: Duration,
    /// Voice in it.
    pub voiced: Duration,
    /// Where the last sound ends that may belong to it.
    pub sound_end: Duration,
}

// === impl Format ===

impl Format {
    fn sample_bytes(self) -> usize {
        match self.encoding {
            Encoding::Mulaw => 1,
            Encoding::Linear16 => 2,
        }
    }

    fn duration(self, bytes: usize) -> Duration {
        duration_of(bytes / self.sample_bytes(), self.hertz)
    }
}

// === impl Recording ===

impl Recording {
    pub(super) fn new(format: Format) -> Self {
        Self { format, bytes: Vec::new(), finder: SpeechFinder::default(), searched: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When it holds half a sample, is too long, or makes the utterance too long.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        let Self { format, bytes, .. } = self;
        let invalid = |message: String| Err(Error::InvalidField { field: "audio", message });
        if !piece.len().is_multiple_of(format.sample_bytes()) {
            return invalid(format!("{} bytes are not whole samples of 16 bits", piece.len()));
        }
        let duration = format.duration(piece.len());
        if duration > LONGEST_PIECE {
            return invalid(format!("{duration:?} in one message; send at most {LONGEST_PIECE:?}"));
        }
        if format.duration(bytes.len() + piece.len()) > LONGEST {
            return Err(Error::UtteranceTooLong(LONGEST));
        }
        bytes.extend_from_slice(piece);
        self.search();
        Ok(())
    }

    /// Looks for voice in what is new; less than 20 ms wait for the rest.
    fn search(&mut self) {
        let samples = (self.format.hertz / 50) as usize;
        let size = samples * self.format.sample_bytes();
        let mut frame = [0.0; LARGEST_FRAME];
        while let Some(bytes) = self.bytes.get(self.searched..self.searched + size) {
            let frame = &mut frame[..samples];
            match self.format.encoding {
                Encoding::Mulaw => mulaw::decode_into(bytes, frame),
                Encoding::Linear16 => frame
                    .iter_mut()
                    .zip(bytes.as_chunks().0)
                    .for_each(|(sample, bytes)| *sample = level(*bytes)),
            }
            self.finder.push(frame);
            self.searched += size;
        }
    }

    pub(super) fn extent(&self) -> Extent {
        let duration = self.format.duration(self.bytes.len());
        let span = self.finder.span();
        Extent {
            duration,
            voiced: span.map_or(Duration::ZERO, |span| span.voiced),
            sound_end: self.finder.sound_end(),
        }
    }

    /// All of it as a file for the recogniser.
    pub(super) fn to_wav(&self) -> Work<'static, Result<Bytes, TurnError>> {
        let Format { encoding, hertz } = self.format;
        let quick: fn(&[u8], u32) -> Vec<u8> = match encoding {
            Encoding::Mulaw => wav::write_mulaw_as_pcm16,
            Encoding::Linear16 => wav::write_pcm16_bytes,
        };
        // A minute of it takes less than half a millisecond.
        if hertz <= STT_HERTZ {
            let file = Bytes::from(quick(&self.bytes, hertz));
            return Box::pin(async move { Ok(file) });
        }
        let bytes = self.bytes.clone();
        Box::pin(async move {
            let file = tokio::task::spawn_blocking(move || resampled(&bytes, encoding, hertz)).await;
            file.map_err(|error| TurnError::fatal("STT_UNAVAILABLE", error.to_string()))
        })
    }
}

fn resampled(bytes: &[u8], encoding: Encoding, hertz: u32) -> Bytes {
    let samples = match encoding {
        Encoding::Mulaw => mulaw::decode(bytes),
        Encoding::Linear16 => bytes.as_chunks().0.iter().map(|bytes| level(*bytes)).collect(),
    };
    let samples = resample(&samples, hertz, STT_HERTZ);
    wav::write_pcm16(&Audio { samples, sample_rate_hertz: STT_HERTZ }).into()
}

fn level(bytes: [u8; 2]) -> f32 {
    f32::from(i16::from_le_bytes(bytes)) / 32_768.0
}

// === impl Extent ===

impl Extent {
    /// Whether whoever has heard this much has heard all the words of `other`: it is no more, or more of silence alone.
    pub(super) fn has_the_words_of(&self, other: &Self) -> bool {
        let only_silence_came = self.sound_end == other.sound_end && self.silence() >= TAIL;
        self.duration >= other.duration || only_silence_came
    }

    /// Whether it ends between words rather than in one.
    pub(super) fn ends_in_pause(&self) -> bool {
        self.silence() >= PAUSE
    }

    fn silence(&self) -> Duration {
        self.duration.saturating_sub(self.sound_end)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::live) const MULAW: Format = Format { encoding: Encoding::Mulaw, hertz: 8_000 };

    /// A voice of a kind: something that is louder than the line.
    pub(in crate::live) fn voice(duration: Duration) -> Vec<u8> {
        let samples: Vec<f32> = (0..duration.as_millis() * 8).map(|n| 0.3 * (n as f32 * 0.4).sin()).collect();
        mulaw::encode(&samples)
    }

    pub(in crate::live) fn silence(duration: Duration) -> Vec<u8> {
        vec![mulaw::SILENCE; duration.as_millis() as usize * 8]
    }

    fn push(recording: &mut Recording, bytes: &[u8]) {
        bytes.chunks(800).for_each(|piece| recording.push(piece).unwrap());
    }

    #[test]
    fn voice_is_found_as_it_comes_and_silence_after_it_adds_no_words() {
        let mut recording = Recording::new(MULAW);
        push(&mut recording, &silence(Duration::from_millis(500)));
        push(&mut recording, &voice(Duration::from_secs(1)));
        let cut = recording.extent();
        assert_eq!((cut.voiced, cut.sound_end), (Duration::from_secs(1), Duration::from_millis(1_500)));
        assert!(cut.has_the_words_of(&cut) && !cut.ends_in_pause());
        push(&mut recording, &silence(Duration::from_millis(100)));
        let with_tail = recording.extent();
        assert!(!cut.has_the_words_of(&with_tail), "the end of the last sound may be missing");
        push(&mut recording, &silence(Duration::from_millis(400)));
        let paused = recording.extent();
        assert!(with_tail.has_the_words_of(&paused) && paused.ends_in_pause());
        push(&mut recording, &voice(Duration::from_millis(100)));
        assert!(!paused.has_the_words_of(&recording.extent()));
    }

    #[tokio::test]
    async fn every_format_becomes_a_file_that_the_recogniser_takes() {
        let tone = |hertz: u32| -> Vec<f32> {
            (0..hertz).map(|n| 0.3 * (n as f32 * 2_500.0 / hertz as f32).sin()).collect()
        };
        let linear = |hertz: u32| -> Vec<u8> {
            tone(hertz).into_iter().flat_map(|sample| mulaw::to_i16(sample).to_le_bytes()).collect()
        };
        for (encoding, hertz, bytes, heard_at) in [
            (Encoding::Mulaw, 8_000, mulaw::encode(&tone(8_000)), 8_000),
            (Encoding::Linear16, 8_000, linear(8_000), 8_000),
            (Encoding::Linear16, 16_000, linear(16_000), 16_000),
            (Encoding::Linear16, 24_000, linear(24_000), 16_000),
            (Encoding::Linear16, 48_000, linear(48_000), 16_000),
        ] {
            let mut recording = Recording::new(Format { encoding, hertz });
            bytes.chunks(bytes.len() / 10).for_each(|piece| recording.push(piece).unwrap());
            assert_eq!(recording.extent().voiced, Duration::from_secs(1), "{encoding:?} {hertz}");
            let audio = wav::read(&recording.to_wav().await.unwrap()).unwrap();
            assert_eq!((audio.sample_rate_hertz, audio.samples.len()), (heard_at, heard_at as usize));
            let noise: f32 = audio.samples.iter().zip(tone(heard_at)).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(noise < 0.02 * heard_at as f32 * 0.09, "{encoding:?} {hertz}: {noise}");
        }
    }

    #[test]
    fn halves_of_samples_long_messages_and_long_utterances_are_refused() {
        let mut recording = Recording::new(Format { encoding: Encoding::Linear16, hertz: 16_000 });
        for (bytes, told) in [(3, "whole samples"), (16_002, "at most 500ms")] {
            let error = recording.push(&vec![0; bytes]).unwrap_err();
            assert!(matches!(&error, Error::InvalidField { field: "audio", .. }), "{error:?}");
            assert!(error.to_string().contains(told), "{error}");
        }
        let mut pieces = 0;
        let error = loop {
            match recording.push(&vec![0; 16_000]) {
                Ok(()) => pieces += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((pieces, matches!(error, Error::UtteranceTooLong(_))), (124, true));
    }
}
