//! What is being said, what is ready to be said, and what has been heard of it. One playback at a time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{ClipId, Item, PlaybackId, PlaybackKind, SayId, TurnId};

/// Playback events can be lost with a dropped socket; then a playback ends this long after its sound should have.
const PLAY_SLACK: Duration = Duration::from_secs(2);

/// A stop whose confirmation is lost counts as done after this.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(3);

/// A clip that is not ready by then is spoken by the provider's own voice.
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
}

#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) clip: ClipId,
    pub(crate) text: String,
    sound: Sound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Pending { deadline: Instant },
    Ready(Duration),
    Failed,
}

/// A playback that is on.
#[derive(Debug)]
pub(crate) struct Playing {
    pub(crate) playback: PlaybackId,
    pub(crate) kind: PlaybackKind,
    pub(crate) turn: Option<TurnId>,
    pub(crate) say: Option<SayId>,
    pub(crate) pieces: Vec<Piece>,
    started: Option<Instant>,
    deadline: Instant,
}

#[derive(Debug)]
enum State {
    Idle { since: Instant },
    Playing(Playing),
    Stopping { playback: PlaybackId, deadline: Instant },
}

/// The assistant's mouth.
#[derive(Debug)]
pub(crate) struct Mouth {
    state: State,
    pub(crate) queue: VecDeque<Speech>,
}

/// What was cut off by the caller.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) playing: Playing,
    /// The words that had been heard of this playback.
    pub(crate) heard: String,
    /// The piece that was broken, those after it, and whatever was queued of the same speech.
    pub(crate) rest: VecDeque<Piece>,
}

// === impl Piece ===

impl Piece {
    pub(crate) fn pending(clip: ClipId, text: String, now: Instant) -> Self {
        Self { clip, text, sound: Sound::Pending { deadline: now + CLIP_WAIT } }
    }

    fn is_pending(&self) -> bool {
        matches!(self.sound, Sound::Pending { .. })
    }

    /// Exact for a clip, an estimate (about 15 characters a second) for the provider's own voice.
    pub(crate) fn duration(&self) -> Duration {
        match self.sound {
            Sound::Ready(duration) => duration,
            Sound::Pending { .. } | Sound::Failed => {
                Duration::from_millis(500 + 66 * self.text.chars().count() as u64)
            }
        }
    }

    pub(crate) fn item(&self) -> Item {
        match self.sound {
            Sound::Ready(_) => Item::Clip(self.clip),
            Sound::Pending { .. } | Sound::Failed => Item::Text(self.text.clone()),
        }
    }
}

// === impl Speech ===

impl Speech {
    fn is_unmade_filler(&self) -> bool {
        self.kind == PlaybackKind::Filler && self.pieces.front().is_some_and(Piece::is_pending)
    }

    /// Whether a playback is a part of this.
    pub(crate) fn is_of(&self, playing: &Playing) -> bool {
        (self.kind, self.turn, self.say) == (playing.kind, playing.turn, playing.say)
    }
}

// === impl Playing ===

impl Playing {
    pub(crate) fn text(&self) -> String {
        joined(self.pieces.iter().map(|piece| piece.text.as_str()))
    }

    pub(crate) fn duration(&self) -> Duration {
        self.pieces.iter().map(Piece::duration).sum()
    }

    /// The words that the caller has heard by now.
    fn heard(&self, now: Instant) -> String {
        let position = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        let clips: Vec<_> = self.pieces.iter().map(|piece| (piece.text.as_str(), piece.duration())).collect();
        voice_speech::heard(&clips, position)
    }

    /// The index of the piece that is sounding.
    fn broken(&self, now: Instant) -> usize {
        let mut left = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        for (n, piece) in self.pieces.iter().enumerate() {
            match left.checked_sub(piece.duration()) {
                Some(rest) => left = rest,
                None => return n,
            }
        }
        self.pieces.len()
    }
}

// === impl Mouth ===

impl Mouth {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Idle { since: now }, queue: VecDeque::new() }
    }

    pub(crate) fn playing(&self) -> Option<&Playing> {
        match &self.state {
            State::Playing(playing) => Some(playing),
            State::Idle { .. } | State::Stopping { .. } => None,
        }
    }

    /// Since when nothing has been playing; `None` while something is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        match &self.state {
            State::Idle { since } => Some(*since),
            State::Playing(_) | State::Stopping { .. } => None,
        }
    }

    /// Whether nothing is being said, and nothing is waiting to be.
    pub(crate) fn is_silent(&self) -> bool {
        self.idle_since().is_some() && self.queue.is_empty()
    }

    /// Whether what is to be said next is ready. A filler that is still being made holds nothing up.
    pub(crate) fn has_sound_ahead(&self) -> bool {
        let next = self.queue.iter().find(|speech| !speech.is_unmade_filler());
        next.is_some_and(|speech| speech.pieces.front().is_some_and(|piece| !piece.is_pending()))
    }

    /// Whether something that the outside wants said is on, or is next.
    pub(crate) fn is_saying(&self) -> bool {
        let next = self.queue.front().map(|speech| speech.kind);
        self.playing().map(|playing| playing.kind).or(next) == Some(PlaybackKind::Say)
    }

    /// Whether this is still to be said, or being said.
    pub(crate) fn has_say(&self, say: SayId) -> bool {
        self.playing().is_some_and(|playing| playing.say == Some(say))
            || self.queue.iter().any(|speech| speech.say == Some(say))
    }

    /// Records what became of a clip; gives what it is for, if anybody still waits for it.
    pub(crate) fn resolve(&mut self, clip: ClipId, duration: Option<Duration>) -> Option<PlaybackKind> {
        let sound = duration.map_or(Sound::Failed, Sound::Ready);
        for speech in &mut self.queue {
            let waiting = speech.pieces.iter_mut().find(|piece| piece.clip == clip && piece.is_pending());
            if let Some(piece) = waiting {
                piece.sound = sound;
                return Some(speech.kind);
            }
        }
        None
    }

    /// Takes all that can be played now as one playback.
    pub(crate) fn start_next(&mut self, now: Instant, playback: PlaybackId) -> Option<&Playing> {
        self.idle_since()?;
        self.skip_filler_before_a_ready_reply();
        let speech = self.queue.front_mut()?;
        let ready = speech.pieces.iter().take_while(|piece| !piece.is_pending()).count();
        if ready == 0 {
            return None;
        }
        let pieces: Vec<Piece> = speech.pieces.drain(..ready).collect();
        let mut playing = Playing {
            playback,
            kind: speech.kind,
            turn: speech.turn,
            say: speech.say,
            pieces,
            started: None,
            deadline: now,
        };
        playing.deadline = now + playing.duration() + PLAY_SLACK;
        self.state = State::Playing(playing);
        self.playing()
    }

    /// Removes speeches that have been said in full from the front; gives the first of them.
    pub(crate) fn pop_said(&mut self) -> Option<Speech> {
        self.idle_since()?;
        let is_said = self.queue.front().is_some_and(|speech| speech.is_complete && speech.pieces.is_empty());
        if is_said { self.queue.pop_front() } else { None }
    }

    pub(crate) fn started(&mut self, now: Instant, playback: PlaybackId) -> Option<&Playing> {
        let State::Playing(playing) = &mut self.state else { return None };
        if playing.playback != playback || playing.started.is_some() {
            return None;
        }
        playing.started = Some(now);
        playing.deadline = now + playing.duration() + PLAY_SLACK;
        Some(playing)
    }

    /// Notes the end of a playback; gives it if it was played to its end.
    pub(crate) fn finished(&mut self, now: Instant, playback: PlaybackId) -> Option<Playing> {
        match &self.state {
            State::Playing(playing) if playing.playback == playback => {
                match std::mem::replace(&mut self.state, State::Idle { since: now }) {
                    State::Playing(playing) => Some(playing),
                    State::Idle { .. } | State::Stopping { .. } => None,
                }
            }
            State::Stopping { playback: stopping, .. } if *stopping == playback => {
                self.state = State::Idle { since: now };
                None
            }
            State::Playing(_) | State::Stopping { .. } | State::Idle { .. } => None,
        }
    }

    /// Puts back what a failed playback did not play, to be spoken by the provider's own voice. What was spoken by
    /// it already and failed is given up.
    pub(crate) fn failed(&mut self, now: Instant, playback: PlaybackId) {
        let Some(mut playing) = self.finished(now, playback) else { return };
        let retry: VecDeque<Piece> = std::mem::take(&mut playing.pieces)
            .into_iter()
            .filter(|piece| matches!(piece.sound, Sound::Ready(_)))
            .map(|piece| Piece { sound: Sound::Failed, ..piece })
            .collect();
        match self.queue.front_mut() {
            Some(speech) if speech.is_of(&playing) => {
                for piece in retry.into_iter().rev() {
                    speech.pieces.push_front(piece);
                }
            }
            _ => self.queue.push_front(Speech {
                kind: playing.kind,
                turn: playing.turn,
                say: playing.say,
                pieces: retry,
                is_complete: true,
            }),
        }
    }

    /// Falls silent. Gives the playback to be stopped and what the caller missed.
    pub(crate) fn cut(&mut self, now: Instant) -> Option<Cut> {
        let queued = std::mem::take(&mut self.queue);
        let (playing, heard) = self.cut_playing(now)?;
        let same = queued.into_iter().filter(|speech| speech.is_of(&playing));
        let rest = playing
            .pieces
            .iter()
            .skip(playing.broken(now))
            .cloned()
            .chain(same.flat_map(|speech| speech.pieces));
        let rest = rest.collect();
        Some(Cut { playing, heard, rest })
    }

    /// Stops what is on; what is queued stays. Gives the playback and what was heard of it.
    pub(crate) fn cut_playing(&mut self, now: Instant) -> Option<(Playing, String)> {
        self.playing()?;
        let State::Playing(playing) = std::mem::replace(&mut self.state, State::Idle { since: now }) else {
            return None;
        };
        self.state = State::Stopping { playback: playing.playback, deadline: now + STOP_WAIT };
        let heard = playing.heard(now);
        Some((playing, heard))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Idle { .. } => None,
            State::Playing(playing) => Some(playing.deadline),
            State::Stopping { deadline, .. } => Some(*deadline),
        };
        let clips =
            self.queue.iter().flat_map(|speech| &speech.pieces).filter_map(|piece| match piece.sound {
                Sound::Pending { deadline } => Some(deadline),
                Sound::Ready(_) | Sound::Failed => None,
            });
        own.into_iter().chain(clips).min()
    }

    /// Gives up waiting for whatever is overdue. Gives the playback whose end was never reported.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Playing> {
        for piece in self.queue.iter_mut().flat_map(|speech| &mut speech.pieces) {
            if matches!(piece.sound, Sound::Pending { deadline } if deadline <= now) {
                piece.sound = Sound::Failed;
            }
        }
        let overdue = match &self.state {
            State::Playing(playing) if playing.deadline <= now => Some(playing.playback),
            State::Stopping { playback, deadline } if *deadline <= now => Some(*playback),
            State::Playing(_) | State::Stopping { .. } | State::Idle { .. } => None,
        };
        overdue.and_then(|playback| self.finished(now, playback))
    }

    /// A filler that is still being made has missed its purpose once the reply is there.
    fn skip_filler_before_a_ready_reply(&mut self) {
        let is_waiting_filler = self.queue.front().is_some_and(Speech::is_unmade_filler);
        if is_waiting_filler && self.has_sound_ahead() {
            self.queue.pop_front();
        }
    }
}

/// Texts joined by single spaces.
pub(crate) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut all = String::new();
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(text);
    }
    all
}
