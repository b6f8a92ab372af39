//! Messages of a carrier, read in place.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Deserializer, de};

use super::Format;
use crate::media::{
    close::{CloseReason, INVALID_MESSAGE, MESSAGE_TOO_LARGE, UNEXPECTED_MESSAGE, UNSUPPORTED_FORMAT},
    order::{Order, Place},
};

/// Largest message: a second of the widest format in base64.
const LARGEST: usize = 64 * 1024;
/// Longest name of a mark.
const LONGEST_NAME: usize = 256;
/// Parameters of a stream, and characters of each.
const MOST_PARAMETERS: usize = 32;
/// Decoded sound shares blocks of this size: a second of mu-law.
const BLOCK: usize = 8 * 1024;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    start: Option<StartBody<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    chunk: Option<Number>,
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartBody<'a> {
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: MediaFormat<'a>,
    #[serde(default)]
    custom_parameters: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Text<'a>,
    sample_rate: Number,
    channels: Option<Number>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Text<'a>,
}

/// A string: in place unless something in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A count: the vendors write them as strings, others as numbers.
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count, as a number or a string")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// How a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::media) struct Start {
    pub(in crate::media) stream_sid: String,
    pub(in crate::media) format: Format,
    pub(in crate::media) parameters: BTreeMap<String, String>,
}

/// Reads a message before the stream has begun; `None` if it is not yet the beginning.
///
/// # Errors
/// When it is no message, or one that must not come yet.
pub(in crate::media) fn start(text: &str) -> Result<Option<Start>, CloseReason> {
    let message = message(text)?;
    match &*message.event.0 {
        "start" => {}
        "media" | "mark" | "dtmf" | "stop" => return Err(UNEXPECTED_MESSAGE),
        _ => return Ok(None),
    }
    let body = message.start.ok_or(INVALID_MESSAGE)?;
    let MediaFormat { encoding, sample_rate, channels } = body.media_format;
    let channels = channels.map_or(1, |channels| channels.0);
    let format = Format::parse(&encoding.0, sample_rate.0, channels).ok_or(UNSUPPORTED_FORMAT)?;
    // Twilio has it in both places, SignalWire in the inner one.
    let stream_sid = body.stream_sid.or(message.stream_sid).ok_or(INVALID_MESSAGE)?.0.into_owned();
    let parameters = body.custom_parameters.unwrap_or_default();
    let is_short =
        |(name, value): (&String, &String)| name.len() <= LONGEST_NAME && value.len() <= LONGEST_NAME;
    if stream_sid.len() > LONGEST_NAME
        || parameters.len() > MOST_PARAMETERS
        || !parameters.iter().all(is_short)
    {
        return Err(INVALID_MESSAGE);
    }
    Ok(Some(Start { stream_sid, format, parameters }))
}

/// What a carrier says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::media) enum Heard {
    /// The next sound, after so many frames of the same length that are missing.
    Audio { missing: u64, audio: Bytes },
    /// Sound whose moment has passed.
    Past,
    /// A key.
    Digit(char),
    /// A mark has been reached.
    Mark(String),
    /// The stream is over.
    Stop,
    /// Nothing that matters.
    Nothing,
}

/// Reads the messages of one stream.
#[derive(Debug)]
pub(in crate::media) struct Reader {
    format: Format,
    order: Order,
    block: BytesMut,
}

impl Reader {
    pub(in crate::media) fn new(format: Format) -> Self {
        Self { format, order: Order::default(), block: BytesMut::new() }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is none, or one that must not come.
    pub(in crate::media) fn read(&mut self, text: &str) -> Result<Heard, CloseReason> {
        let message = message(text)?;
        match &*message.event.0 {
            "media" => self.media(message.media.ok_or(INVALID_MESSAGE)?),
            "mark" => {
                let name = message.mark.ok_or(INVALID_MESSAGE)?.name.0;
                if name.len() > LONGEST_NAME {
                    return Err(INVALID_MESSAGE);
                }
                Ok(Heard::Mark(name.into_owned()))
            }
            "dtmf" => {
                let digit = message.dtmf.ok_or(INVALID_MESSAGE)?.digit.0;
                let mut keys = digit.chars().map(|key| key.to_ascii_uppercase());
                match (keys.next(), keys.next()) {
                    (Some(key @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(Heard::Digit(key)),
                    _ => Err(INVALID_MESSAGE),
                }
            }
            "stop" => Ok(Heard::Stop),
            "start" => Err(UNEXPECTED_MESSAGE),
            _ => Ok(Heard::Nothing),
        }
    }

    fn media(&mut self, media: Media<'_>) -> Result<Heard, CloseReason> {
        // A stream of both tracks brings our own voice back.
        if media.track.is_some_and(|track| track.0 == "outbound") {
            return Ok(Heard::Nothing);
        }
        let audio = self.decode(media.payload.0.as_bytes())?;
        match self.order.place(media.chunk.map(|chunk| chunk.0)) {
            Place::Next { missing } => Ok(Heard::Audio { missing, audio }),
            Place::Past => Ok(Heard::Past),
        }
    }

    fn decode(&mut self, payload: &[u8]) -> Result<Bytes, CloseReason> {
        let room = payload.len().div_ceil(4) * 3;
        if self.block.capacity() < room {
            // Takes the old block again if everything in it has been sent.
            self.block.reserve(room.max(BLOCK));
        }
        self.block.resize(room, 0);
        let length = STANDARD.decode_slice(payload, &mut self.block).map_err(|_| INVALID_MESSAGE)?;
        if !self.format.is_whole(length) {
            return Err(INVALID_MESSAGE);
        }
        self.block.truncate(length);
        Ok(self.block.split().freeze())
    }
}

fn message(text: &str) -> Result<Message<'_>, CloseReason> {
    if text.len() > LARGEST {
        return Err(MESSAGE_TOO_LARGE);
    }
    serde_json::from_str(text).map_err(|_| INVALID_MESSAGE)
}
