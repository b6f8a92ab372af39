//! WAV as it is met in the wild: chunks in any order, unknown chunks, sizes of 0 or 0xFFFFFFFF from writers that
//! did not know the length. Reads PCM 8/16/24/32, float 32, mu-law and A-law; writes mu-law and 16-bit PCM.

use crate::{Audio, AudioError, mulaw};

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;

/// A header may carry tags and padding, but not this much.
const HEADER_LIMIT: usize = 64 * 1024;

/// What the header says of the samples that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// WAV format tag: 1 PCM, 3 float, 6 A-law, 7 mu-law.
    pub format_tag: u16,
    /// Interleaved channels.
    pub channels: u16,
    /// Samples per second.
    pub sample_rate_hertz: u32,
    /// Bits of one sample.
    pub bits: u16,
    /// Where the samples begin.
    pub data_offset: usize,
    /// Bytes of samples, if the header says so believably; otherwise they run to the end of the body.
    pub data_len: Option<usize>,
}

impl Header {
    /// Parses the header of a file that may still be arriving. `Ok(None)` means that more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not a WAV file, or promise a form that cannot be.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, AudioError> {
        if bytes.len() < 12 {
            return Ok(None);
        }
        if &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
            return Err(AudioError::UnknownFormat("no RIFF/WAVE signature".into()));
        }
        let mut at = 12;
        let mut format = None;
        loop {
            if at > HEADER_LIMIT {
                return Err(AudioError::BrokenHeader(format!("no samples within {HEADER_LIMIT} bytes")));
            }
            let Some(head) = bytes.get(at..at + 8) else { return Ok(None) };
            let size = u32_at(head, 4) as usize;
            let body = at + 8;
            match &head[..4] {
                b"fmt " => {
                    if size < 16 {
                        return Err(AudioError::BrokenHeader(format!("fmt chunk of {size} bytes")));
                    }
                    let Some(fmt) = bytes.get(body..body + size.min(40)) else { return Ok(None) };
                    format = Some(parse_format(fmt)?);
                }
                b"data" => {
                    let Some(mut header) = format else {
                        return Err(AudioError::BrokenHeader("data before fmt".into()));
                    };
                    header.data_offset = body;
                    header.data_len = (size != 0 && size < 0x7FFF_0000).then_some(size);
                    return Ok(Some(header));
                }
                _ => {}
            }
            at = body.saturating_add(size).saturating_add(size & 1);
        }
    }

    /// Bytes of one sample of every channel.
    pub fn block_bytes(&self) -> usize {
        usize::from(self.channels) * usize::from(self.bits / 8)
    }

    /// Decodes whole blocks to one channel, mixing several down. A trailing part of a block is ignored.
    pub fn decode(&self, data: &[u8]) -> Vec<f32> {
        let bytes = usize::from(self.bits / 8);
        data.chunks_exact(self.block_bytes())
            .map(|block| {
                let sum: f32 = block.chunks_exact(bytes).map(|sample| self.decode_sample(sample)).sum();
                sum / f32::from(self.channels)
            })
            .collect()
    }

    fn decode_sample(&self, b: &[u8]) -> f32 {
        match (self.format_tag, b.len()) {
            (MULAW, _) => f32::from(audio_codec_algorithms::decode_ulaw(b[0])) / 32_768.0,
            (ALAW, _) => f32::from(audio_codec_algorithms::decode_alaw(b[0])) / 32_768.0,
            (FLOAT, _) => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            (_, 1) => (f32::from(b[0]) - 128.0) / 128.0,
            (_, 2) => f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0,
            (_, 3) => i32::from_le_bytes([0, b[0], b[1], b[2]]) as f32 / 2_147_483_648.0,
            (_, _) => i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32 / 2_147_483_648.0,
        }
    }
}

/// Reads a whole WAV file, mixing several channels down to one.
///
/// # Errors
/// When it is not WAV, its header is broken, or it holds no samples.
pub fn read(bytes: &[u8]) -> Result<Audio, AudioError> {
    let header =
        Header::parse(bytes)?.ok_or_else(|| AudioError::BrokenHeader("cut off in the header".into()))?;
    let data = &bytes[header.data_offset.min(bytes.len())..];
    let data = &data[..header.data_len.unwrap_or(data.len()).min(data.len())];
    let samples = header.decode(data);
    if samples.is_empty() {
        return Err(AudioError::Empty);
    }
    Ok(Audio { samples, sample_rate_hertz: header.sample_rate_hertz })
}

/// Writes mu-law bytes at 8 kHz as a WAV file: format tag 7, a `fact` chunk, 58 bytes of header.
pub fn write_mulaw(mulaw_bytes: &[u8]) -> Vec<u8> {
    let len = mulaw_bytes.len() as u32;
    let mut out = Vec::with_capacity(58 + mulaw_bytes.len() + 1);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(50 + len + (len & 1)).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&18_u32.to_le_bytes());
    for field in [MULAW, 1] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [crate::TELEPHONE_HERTZ, crate::TELEPHONE_HERTZ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [1_u16, 8, 0] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(b"fact");
    out.extend_from_slice(&4_u32.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(mulaw_bytes);
    if len & 1 == 1 {
        out.push(mulaw::SILENCE);
    }
    out
}

/// Writes 16-bit PCM, one channel.
pub fn write_pcm16(audio: &Audio) -> Vec<u8> {
    let len = audio.samples.len() as u32 * 2;
    let mut out = Vec::with_capacity(44 + len as usize);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + len).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    for field in [PCM, 1] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [audio.sample_rate_hertz, audio.sample_rate_hertz * 2] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [2_u16, 16] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(b"data");
    out.extend_from_slice(&len.to_le_bytes());
    for sample in &audio.samples {
        out.extend_from_slice(&mulaw::to_i16(*sample).to_le_bytes());
    }
    out
}

fn parse_format(fmt: &[u8]) -> Result<Header, AudioError> {
    let tag = u16_at(fmt, 0);
    // The real tag of WAVE_FORMAT_EXTENSIBLE is the start of its GUID.
    let format_tag = if tag == EXTENSIBLE && fmt.len() >= 26 { u16_at(fmt, 24) } else { tag };
    let header = Header {
        format_tag,
        channels: u16_at(fmt, 2),
        sample_rate_hertz: u32_at(fmt, 4),
        bits: u16_at(fmt, 14),
        data_offset: 0,
        data_len: None,
    };
    let known =
        matches!((header.format_tag, header.bits), (PCM, 8 | 16 | 24 | 32) | (FLOAT, 32) | (ALAW | MULAW, 8));
    if !known {
        return Err(AudioError::UnknownFormat(format!("WAV tag {format_tag} with {} bits", header.bits)));
    }
    if !(1..=8).contains(&header.channels) {
        return Err(AudioError::BrokenHeader(format!("{} channels", header.channels)));
    }
    if !(4_000..=192_000).contains(&header.sample_rate_hertz) {
        return Err(AudioError::BrokenHeader(format!("{} samples per second", header.sample_rate_hertz)));
    }
    Ok(header)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone() -> Audio {
        Audio { samples: (0..801).map(|n| 0.4 * (n as f32 * 0.2).sin()).collect(), sample_rate_hertz: 8_000 }
    }

    #[test]
    fn mulaw_files_have_tag_seven_a_fact_chunk_and_58_bytes_of_header() {
        let file = write_mulaw(&mulaw::encode(&tone().samples));
        assert_eq!(file.len(), 58 + 801 + 1);
        assert_eq!(&file[20..22], &7_u16.to_le_bytes());
        assert_eq!(&file[38..42], b"fact");
        assert_eq!(read(&file).unwrap().samples.len(), 801);
    }

    #[test]
    fn sizes_that_say_nothing_mean_to_the_end_and_list_chunks_are_skipped() {
        let pcm = write_pcm16(&tone());
        let mut file = pcm[..36].to_vec();
        file[4..8].copy_from_slice(&[0xFF; 4]);
        file.extend_from_slice(b"LIST\x03\0\0\0abc\0data\xFF\xFF\xFF\xFF");
        file.extend_from_slice(&pcm[44..]);
        assert_eq!(read(&file).unwrap().samples.len(), 801);
    }

    #[test]
    fn a_header_that_is_still_arriving_asks_for_more() {
        let file = write_mulaw(&[mulaw::SILENCE; 100]);
        for cut in 0..58 {
            assert_eq!(Header::parse(&file[..cut]).unwrap(), None, "cut at {cut}");
        }
        assert!(Header::parse(&file[..58]).unwrap().is_some());
    }

    #[test]
    fn absurd_headers_are_refused() {
        let mut file = write_pcm16(&tone());
        file[22] = 0;
        assert!(matches!(read(&file), Err(AudioError::BrokenHeader(_))));
        assert!(matches!(read(b"<html>not audio</html>"), Err(AudioError::UnknownFormat(_))));
        assert!(matches!(read(&write_mulaw(&[])), Err(AudioError::Empty)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_audio_or_a_typed_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let file = write_pcm16(&tone());
            for (at, byte) in bytes.iter_mut().enumerate().take(64) { if *byte < 200 { *byte = file[at]; } }
            let _ = read(&bytes);
        }
    }
}
