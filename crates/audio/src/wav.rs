//! WAV as it is met in the wild: chunks in any order, unknown chunks, sizes of 0 or 0xFFFFFFFF from writers that
//! did not know the length. Reads PCM 8/16/24/32, float 32, mu-law and A-law; writes mu-law and 16-bit PCM.

use audio_codec_algorithms::{decode_alaw, decode_ulaw};

use crate::{Audio, AudioError, HERTZ, MOST_CHANNELS, mulaw, tame};

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;

/// A header may carry tags and padding, but not this much.
const HEADER_LIMIT: usize = 64 * 1024;

/// What may follow an odd chunk that was not padded.
const KNOWN_CHUNKS: [&[u8]; 4] = [b"data", b"fmt ", b"fact", b"LIST"];

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
            let end = body.saturating_add(size);
            // An odd chunk is padded, except by writers that forget it.
            let forgot = bytes.get(end..end.saturating_add(4)).is_some_and(|id| KNOWN_CHUNKS.contains(&id));
            at = end.saturating_add(if forgot { 0 } else { size & 1 });
        }
    }

    /// Bytes of one sample of every channel.
    pub fn block_bytes(&self) -> usize {
        usize::from(self.channels) * usize::from(self.bits / 8)
    }

    /// Decodes whole blocks to one channel, mixing several down. A trailing part of a block is ignored.
    pub fn decode(&self, data: &[u8]) -> Vec<f32> {
        match (self.format_tag, self.bits) {
            (MULAW, _) => self.mix(data, |[b]: [u8; 1]| f32::from(decode_ulaw(b)) / 32_768.0),
            (ALAW, _) => self.mix(data, |[b]: [u8; 1]| f32::from(decode_alaw(b)) / 32_768.0),
            (FLOAT, _) => self.mix(data, |b| tame(f32::from_le_bytes(b))),
            (_, 8) => self.mix(data, |[b]: [u8; 1]| (f32::from(b) - 128.0) / 128.0),
            (_, 16) => self.mix(data, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
            (_, 24) => self.mix(data, |[a, b, c]| i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0),
            _ => self.mix(data, |b| i32::from_le_bytes(b) as f32 / 2_147_483_648.0),
        }
    }

    fn mix<const N: usize>(&self, data: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (samples, _) = data.as_chunks::<N>();
        if self.channels == 1 {
            return samples.iter().map(|sample| decode(*sample)).collect();
        }
        samples
            .chunks_exact(usize::from(self.channels))
            .map(|block| block.iter().map(|sample| decode(*sample)).sum::<f32>() / f32::from(self.channels))
            .collect()
    }
}

/// Reads a whole WAV file, mixing several channels down to one.
///
/// # Errors
/// When it is not WAV, its header is broken, it holds no samples or fewer than it says.
pub fn read(bytes: &[u8]) -> Result<Audio, AudioError> {
    let (header, data) = locate(bytes)?;
    let samples = header.decode(data);
    if samples.is_empty() {
        return Err(AudioError::Empty);
    }
    Ok(Audio { samples, sample_rate_hertz: header.sample_rate_hertz })
}

/// The header of a whole file, and its samples as they lie there.
pub(crate) fn locate(bytes: &[u8]) -> Result<(Header, &[u8]), AudioError> {
    let header =
        Header::parse(bytes)?.ok_or_else(|| AudioError::CutOff("it ends within its header".into()))?;
    let data = bytes.get(header.data_offset..).unwrap_or_default();
    let announced = header.data_len.unwrap_or(data.len());
    if data.is_empty() {
        return Err(AudioError::Empty);
    }
    // The last block may be half there: some writers count a pad byte that they do not write.
    if data.len() + header.block_bytes() < announced {
        return Err(AudioError::CutOff(format!("{announced} bytes announced, {} there", data.len())));
    }
    Ok((header, &data[..announced.min(data.len())]))
}

/// Writes mu-law bytes at 8 kHz as a WAV file: format tag 7, a `fact` chunk, 58 bytes of header.
pub fn write_mulaw(mulaw_bytes: &[u8]) -> Vec<u8> {
    let mut out = header(MULAW, 8, crate::TELEPHONE_HERTZ, mulaw_bytes.len());
    out.extend_from_slice(mulaw_bytes);
    if mulaw_bytes.len() & 1 == 1 {
        out.push(mulaw::SILENCE);
    }
    out
}

/// Writes 16-bit PCM, one channel.
pub fn write_pcm16(audio: &Audio) -> Vec<u8> {
    let mut out = header(PCM, 16, audio.sample_rate_hertz, audio.samples.len());
    out.extend(audio.samples.iter().flat_map(|sample| mulaw::to_i16(*sample).to_le_bytes()));
    out
}

/// Writes mu-law bytes as 16-bit PCM: the same file as [`write_pcm16`] makes of the decoded samples, much faster.
pub fn write_mulaw_as_pcm16(mulaw_bytes: &[u8], sample_rate_hertz: u32) -> Vec<u8> {
    let mut out = header(PCM, 16, sample_rate_hertz, mulaw_bytes.len());
    mulaw::append_pcm16(mulaw_bytes, &mut out);
    out
}

/// Writes 16-bit samples that are in the file's own form already: little-endian. Half a sample at the end is left out.
pub fn write_pcm16_bytes(samples: &[u8], sample_rate_hertz: u32) -> Vec<u8> {
    let (whole, _) = samples.as_chunks::<2>();
    let mut out = header(PCM, 16, sample_rate_hertz, whole.len());
    out.extend_from_slice(whole.as_flattened());
    out
}

/// Writes 32-bit floats, one channel: what another program is to work on.
pub fn write_float(audio: &Audio) -> Vec<u8> {
    let mut out = header(FLOAT, 32, audio.sample_rate_hertz, audio.samples.len());
    out.extend(audio.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}

/// All of a file of one channel but its samples. What is not PCM has an extension, empty here, and a `fact` chunk.
fn header(format_tag: u16, bits: u16, hertz: u32, samples: usize) -> Vec<u8> {
    let block = bits / 8;
    let len = samples as u32 * u32::from(block);
    let mut format = Vec::with_capacity(34);
    format.extend([format_tag, 1].map(u16::to_le_bytes).as_flattened());
    format.extend([hertz, hertz * u32::from(block)].map(u32::to_le_bytes).as_flattened());
    format.extend([block, bits].map(u16::to_le_bytes).as_flattened());
    let mut size = 16_u32;
    if format_tag != PCM {
        size = 18;
        format.extend_from_slice(b"\0\0fact\x04\0\0\0");
        format.extend_from_slice(&(samples as u32).to_le_bytes());
    }
    let riff = 20 + format.len() as u32 + len + (len & 1);
    let mut out = Vec::with_capacity(28 + format.len() + len as usize + 1);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&riff.to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&format);
    out.extend_from_slice(b"data");
    out.extend_from_slice(&len.to_le_bytes());
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
    let block = u16_at(fmt, 12);
    if usize::from(block) != header.block_bytes() {
        return Err(AudioError::BrokenHeader(format!(
            "blocks of {block} bytes for {} channels of {} bits",
            header.channels, header.bits
        )));
    }
    if !(1..=MOST_CHANNELS).contains(&header.channels) {
        return Err(AudioError::BrokenHeader(format!("{} channels", header.channels)));
    }
    if !HERTZ.contains(&header.sample_rate_hertz) {
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
mod tests;
