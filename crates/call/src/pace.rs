//! How fast this call's turns usually are, so that no filler is spoken just before a reply.

use std::time::{Duration, Instant};

use crate::turn::Turn;

/// Marks from which the rest of a turn is predicted, latest first.
const STAGES: [&str; 3] = ["first_clause", "first_token", "stt"];

/// Turns that a median is taken over.
const WINDOW: usize = 9;

/// Fewer turns than this predict nothing.
const ENOUGH: usize = 3;

/// A reply that is predicted within this is worth waiting for.
pub(crate) const WORTH_WAITING: Duration = Duration::from_millis(700);

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// For each stage, how long the rest of a turn took after it.
    rests: [Vec<Duration>; STAGES.len()],
}

impl Pace {
    /// Learns from a turn whose reply has begun to sound.
    pub(crate) fn learn(&mut self, turn: &Turn, sounded: Instant) {
        for (stage, rests) in STAGES.iter().zip(&mut self.rests) {
            if let Some(at) = turn.marked(stage) {
                rests.push(sounded.saturating_duration_since(at));
                if rests.len() > WINDOW {
                    rests.remove(0);
                }
            }
        }
    }

    /// When the reply of a turn should begin to sound, if that can be told.
    pub(crate) fn predict(&self, turn: &Turn) -> Option<Instant> {
        let (at, rests) =
            STAGES.iter().zip(&self.rests).find_map(|(stage, rests)| Some((turn.marked(stage)?, rests)))?;
        if rests.len() < ENOUGH {
            return None;
        }
        let mut sorted = rests.clone();
        sorted.sort_unstable();
        Some(at + sorted[sorted.len() / 2])
    }
}
