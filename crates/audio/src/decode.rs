//! Decoding of whatever people and providers send. WAV is read by our own parser, which forgives what others do
//! not; MP3, FLAC and Ogg Vorbis by rodio.

use std::{io::Cursor, time::Duration};

use rodio::Source as _;

use crate::{Audio, AudioError, wav};

/// Decodes a whole file to one channel at its own rate. The form is told from the bytes, never from a name.
///
/// # Errors
/// When the bytes are not audio, are broken, hold nothing, or play longer than `limit`.
pub fn decode(bytes: &[u8], limit: Duration) -> Result<Audio, AudioError> {
    let audio = if bytes.starts_with(b"RIFF") { wav::read(bytes)? } else { decode_compressed(bytes, limit)? };
    if audio.samples.is_empty() {
        return Err(AudioError::Empty);
    }
    if audio.duration() > limit {
        return Err(AudioError::TooLong { limit });
    }
    Ok(audio)
}

fn decode_compressed(bytes: &[u8], limit: Duration) -> Result<Audio, AudioError> {
    if bytes.is_empty() {
        return Err(AudioError::Empty);
    }
    let decoder = rodio::Decoder::builder()
        .with_byte_len(bytes.len() as u64)
        .with_data(Cursor::new(bytes.to_vec()))
        .build()
        .map_err(|error| AudioError::UnknownFormat(error.to_string()))?;
    let channels = usize::from(decoder.channels().get());
    let sample_rate_hertz = decoder.sample_rate().get();
    let most = (limit.as_secs_f64() * f64::from(sample_rate_hertz)) as usize + 1;
    let interleaved: Vec<f32> = decoder.take(most.saturating_mul(channels)).collect();
    let samples =
        interleaved.chunks_exact(channels).map(|block| block.iter().sum::<f32>() / channels as f32).collect();
    Ok(Audio { samples, sample_rate_hertz })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[test]
    fn what_is_not_audio_is_a_typed_error() {
        for junk in
            [&b""[..], b"{\"error\":\"nope\"}", b"ID3\x04\0\0\0\0\0\0", b"OggS\0\0", b"fLaC\0\0\0\x22"]
        {
            assert!(decode(junk, LIMIT).is_err());
        }
    }

    #[test]
    fn audio_beyond_the_limit_is_refused() {
        let long = wav::write_mulaw(&vec![0xFF; 8_000 * 3]);
        assert!(matches!(decode(&long, Duration::from_secs(2)), Err(AudioError::TooLong { .. })));
        assert_eq!(decode(&long, LIMIT).unwrap().duration(), Duration::from_secs(3));
    }
}
