//! A playback that is on, and how far it has been heard.

use std::time::{Duration, Instant};

use super::{Piece, joined};
use crate::{PlaybackId, PlaybackKind, SayId, TurnId};

/// Playback events can be lost with a dropped socket; then a playback ends this long after its sound should have.
const PLAY_SLACK: Duration = Duration::from_secs(2);

/// A playback that is on.
#[derive(Debug)]
pub(crate) struct Playing {
    pub(crate) playback: PlaybackId,
    pub(crate) kind: PlaybackKind,
    pub(crate) turn: Option<TurnId>,
    pub(crate) say: Option<SayId>,
    pub(crate) pieces: Vec<Piece>,
    /// How much of the first piece is left out.
    pub(crate) skip: Duration,
    /// When the command was given, and when sound began.
    pub(super) asked: Instant,
    pub(super) started: Option<Instant>,
}

// === impl Playing ===

impl Playing {
    pub(crate) fn text(&self) -> String {
        joined(self.pieces.iter().map(|piece| piece.text.as_str()))
    }

    pub(crate) fn duration(&self) -> Duration {
        self.pieces.iter().map(Piece::duration).sum::<Duration>().saturating_sub(self.skip)
    }

    /// Until when its end must have been told.
    pub(super) fn deadline(&self) -> Instant {
        self.started.unwrap_or(self.asked) + self.duration() + PLAY_SLACK
    }

    /// How far the caller has heard it, from the beginning of its first piece: not beyond what there is of it, and not
    /// less than he had heard before it was broken off.
    fn position(&self, now: Instant) -> Duration {
        let before = self.pieces.first().map_or(Duration::ZERO, |piece| piece.heard);
        let Some(started) = self.started else { return before };
        let played = now.saturating_duration_since(started).min(self.duration());
        before.max(self.skip + played)
    }

    /// Takes it apart at the word that the caller has heard last.
    pub(super) fn split(&self, now: Instant) -> Split {
        let mut left = self.position(now);
        let mut pieces = self.pieces.iter();
        let mut whole = Vec::new();
        for piece in pieces.by_ref() {
            if let Some(rest) = left.checked_sub(piece.whole()) {
                whole.push(piece.text.as_str());
                left = rest;
                continue;
            }
            let words = piece.said().heard(left);
            let mut broken = piece.clone();
            broken.heard = left;
            let rest = std::iter::once(broken).chain(pieces.cloned()).collect();
            return Split { whole: joined(whole.into_iter()), words, rest };
        }
        Split { whole: joined(whole.into_iter()), words: String::new(), rest: Vec::new() }
    }
}

/// A playback taken apart where it was broken off.
#[derive(Debug)]
pub(super) struct Split {
    /// The pieces that were heard to their ends.
    pub(super) whole: String,
    /// The words that were heard of the broken one.
    pub(super) words: String,
    /// The broken one, and those after it.
    pub(super) rest: Vec<Piece>,
}
