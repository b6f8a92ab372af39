//! The JSON of media streams, read without building a tree and written into one buffer: fifty times a second in each
//! direction of every call.

mod read;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use voice_proto::audio::v1::{AudioEncoding, AudioFormat};

pub(super) use self::read::{Heard, Reader, Start, start};

/// Written messages share a buffer of this size; each is a slice of it until it has gone out.
const WRITE_BUFFER: usize = 4 * 1024;

/// Encoding and rate of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// At 8 kHz.
    Mulaw,
    /// Little-endian, at this rate.
    Linear16 { hertz: u32 },
}

impl Format {
    /// Reads what a `start` says of it.
    fn parse(encoding: &str, hertz: u64, channels: u64) -> Option<Self> {
        match (encoding, hertz, channels) {
            ("audio/x-mulaw", 8_000, 1) => Some(Self::Mulaw),
            ("audio/x-L16" | "audio/x-l16", 8_000 | 16_000 | 24_000, 1) => {
                Some(Self::Linear16 { hertz: hertz as u32 })
            }
            _ => None,
        }
    }

    /// Bytes of 200 ms, the most that a relay takes at once.
    pub(super) fn longest_piece(self) -> usize {
        match self {
            Self::Mulaw => 1_600,
            Self::Linear16 { hertz } => hertz as usize * 2 / 5,
        }
    }

    /// Whether so many bytes are whole samples.
    fn is_whole(self, bytes: usize) -> bool {
        match self {
            Self::Mulaw => true,
            Self::Linear16 { .. } => bytes.is_multiple_of(2),
        }
    }

    /// The byte that silence is made of.
    pub(super) fn silence(self) -> u8 {
        match self {
            Self::Mulaw => 0xFF,
            Self::Linear16 { .. } => 0,
        }
    }
}

impl From<Format> for AudioFormat {
    fn from(format: Format) -> Self {
        let (encoding, hertz) = match format {
            Format::Mulaw => (AudioEncoding::Mulaw, 8_000),
            Format::Linear16 { hertz } => (AudioEncoding::Linear16, hertz),
        };
        Self { encoding: encoding.into(), sample_rate_hertz: hertz as i32 }
    }
}

/// Writes messages of one stream.
#[derive(Debug)]
pub(super) struct Writer {
    /// `,"streamSid":"…"`.
    stream: String,
    buffer: BytesMut,
}

impl Writer {
    pub(super) fn new(stream_sid: &str) -> Self {
        Self { stream: format!(",\"streamSid\":{}", quoted(stream_sid)), buffer: BytesMut::new() }
    }

    /// Sound to be played.
    pub(super) fn media(&mut self, audio: &[u8]) -> Bytes {
        const BEFORE: &str = ",\"media\":{\"payload\":\"";
        let encoded = audio.len().div_ceil(3) * 4;
        self.begin("media", BEFORE.len() + encoded + 3);
        self.buffer.put_slice(BEFORE.as_bytes());
        let from = self.buffer.len();
        self.buffer.put_bytes(0, encoded);
        STANDARD
            .encode_slice(audio, &mut self.buffer[from..])
            .expect("four characters for every three bytes were put there");
        self.buffer.put_slice(b"\"}}");
        self.buffer.split().freeze()
    }

    /// A mark that comes back when everything before it has been played.
    pub(super) fn mark(&mut self, name: &str) -> Bytes {
        let mark = format!(",\"mark\":{{\"name\":{}}}}}", quoted(name));
        self.begin("mark", mark.len());
        self.buffer.put_slice(mark.as_bytes());
        self.buffer.split().freeze()
    }

    /// Everything that has not been played is to be forgotten.
    pub(super) fn clear(&mut self) -> Bytes {
        self.begin("clear", 1);
        self.buffer.put_u8(b'}');
        self.buffer.split().freeze()
    }

    fn begin(&mut self, event: &str, more: usize) {
        let length = 12 + event.len() + self.stream.len() + more;
        if self.buffer.capacity() < length {
            // Gives the old block back to itself as soon as everything in it has gone out.
            self.buffer.reserve(length.max(WRITE_BUFFER));
        }
        self.buffer.put_slice(b"{\"event\":\"");
        self.buffer.put_slice(event.as_bytes());
        self.buffer.put_u8(b'"');
        self.buffer.put_slice(self.stream.as_bytes());
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
