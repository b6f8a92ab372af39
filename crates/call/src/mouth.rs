//! What is being said, what is ready to be said, and what has been heard of it. One playback at a time.

mod playing;
mod speech;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

pub(crate) use playing::Playing;
use playing::Split;
pub(crate) use speech::{Extent, Piece, Speech};

use crate::{ClipId, PlaybackId, PlaybackKind, SayId, TurnId};

/// A stop whose confirmation is lost counts as done after this.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(3);

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

/// A playback that was broken off.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) playback: PlaybackId,
    pub(crate) kind: PlaybackKind,
    pub(crate) turn: Option<TurnId>,
    pub(crate) say: Option<SayId>,
    /// All that was played.
    pub(crate) text: String,
    /// The pieces of it that were heard to their ends.
    pub(crate) whole: String,
    /// The words that were heard of the piece that was broken.
    pub(crate) words: String,
    /// Whether it was asking something.
    pub(crate) is_asking: bool,
}

// === impl Broken ===

impl Broken {
    /// All that was heard of it.
    pub(crate) fn heard(&self) -> String {
        joined([self.whole.as_str(), self.words.as_str()].into_iter())
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

    /// What may be heard, in order.
    pub(crate) fn free(&self) -> impl Iterator<Item = &Speech> {
        self.queue.iter().filter(|speech| !speech.is_held)
    }

    /// Whether what is to be said next is ready. A filler that is still being made holds nothing up.
    pub(crate) fn has_sound_ahead(&self) -> bool {
        let next = self.free().find(|speech| !speech.is_unmade_filler());
        next.is_some_and(|speech| speech.pieces.front().is_some_and(|piece| !piece.is_pending()))
    }

    /// Whether something that the outside wants said is on, or is next.
    pub(crate) fn is_saying(&self) -> bool {
        let next = self.free().next().map(|speech| speech.kind);
        self.playing().map(|playing| playing.kind).or(next) == Some(PlaybackKind::Say)
    }

    /// Whether this is still to be said, or being said.
    pub(crate) fn has_say(&self, say: SayId) -> bool {
        self.playing().is_some_and(|playing| playing.say == Some(say))
            || self.queue.iter().any(|speech| speech.say == Some(say))
    }

    /// Whether a clip is being played, or may be yet.
    pub(crate) fn needs(&self, clip: ClipId) -> bool {
        let played = self.playing().into_iter().flat_map(|playing| &playing.pieces);
        let queued = self.queue.iter().flat_map(|speech| &speech.pieces);
        played.chain(queued).any(|piece| piece.clip == clip)
    }

    /// Notes that a clip has become longer, or whole; gives what it is for, if that makes it playable.
    pub(crate) fn grow(&mut self, now: Instant, clip: ClipId, extent: Extent) -> Option<PlaybackKind> {
        let (kind, piece) = self.awaited(clip)?;
        let was_pending = piece.is_pending();
        piece.grow(now, extent);
        was_pending.then_some(kind)
    }

    /// Notes that a clip cannot be made, or not to its end; tells whether anybody waits for it.
    pub(crate) fn fail(&mut self, clip: ClipId) -> bool {
        let piece = self.awaited(clip);
        piece.map(|(_, piece)| piece.fail()).is_some()
    }

    /// Takes all that can be played now as one playback.
    pub(crate) fn start_next(
        &mut self,
        now: Instant,
        playback: PlaybackId,
        can_seek: bool,
    ) -> Option<&Playing> {
        self.idle_since()?;
        self.skip_filler_before_a_ready_reply();
        let speech = self.queue.iter_mut().find(|speech| !speech.is_held)?;
        let ready = speech.pieces.iter().take_while(|piece| !piece.is_pending()).count();
        if ready == 0 {
            return None;
        }
        let pieces: Vec<Piece> = speech.pieces.drain(..ready).collect();
        let skip = if can_seek { pieces[0].resume_at() } else { Duration::ZERO };
        self.state = State::Playing(Playing {
            playback,
            kind: speech.kind,
            turn: speech.turn,
            say: speech.say,
            pieces,
            skip,
            asked: now,
            started: None,
        });
        self.playing()
    }

    /// Removes speeches that have been said in full from the front; gives the first of them.
    pub(crate) fn pop_said(&mut self) -> Option<Speech> {
        self.idle_since()?;
        let next = self.queue.iter().position(|speech| !speech.is_held)?;
        let is_said = self.queue[next].is_complete && self.queue[next].pieces.is_empty();
        if is_said { self.queue.remove(next) } else { None }
    }

    pub(crate) fn started(&mut self, now: Instant, playback: PlaybackId) -> Option<&Playing> {
        let State::Playing(playing) = &mut self.state else { return None };
        if playing.playback != playback || playing.started.is_some() {
            return None;
        }
        playing.started = Some(now);
        Some(playing)
    }

    /// Corrects how far a playback has been heard.
    pub(crate) fn reached(&mut self, now: Instant, playback: PlaybackId, position: Duration) {
        if let State::Playing(playing) = &mut self.state
            && playing.playback == playback
            && playing.started.is_some()
        {
            playing.started = now.checked_sub(position).or(playing.started);
        }
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
    /// Gives the turn of a reply of which nothing is left to be tried.
    pub(crate) fn failed(&mut self, now: Instant, playback: PlaybackId) -> Option<TurnId> {
        let mut playing = self.finished(now, playback)?;
        let pieces = std::mem::take(&mut playing.pieces).into_iter().filter(Piece::has_clip);
        let pieces: Vec<Piece> = pieces.map(Piece::spoken_by_provider).collect();
        let is_lost = pieces.is_empty() && playing.kind == PlaybackKind::Reply;
        self.put_back(&playing, pieces);
        playing.turn.filter(|_| is_lost)
    }

    /// Falls silent. What was not heard of the playback waits before everything else; what is queued stays.
    pub(crate) fn break_off(&mut self, now: Instant) -> Option<Broken> {
        self.playing()?;
        let State::Playing(playing) = std::mem::replace(&mut self.state, State::Idle { since: now }) else {
            return None;
        };
        self.state = State::Stopping { playback: playing.playback, deadline: now + STOP_WAIT };
        let Split { whole, words, rest } = playing.split(now);
        let is_asking = is_asking(&whole, &words, rest.first());
        self.put_back(&playing, rest);
        let text = playing.text();
        let Playing { playback, kind, turn, say, .. } = playing;
        Some(Broken { playback, kind, turn, say, text, whole, words, is_asking })
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Idle { .. } => None,
            State::Playing(playing) => Some(playing.deadline()),
            State::Stopping { deadline, .. } => Some(*deadline),
        };
        own.into_iter().chain(self.unmade().filter_map(Piece::deadline)).min()
    }

    /// Gives up waiting for whatever is overdue. Gives the playback whose end was never reported.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Playing> {
        let overdue: Vec<ClipId> = self
            .unmade()
            .filter(|piece| piece.deadline().is_some_and(|deadline| deadline <= now))
            .map(|piece| piece.clip)
            .collect();
        for clip in overdue {
            self.fail(clip);
        }
        let overdue = match &self.state {
            State::Playing(playing) if playing.deadline() <= now => Some(playing.playback),
            State::Stopping { playback, deadline } if *deadline <= now => Some(*playback),
            State::Playing(_) | State::Stopping { .. } | State::Idle { .. } => None,
        };
        overdue.and_then(|playback| self.finished(now, playback))
    }

    fn put_back(&mut self, playing: &Playing, pieces: Vec<Piece>) {
        match self.queue.iter_mut().find(|speech| speech.is_of(playing)) {
            Some(speech) => {
                for piece in pieces.into_iter().rev() {
                    speech.pieces.push_front(piece);
                }
            }
            None => self.queue.push_front(Speech {
                kind: playing.kind,
                turn: playing.turn,
                say: playing.say,
                pieces: pieces.into(),
                is_complete: true,
                is_held: false,
            }),
        }
    }

    fn unmade(&self) -> impl Iterator<Item = &Piece> {
        let played = self.playing().into_iter().flat_map(|playing| &playing.pieces);
        played.chain(self.queue.iter().flat_map(|speech| &speech.pieces))
    }

    /// A piece that is not made whole yet, and what it is for.
    fn awaited(&mut self, clip: ClipId) -> Option<(PlaybackKind, &mut Piece)> {
        let playing = match &mut self.state {
            State::Playing(playing) => Some((playing.kind, &mut playing.pieces)),
            State::Idle { .. } | State::Stopping { .. } => None,
        };
        let played =
            playing.into_iter().flat_map(|(kind, pieces)| pieces.iter_mut().map(move |piece| (kind, piece)));
        let queued = self
            .queue
            .iter_mut()
            .flat_map(|speech| speech.pieces.iter_mut().map(|piece| (speech.kind, piece)));
        played.chain(queued).find(|(_, piece)| piece.awaits(clip))
    }

    /// A filler that is still being made has missed its purpose once the reply is there.
    fn skip_filler_before_a_ready_reply(&mut self) {
        let is_waiting_filler = self.free().next().is_some_and(Speech::is_unmade_filler);
        if is_waiting_filler
            && self.has_sound_ahead()
            && let Some(filler) = self.queue.iter().position(Speech::is_unmade_filler)
        {
            self.queue.remove(filler);
        }
    }
}

/// Whether the sentence that was heard last, or was being said, is a question.
fn is_asking(whole: &str, words: &str, broken: Option<&Piece>) -> bool {
    let begun = if words.is_empty() { whole } else { words };
    if begun.ends_with(['.', '!', '?']) {
        return begun.ends_with('?');
    }
    let rest = broken.map_or("", |piece| piece.text.as_str());
    let unheard = rest.split_whitespace().skip(words.split_whitespace().count());
    let end = unheard.map(|word| word.trim_end_matches('"')).find(|word| word.ends_with(['.', '!', '?']));
    end.is_some_and(|word| word.ends_with('?'))
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
