//! Speech as a clip, or as a stream.

mod clause;
mod clip;
mod shape;
mod stream;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use voice_audio::mulaw;
use voice_clips::Clips;
use voice_speech::for_speech;
use voice_transcode::Transcoder;

pub(crate) use self::{
    clause::Piece,
    clip::Clip,
    stream::{Chunk, Streamed, of_pieces, of_speech},
};
use crate::{
    engines::{Engines, Wish},
    error::Error,
};

/// The longest text that is taken at once.
pub(crate) const MOST_CHARS: usize = 4_000;

/// A text to be spoken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speech {
    /// As it was given.
    original: String,
    /// As a person would say it.
    spoken: String,
    wish: Wish,
}

/// How raw samples are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Mu-law, or 16-bit little-endian.
    pub is_mulaw: bool,
    /// Samples per second.
    pub rate: u32,
}

/// Speaks.
#[derive(Clone, Debug)]
pub(crate) struct Synthesis {
    engines: Engines,
    clips: Clips,
    transcoder: Transcoder,
    /// One at a time for each clip: the second finds what the first has made.
    flights: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Speech {
    /// Prepares a text.
    ///
    /// # Errors
    /// When there is nothing to say, or too much.
    pub(crate) fn new(text: &str, wish: Wish) -> Result<Self, Error> {
        check_length(text)?;
        let wish = wish.complete();
        let spoken = for_speech(text, &wish.language);
        if spoken.is_empty() {
            let message = "holds nothing that can be spoken".to_owned();
            return Err(Error::InvalidField { field: "text", message });
        }
        Ok(Self { original: text.to_owned(), spoken, wish })
    }
}

/// Refuses a text that is too long.
pub(crate) fn check_length(text: &str) -> Result<(), Error> {
    let chars = text.chars().count();
    if chars <= MOST_CHARS {
        return Ok(());
    }
    let message = format!("has {chars} characters; at most {MOST_CHARS} are taken at once");
    Err(Error::InvalidField { field: "text", message })
}

impl Wish {
    /// With the language that is meant when none is given.
    pub(crate) fn complete(self) -> Self {
        if self.language.is_empty() { Self { language: "en-US".to_owned(), ..self } } else { self }
    }
}

impl Synthesis {
    pub(crate) fn new(engines: Engines, clips: Clips, transcoder: Transcoder) -> Self {
        Self { engines, clips, transcoder, flights: Arc::default() }
    }

    /// What speaks.
    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }
}

impl Format {
    fn encode(self, samples: &[f32]) -> Bytes {
        if self.is_mulaw {
            return mulaw::encode(samples).into();
        }
        samples.iter().flat_map(|sample| mulaw::to_i16(*sample).to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests;
