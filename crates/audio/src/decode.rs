//! Decoding of whatever people and providers send. WAV is read by our own parser, which forgives what others do
//! not; MP3, FLAC and Ogg Vorbis by rodio, which is given only what its decoders have been found to survive.

mod ogg;
mod vorbis;

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use rodio::Source as _;

use crate::{Audio, AudioError, HERTZ, MOST_CHANNELS, tame, wav};

/// A limit of playing time is one of memory too: as many samples as it has at this rate.
const LIMIT_HERTZ: f64 = 48_000.0;

/// Decodes a whole file to one channel at its own rate. The form is told from the bytes, never from a name.
///
/// # Errors
/// When the bytes are not audio, are broken, hold nothing, or play longer than `limit`.
pub fn decode(bytes: &[u8], limit: Duration) -> Result<Audio, AudioError> {
    let bound = Bound { limit };
    let bytes = behind_tags(bytes)?;
    if bytes.is_empty() {
        return Err(AudioError::Empty);
    }
    let audio = if bytes.starts_with(b"RIFF") {
        let (header, data) = wav::locate(bytes)?;
        bound.check(data.len() / header.block_bytes(), header.sample_rate_hertz)?;
        Audio { samples: header.decode(data), sample_rate_hertz: header.sample_rate_hertz }
    } else if bytes.starts_with(b"fLaC") {
        flac(bytes, bound)?
    } else if bytes.starts_with(b"OggS") {
        let stream = ogg::first_stream(bytes)?;
        let vorbis = vorbis::vetted(stream, bound)?;
        let mut audio = rodio(vorbis.file, bound)?;
        // The last packet is padded; the page says where the sound ends.
        audio.samples.truncate(vorbis.samples);
        audio
    } else if is_mp3(bytes) {
        rodio(bytes.to_vec(), bound)?
    } else {
        return Err(AudioError::UnknownFormat("neither WAV, MP3, FLAC nor Ogg Vorbis".into()));
    };
    if audio.samples.is_empty() {
        return Err(AudioError::Empty);
    }
    Ok(audio)
}

/// What a caller accepts.
#[derive(Clone, Copy, Debug)]
struct Bound {
    limit: Duration,
}

impl Bound {
    fn check(self, samples: usize, hertz: u32) -> Result<(), AudioError> {
        let most = self.limit.as_secs_f64() * f64::from(hertz).min(LIMIT_HERTZ);
        if samples as f64 > most { Err(AudioError::TooLong { limit: self.limit }) } else { Ok(()) }
    }
}

/// The file without the ID3 tags in front: pictures and texts of announced sizes that nobody here wants.
fn behind_tags(mut bytes: &[u8]) -> Result<&[u8], AudioError> {
    while let Some([b'I', b'D', b'3', _, _, flags, size @ ..]) = bytes.first_chunk::<10>() {
        let size = size.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7F));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        bytes = bytes
            .get(10 + size + footer..)
            .ok_or_else(|| AudioError::CutOff(format!("its ID3 tag has {size} bytes")))?;
        // Tags may be padded beyond their own size.
        let padding = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes = &bytes[padding..];
    }
    Ok(bytes)
}

/// Whether a frame of MPEG audio, layer III, begins here.
fn is_mp3(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFF, second, third, _, ..]
        if second & 0xE6 == 0xE2 && second & 0x18 != 0x08 && third & 0xF0 != 0xF0 && third & 0x0C != 0x0C)
}

/// Tags, pictures and seek tables announce sizes of their own; only the first block says anything of the sound.
fn flac(bytes: &[u8], bound: Bound) -> Result<Audio, AudioError> {
    const STREAM_INFO: u8 = 0;
    let cut = || AudioError::CutOff("it ends within its header".into());
    let mut at = 4;
    let mut info = None;
    loop {
        let [kind, size @ ..] = *bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or_else(cut)?;
        let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let body = bytes.get(at + 4..at + 4 + size).ok_or_else(cut)?;
        if kind & 0x7F == STREAM_INFO && info.is_none() {
            info = body.first_chunk::<34>();
        }
        at += 4 + size;
        if kind & 0x80 != 0 {
            break;
        }
    }
    let info = info.ok_or_else(|| AudioError::BrokenHeader("FLAC without stream information".into()))?;
    let numbers = info[10..18].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (hertz, announced) = ((numbers >> 44) as u32, (numbers & 0xF_FFFF_FFFF) as usize);
    check_form(hertz, (numbers >> 41 & 7) as usize + 1)?;
    bound.check(announced, hertz)?;
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend_from_slice(info);
    file.extend_from_slice(&bytes[at..]);
    let audio = rodio(file, bound)?;
    // Zero is what writers to a pipe announce.
    if audio.samples.len() < announced {
        return Err(AudioError::CutOff(format!(
            "{announced} samples announced, {} there",
            audio.samples.len()
        )));
    }
    Ok(audio)
}

fn check_form(hertz: u32, channels: usize) -> Result<(), AudioError> {
    if !HERTZ.contains(&hertz) {
        return Err(AudioError::BrokenHeader(format!("{hertz} samples per second")));
    }
    if !(1..=usize::from(MOST_CHANNELS)).contains(&channels) {
        return Err(AudioError::BrokenHeader(format!("{channels} channels")));
    }
    Ok(())
}

fn rodio(file: Vec<u8>, bound: Bound) -> Result<Audio, AudioError> {
    // The decoders behind rodio assert what a header may deny; a panic there must end no service.
    catch_unwind(AssertUnwindSafe(|| rodio_trusting(file, bound)))
        .unwrap_or_else(|_| Err(AudioError::Broken("its decoder gave up".into())))
}

fn rodio_trusting(file: Vec<u8>, bound: Bound) -> Result<Audio, AudioError> {
    let mut decoder = rodio::Decoder::builder()
        .with_byte_len(file.len() as u64)
        .with_data(Cursor::new(file))
        .build()
        .map_err(|error| AudioError::Broken(error.to_string()))?;
    let hertz = decoder.sample_rate().get();
    let mut samples = Vec::new();
    // The first sample of a packet comes before its form is known; then as many follow as the packet has.
    while let Some(first) = decoder.next() {
        let channels = usize::from(decoder.channels().get());
        check_form(hertz, channels)?;
        if decoder.sample_rate().get() != hertz {
            return Err(AudioError::Broken("the sample rate changes on the way".into()));
        }
        let rest = decoder.current_span_len().unwrap_or(channels).saturating_sub(1);
        let packet: Vec<f32> = std::iter::once(first).chain(decoder.by_ref().take(rest)).collect();
        samples.extend(
            packet.chunks_exact(channels).map(|block| tame(block.iter().sum::<f32>() / channels as f32)),
        );
        bound.check(samples.len(), hertz)?;
    }
    Ok(Audio { samples, sample_rate_hertz: hertz })
}

#[cfg(test)]
mod tests;
