//! Places in what was sent, and what the peer says of them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use voice_call::PlaybackId;

/// A mark that is this much overdue means that the peer's player stands still: nothing more is sent until it goes on.
const STALLED: Duration = Duration::from_secs(1);

/// A mark that is this much overdue will not come any more: this peer does not answer them.
const LOST: Duration = Duration::from_secs(5);

/// Marks that are on their way.
#[derive(Debug)]
pub(super) struct Marks {
    open: VecDeque<Mark>,
    last: u64,
    are_answered: bool,
    /// The way there and back alone.
    least_lag: Option<Duration>,
}

#[derive(Debug)]
struct Mark {
    name: String,
    playback: PlaybackId,
    /// Playing time of the playback before it.
    position: Duration,
    /// When it should be reached.
    at: Instant,
}

/// A mark that came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) playback: PlaybackId,
    pub(super) position: Duration,
    /// How much later than it should have been.
    pub(super) lag: Duration,
}

impl Marks {
    pub(super) fn new(are_answered: bool) -> Self {
        Self { open: VecDeque::new(), last: 0, are_answered, least_lag: None }
    }

    /// Names a place that should be reached at `at`.
    pub(super) fn set(&mut self, playback: PlaybackId, position: Duration, at: Instant) -> String {
        self.last += 1;
        let name = format!("{playback}-{}", self.last);
        if self.are_answered {
            self.open.push_back(Mark { name: name.clone(), playback, position, at });
        }
        name
    }

    /// One came back; those before it count as well. One that is not known was cleared.
    pub(super) fn answered(&mut self, name: &str, now: Instant) -> Option<Answered> {
        let at = self.open.iter().position(|mark| mark.name == name)?;
        let Mark { playback, position, at, .. } = self.open.drain(..=at).next_back()?;
        let lag = now.saturating_duration_since(at);
        self.least_lag = Some(self.least_lag.map_or(lag, |least| least.min(lag)));
        Some(Answered { playback, position, lag })
    }

    /// Forgets those that were cleared.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// By how much a player is behind that has nothing waiting.
    pub(super) fn least_lag(&self) -> Duration {
        self.least_lag.unwrap_or_default()
    }

    /// Whether the peer's player stands still.
    pub(super) fn is_stalled(&self, now: Instant, lag: Duration) -> bool {
        self.open.front().is_some_and(|mark| mark.at + lag + STALLED <= now)
    }

    /// Gives up on a peer that does not answer.
    pub(super) fn are_lost(&mut self, now: Instant, lag: Duration) -> bool {
        let are_lost = self.open.front().is_some_and(|mark| mark.at + lag + LOST <= now);
        if are_lost {
            self.are_answered = false;
            self.open.clear();
        }
        are_lost
    }
}
