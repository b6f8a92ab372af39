//! What a Vorbis header may ask of its decoder. A few bytes of it can ask for gigabytes, and an
//! allocation that fails ends the process; or for a millisecond of work for each byte that follows.

use super::{Bound, check_form, ogg::Stream};
use crate::AudioError;

/// Numbers that all codebooks together may hold: some ten times what the reference encoder's hold.
const MOST_NUMBERS: u64 = 1 << 20;

/// Packets may be short ones, a sixteenth of the longest.
const SHORT: usize = 16;

/// A comment header without comments. Pictures are kept in there, with sizes of their own.
const NO_COMMENTS: &[u8] = b"\x03vorbis\0\0\0\0\0\0\0\0\x01";

/// A file that can be decoded safely.
#[derive(Debug)]
pub(super) struct Vetted {
    /// The stream alone, without comments.
    pub file: Vec<u8>,
    /// How many samples it plays.
    pub samples: usize,
}

/// Looks through the headers.
///
/// # Errors
/// When it is another codec, when the headers are broken or ask for too much, and when the end is not there.
pub(super) fn vetted(stream: Stream, bound: Bound) -> Result<Vetted, AudioError> {
    let mut headers = stream.packets.iter();
    let (Some(identification), Some(_), Some(setup)) = (headers.next(), headers.next(), headers.next())
    else {
        return match stream.packets.first() {
            Some(packet) if !packet.starts_with(b"\x01vorbis") => Err(unknown()),
            _ => Err(AudioError::CutOff("it ends within its header".into())),
        };
    };
    if !identification.starts_with(b"\x01vorbis") {
        return Err(unknown());
    }
    let broken = |what: &str| AudioError::BrokenHeader(format!("Vorbis {what}"));
    let [_, _, _, _, _, _, _, 0, 0, 0, 0, channels, r0, r1, r2, r3, .., blocks, 1] = identification[..]
    else {
        return Err(broken("identification"));
    };
    let hertz = u32::from_le_bytes([r0, r1, r2, r3]);
    check_form(hertz, usize::from(channels))?;
    let longest = 1_usize << (blocks >> 4);
    let books = setup.strip_prefix(b"\x05vorbis").ok_or_else(|| broken("setup"))?;
    check_codebooks(books).ok_or_else(|| broken("codebooks"))?;
    let samples = usize::try_from(stream.position).map_err(|_| broken("position"))?;
    bound.check(samples, hertz)?;
    // Packets that yield nothing are work all the same.
    bound.check(audio_samples_at_least(stream.packets.len() - 3, longest), hertz)?;
    if !stream.is_whole {
        return Err(AudioError::CutOff("its last page is missing".into()));
    }
    let (identification, setup) = (identification.clone(), setup.clone());
    Ok(Vetted { file: stream.with_headers([&identification, NO_COMMENTS, &setup]), samples })
}

fn unknown() -> AudioError {
    AudioError::UnknownFormat("Ogg, but not Vorbis".into())
}

/// What so many packets play if most of them are short.
fn audio_samples_at_least(packets: usize, longest: usize) -> usize {
    packets.saturating_mul(longest / 2) / SHORT
}

fn check_codebooks(bytes: &[u8]) -> Option<()> {
    let mut bits = Bits { bytes, at: 0 };
    let mut numbers = 0_u64;
    for _ in 0..=bits.take(8)? {
        if bits.take(24)? != 0x56_4342 {
            return None;
        }
        let (dimensions, entries) = (bits.take(16)?, bits.take(24)?);
        let product = u64::from(dimensions) * u64::from(entries);
        numbers += product.max(u64::from(entries));
        if dimensions == 0 || entries == 0 || numbers > MOST_NUMBERS {
            return None;
        }
        skip_lengths(&mut bits, entries)?;
        let values = match bits.take(4)? {
            0 => continue,
            1 => roots(entries, dimensions),
            2 => product,
            _ => return None,
        };
        bits.skip(64);
        let width = u64::from(bits.take(4)? + 1);
        bits.skip(1 + values * width);
    }
    Some(())
}

fn skip_lengths(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    if bits.take(1)? == 1 {
        bits.skip(5);
        let mut known = 0;
        while known < entries {
            known += bits.take(32 - (entries - known).leading_zeros())?;
        }
        return (known == entries).then_some(());
    }
    if bits.take(1)? == 0 {
        bits.skip(u64::from(entries) * 5);
        return Some(());
    }
    for _ in 0..entries {
        if bits.take(1)? == 1 {
            bits.skip(5);
        }
    }
    Some(())
}

/// The greatest number whose power `dimensions` is not above `entries`.
fn roots(entries: u32, dimensions: u32) -> u64 {
    let fits = |root: &u64| root.checked_pow(dimensions).is_some_and(|power| power <= u64::from(entries));
    (1..=u64::from(entries)).take_while(fits).last().unwrap_or(1)
}

/// Bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for n in 0..count {
            let byte = self.bytes.get(usize::try_from(self.at / 8).ok()?)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << n;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: u64) {
        self.at = self.at.saturating_add(count);
    }
}
