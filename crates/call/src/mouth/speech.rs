//! Something to be said, piece by piece, and how far each piece is made.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use voice_speech::Clip;

use super::Playing;
use crate::{ClipId, Item, PlaybackKind, SayId, TurnId};

/// A clip of which nothing is there by then is spoken by the provider's own voice; one that has not grown for so long
/// ends where it is.
const CLIP_WAIT: Duration = Duration::from_millis(2_500);

/// Something to be said: pieces that are made one by one and played as they become ready.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) kind: PlaybackKind,
    pub(crate) turn: Option<TurnId>,
    pub(crate) say: Option<SayId>,
    pub(crate) pieces: VecDeque<Piece>,
    /// Whether no more pieces will come.
    pub(crate) is_complete: bool,
    /// Whether it is not to be heard for now.
    pub(crate) is_held: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) clip: ClipId,
    pub(crate) text: String,
    /// How much of it had been heard when it was broken off.
    pub(crate) heard: Duration,
    sound: Sound,
    silences: Vec<Range<Duration>>,
}

/// How much there is of a clip.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) duration: Duration,
    pub(crate) is_complete: bool,
    /// Where nothing sounds in between, as far as that is known.
    pub(crate) silences: Vec<Range<Duration>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Pending { deadline: Instant },
    Growing { duration: Duration, deadline: Instant },
    Ready(Duration),
    Failed,
}

// === impl Speech ===

impl Speech {
    pub(super) fn is_unmade_filler(&self) -> bool {
        self.kind == PlaybackKind::Filler && self.pieces.front().is_some_and(Piece::is_pending)
    }

    /// Whether a playback is a part of this.
    pub(crate) fn is_of(&self, playing: &Playing) -> bool {
        (self.kind, self.turn, self.say) == (playing.kind, playing.turn, playing.say)
    }
}

// === impl Extent ===

impl Extent {
    pub(crate) fn whole(duration: Duration) -> Self {
        Self { duration, is_complete: true, silences: Vec::new() }
    }
}

// === impl Piece ===

impl Piece {
    pub(crate) fn pending(clip: ClipId, text: String, now: Instant) -> Self {
        Self {
            clip,
            text,
            heard: Duration::ZERO,
            sound: Sound::Pending { deadline: now + CLIP_WAIT },
            silences: Vec::new(),
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.sound, Sound::Pending { .. })
    }

    pub(super) fn is_growing(&self) -> bool {
        matches!(self.sound, Sound::Growing { .. })
    }

    /// Whether there is a clip that can be played, if only its beginning.
    pub(super) fn has_clip(&self) -> bool {
        matches!(self.sound, Sound::Ready(_) | Sound::Growing { .. })
    }

    /// How much there is of it: exact for a clip, an estimate for the provider's own voice.
    pub(crate) fn duration(&self) -> Duration {
        match self.sound {
            Sound::Ready(duration) | Sound::Growing { duration, .. } => duration,
            Sound::Pending { .. } | Sound::Failed => self.estimate(),
        }
    }

    /// How long it will be once it is whole.
    pub(super) fn whole(&self) -> Duration {
        match self.sound {
            Sound::Growing { duration, .. } => duration.max(self.estimate()),
            Sound::Ready(_) | Sound::Pending { .. } | Sound::Failed => self.duration(),
        }
    }

    /// About 15 characters a second.
    fn estimate(&self) -> Duration {
        Duration::from_millis(500 + 66 * self.text.chars().count() as u64)
    }

    /// What is said in it, and when.
    pub(super) fn said(&self) -> Clip<'_> {
        Clip { text: &self.text, duration: self.whole(), silences: &self.silences }
    }

    pub(crate) fn item(&self) -> Item {
        match self.sound {
            Sound::Ready(_) | Sound::Growing { .. } => Item::Clip(self.clip),
            Sound::Pending { .. } | Sound::Failed => Item::Text(self.text.clone()),
        }
    }

    /// Where a line that can seek begins, so that the word that was broken is said from its beginning.
    pub(super) fn resume_at(&self) -> Duration {
        if self.heard.is_zero() || !self.has_clip() {
            return Duration::ZERO;
        }
        self.said().word_start(self.heard)
    }

    /// Whether `clip` is this one, and not made whole yet.
    pub(crate) fn awaits(&self, clip: ClipId) -> bool {
        self.clip == clip && (self.is_pending() || self.is_growing())
    }

    /// Notes that the clip has become longer, or whole.
    pub(crate) fn grow(&mut self, now: Instant, extent: Extent) {
        let Extent { duration, is_complete, silences } = extent;
        self.silences = silences;
        self.sound = if is_complete {
            Sound::Ready(duration)
        } else {
            Sound::Growing { duration, deadline: now + CLIP_WAIT }
        };
    }

    /// Notes that no more of the clip will come.
    pub(super) fn fail(&mut self) {
        self.sound = match self.sound {
            Sound::Growing { duration, .. } | Sound::Ready(duration) => Sound::Ready(duration),
            Sound::Pending { .. } | Sound::Failed => Sound::Failed,
        };
    }

    /// It cannot be fetched: the provider's own voice is to speak it.
    pub(super) fn spoken_by_provider(self) -> Self {
        Self { sound: Sound::Failed, ..self }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.sound {
            Sound::Pending { deadline } | Sound::Growing { deadline, .. } => Some(deadline),
            Sound::Ready(_) | Sound::Failed => None,
        }
    }
}
