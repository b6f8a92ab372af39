//! How fast this call's turns usually are, so that no filler is spoken just before a reply.

use std::time::{Duration, Instant};

use crate::turn::Turn;

/// Marks from which the rest of a turn is predicted, latest first.
const STAGES: [&str; 3] = ["first_clause", "first_token", "stt"];

/// Turns that a median is taken over.
const WINDOW: usize = 9;

/// Fewer turns than this predict nothing.
const ENOUGH: usize = 3;

/// A reply that is this much later than usual is overdue, however quick the usual is.
const SURPRISE: Duration = Duration::from_millis(1_200);

/// A reply that is predicted within this is worth waiting for.
pub(crate) const WORTH_WAITING: Duration = Duration::from_millis(700);

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// For each stage, how long the rest of a turn took after it.
    rests: [Vec<Duration>; STAGES.len()],
    /// How long whole turns took.
    totals: Vec<Duration>,
}

impl Pace {
    /// Learns from a turn whose reply has begun to sound.
    pub(crate) fn learn(&mut self, turn: &Turn, sounded: Instant) {
        for (stage, rests) in STAGES.iter().zip(&mut self.rests) {
            if let Some(at) = turn.marked(stage) {
                keep(rests, sounded.saturating_duration_since(at));
            }
        }
        keep(&mut self.totals, sounded.saturating_duration_since(turn.ended_at));
    }

    /// How long after the utterance a reply is overdue, if any turn has been answered yet.
    pub(crate) fn overdue_after(&self) -> Option<Duration> {
        Some(median(&self.totals)? + SURPRISE)
    }

    /// When the reply of a turn should begin to sound, if that can be told.
    pub(crate) fn predict(&self, turn: &Turn) -> Option<Instant> {
        let (at, rests) =
            STAGES.iter().zip(&self.rests).find_map(|(stage, rests)| Some((turn.marked(stage)?, rests)))?;
        if rests.len() < ENOUGH {
            return None;
        }
        Some(at + median(rests)?)
    }
}

fn keep(window: &mut Vec<Duration>, newest: Duration) {
    window.push(newest);
    if window.len() > WINDOW {
        window.remove(0);
    }
}

fn median(window: &[Duration]) -> Option<Duration> {
    let mut sorted = window.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
