//! A call leg that is made of audio frames: what comes in on it, and what is to go out.

mod outbox;

use bytes::Bytes;
use futures::stream::BoxStream;

#[cfg(test)]
pub(crate) use self::outbox::Delivery;
pub(crate) use self::outbox::{Outbox, Outgoing, outbox};
use crate::{error::Error, sound::AudioFormat};

/// One connection of a leg.
pub(crate) struct Leg {
    /// Encoding and rate in both directions.
    pub format: AudioFormat,
    /// Whether marks come back once what was sent before them has been played.
    pub answers_marks: bool,
    /// What comes in. It ends when the caller hangs up.
    pub events: BoxStream<'static, LegEvent>,
    /// What is to go out.
    pub outbox: Outbox,
}

/// Something that comes in.
#[derive(Debug)]
pub(crate) enum LegEvent {
    /// What the caller says: whole samples.
    Audio(Bytes),
    /// The caller pressed a key: `0-9*#A-D`.
    Digit(char),
    /// Everything before this mark has been played or cleared.
    Mark(String),
    /// The peer does not keep to the contract; it is told so, and nothing more is taken from it.
    Refused(Error),
    /// The connection broke.
    Broken,
}

impl std::fmt::Debug for Leg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leg").field("format", &self.format).finish_non_exhaustive()
    }
}
