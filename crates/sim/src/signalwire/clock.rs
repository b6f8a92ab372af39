//! The simulator's one clock: milliseconds since the process started, and the same moment as Unix time for the wire.

use tokio::time::Instant;

/// One moment, in both reckonings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Now {
    /// Milliseconds since the simulator started, to the microsecond; never goes back.
    pub(crate) at_ms: f64,
    /// Unix seconds.
    pub(crate) unix: f64,
}

/// Reads the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_unix: f64,
}

impl Clock {
    /// Starts at zero now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), start_unix: jiff::Timestamp::now().as_microsecond() as f64 / 1e6 }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Now {
        let since = self.start.elapsed().as_micros() as f64;
        Now { at_ms: since / 1e3, unix: self.start_unix + since / 1e6 }
    }
}
