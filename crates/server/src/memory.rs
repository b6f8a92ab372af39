//! Memory that many calls took is given back to the system when most of them are over.
//!
//! glibc keeps what is freed as long as something in use lies above it: after a thousand calls the relay kept 100 MB,
//! of which it used 15. Asked to, it gives back every page that is free.

use std::time::Duration;

use tokio::runtime::Handle;

/// How often that is looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// So many tasks less than there were are worth the walk through the heap: those of some fifty calls.
const MANY: usize = 200;

/// How many tasks there were at most since memory was last given back.
#[derive(Debug, Default)]
struct Tide {
    most: usize,
}

/// Gives memory back whenever most of the process's tasks have ended, for ever.
pub(crate) async fn give_back() {
    let mut tide = Tide::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        let handle = Handle::current();
        if tide.has_fallen(handle.metrics().num_alive_tasks()) {
            // Other threads go on meanwhile; one that wants memory of the part that is walked through waits some
            // milliseconds.
            let _ = handle.spawn_blocking(trim).await;
        }
    }
}

impl Tide {
    fn has_fallen(&mut self, tasks: usize) -> bool {
        self.most = self.most.max(tasks);
        let has = self.most - tasks >= MANY && tasks <= self.most / 2;
        if has {
            self.most = tasks;
        }
        has
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no crate has a safe name for it")]
fn trim() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time (malloc_trim(3): MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_every_flood_and_not_for_a_few_calls() {
        let mut tide = Tide::default();
        let fell = |tide: &mut Tide, tasks: &[usize]| -> Vec<bool> {
            tasks.iter().map(|tasks| tide.has_fallen(*tasks)).collect()
        };
        assert_eq!(fell(&mut tide, &[50, 240, 60, 50]), [false; 4], "fifty calls were no flood");
        assert_eq!(fell(&mut tide, &[3_000, 2_000, 1_500, 1_400]), [false, false, true, false]);
        assert_eq!(fell(&mut tide, &[700, 600, 400, 60]), [true, false, false, true]);
        assert_eq!(fell(&mut tide, &[60, 60]), [false; 2]);
    }
}
