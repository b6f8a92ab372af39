//! The runtime that a service's process runs on.
//!
//! Hundreds of calls make thousands of audio frames a second, each on a socket of its own. If each woke the process by
//! itself, most of its time would go into waking, and each would be a system call of its own on the way out. So a thread
//! that has nothing to do rests for half a millisecond before it looks for news, as long as frames come that fast: what
//! came meanwhile is taken in, worked on and sent together. With fewer frames, and in services that count none, nothing
//! ever waits.

use std::{
    cell::Cell,
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::runtime::Builder;

use crate::memory;

/// How long a thread rests.
const REST: Duration = Duration::from_micros(500);

/// Frames in a second from which on resting is worth its delay: those of forty calls.
const MANY: f64 = 2_000.0;

/// How often that is looked at.
const WINDOW: Duration = Duration::from_millis(50);

static FRAMES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PACE: Cell<Pace> = const { Cell::new(Pace { since: None, frames: 0, is_fast: false }) };
}

#[derive(Clone, Copy)]
struct Pace {
    since: Option<Instant>,
    frames: u64,
    is_fast: bool,
}

/// Runs a service to its end, on as many threads as there are cores, or as `TOKIO_WORKER_THREADS` says. A single one needs
/// no other to steal its work, and runs what it wakes in turn: what several calls send goes out in one write.
///
/// # Errors
/// Those of the service, or when the process may have no threads.
#[expect(
    clippy::disallowed_methods,
    reason = "it is tokio's own variable, and configuration is read on the runtime"
)]
pub fn run(service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let is_alone = std::env::var("TOKIO_WORKER_THREADS").is_ok_and(|threads| threads.trim() == "1");
    let mut builder = if is_alone { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.enable_all().on_thread_park(rest).build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = service => ended,
            () = memory::give_back() => Ok(()),
        }
    })
}

/// Counts an audio frame that came in.
pub fn count_frame() {
    FRAMES.fetch_add(1, Ordering::Relaxed);
}

fn rest() {
    let pace = PACE.get().at(Instant::now(), FRAMES.load(Ordering::Relaxed));
    PACE.set(pace);
    if pace.is_fast {
        std::thread::sleep(REST);
    }
}

impl Pace {
    fn at(self, now: Instant, frames: u64) -> Self {
        let Some(since) = self.since else { return Self { since: Some(now), frames, is_fast: false } };
        let passed = now.saturating_duration_since(since);
        if passed < WINDOW {
            return self;
        }
        let is_fast = (frames - self.frames) as f64 / passed.as_secs_f64() > MANY;
        Self { since: Some(now), frames, is_fast }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_frames_make_a_thread_rest_and_it_ends_with_them() {
        let begin = Instant::now();
        let after = |windows: u32| begin + WINDOW * windows;
        let pace = Pace { since: None, frames: 0, is_fast: false }.at(begin, 1_000);
        let few = pace.at(after(1), 1_050);
        assert!(!few.is_fast, "a thousand frames a second");
        let many = few.at(after(2), 1_200);
        assert!(many.is_fast, "three thousand");
        assert!(many.at(after(2) + WINDOW / 2, 1_200).is_fast, "a window is looked at once");
        assert!(!many.at(after(3), 1_200).is_fast);
    }
}
