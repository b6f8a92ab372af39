//! The assistant's own words coming back: learns how loud and how late they return, frame by frame, from levels alone.
//!
//! A frame that holds nothing but echo is as loud as an earlier frame of the assistant less a constant loss. For every
//! delay that a telephone network may have, the loss is tracked, and how much it varies; at the true delay it varies
//! least. What is not clearly louder than the echo at that delay is taken for echo.

/// Delays that are looked at: up to 600 ms.
const LAGS: usize = 31;
/// Assistant frames below this return nothing that could be taken for a voice.
const FAR_SILENCE_DB: f32 = -45.0;
/// Frames after which what was learnt counts: a third of a second of the assistant's voice.
const LEARNT: f32 = 16.0;
/// How many frames are remembered, as a time constant: two seconds.
const MEMORY: f32 = 100.0;
/// A loss that varies by less than this (standard deviation, decibels) is one of echo; a caller's voice varies far more.
const STEADY_DB: f32 = 5.0;
/// What is this much louder than the echo is not only echo.
const MARGIN_DB: f32 = 6.0;
/// What a frame that is louder than the echo teaches, beside one that is not.
const DOUBT: f32 = 0.05;
/// Loss that is assumed until it is learnt: a bad hands-free set.
const ASSUMED_LOSS_DB: f32 = 10.0;

/// What is known of the echo of one call.
#[derive(Debug)]
pub(super) struct Echo {
    /// Levels of the assistant's last frames, the newest at `at`.
    far: [f32; LAGS],
    at: usize,
    losses: [Loss; LAGS],
}

/// How the caller's level relates to the assistant's, at one delay.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    frames: f32,
    mean: f32,
    variance: f32,
}

// === impl Echo ===

impl Default for Echo {
    fn default() -> Self {
        Self { far: [f32::NEG_INFINITY; LAGS], at: 0, losses: [Loss::default(); LAGS] }
    }
}

impl Echo {
    /// Takes the levels of a frame; tells whether the caller's side holds nothing but echo.
    pub(super) fn push(&mut self, near_db: f32, far_db: f32) -> bool {
        self.at = (self.at + 1) % LAGS;
        self.far[self.at] = far_db;
        if !self.is_audible() {
            return false;
        }
        let (expected, is_learnt) = self.expected_db();
        let is_echo = near_db < expected + MARGIN_DB;
        // What the caller says over it tells nothing of the echo; a path that has changed is learnt anew all the same.
        let weight = if is_learnt && !is_echo { DOUBT } else { 1.0 };
        for lag in 0..LAGS {
            let far = self.far_at(lag);
            if far > FAR_SILENCE_DB {
                self.losses[lag].learn(near_db - far, weight);
            }
        }
        is_echo
    }

    /// Whether something that was played may still come back.
    pub(super) fn is_audible(&self) -> bool {
        self.far.iter().any(|level| *level > FAR_SILENCE_DB)
    }

    fn far_at(&self, lag: usize) -> f32 {
        self.far[(self.at + LAGS - lag) % LAGS]
    }

    /// How loud the echo is in this frame, and whether it was ever heard.
    fn expected_db(&self) -> (f32, bool) {
        if self.losses[LAGS - 1].frames < LEARNT {
            let loudest = self.far.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            return (loudest - ASSUMED_LOSS_DB - MARGIN_DB, false);
        }
        let steadiest =
            (0..LAGS).min_by(|a, b| self.losses[*a].variance.total_cmp(&self.losses[*b].variance));
        let lag = steadiest.expect("there are lags");
        let Loss { mean, variance, .. } = self.losses[lag];
        if variance > STEADY_DB * STEADY_DB {
            // Nothing comes back that follows the assistant's voice.
            return (f32::NEG_INFINITY, false);
        }
        // The next frame's beginning may be in this one, or the last one's end.
        let around = lag.saturating_sub(1)..=(lag + 1).min(LAGS - 1);
        let loudest = around.map(|lag| self.far_at(lag)).fold(f32::NEG_INFINITY, f32::max);
        (loudest + mean, true)
    }
}

// === impl Loss ===

impl Loss {
    fn learn(&mut self, loss: f32, weight: f32) {
        self.frames = (self.frames + 1.0).min(MEMORY);
        let step = weight / self.frames;
        let off = loss - self.mean;
        self.mean += step * off;
        self.variance += step * (off * (loss - self.mean) - self.variance);
    }
}
