//! What a line waits for besides its frames.
//!
//! Its task is woken for every frame. Were everything else that it waits for asked again each time, a frame would touch
//! the memory of all of it, which beside hundreds of other calls is cold.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Waits for a future aside: it is polled only after it has asked for it, however often its task is.
pub(super) async fn aside<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), task: AtomicWaker::new() });
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        bell.task.register(cx.waker());
        if !bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

struct Bell {
    has_rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_aside_is_asked_when_it_wants_to_be_and_not_otherwise() {
        let asked = Cell::new(0);
        let mut inner = pin!(tokio::time::sleep(Duration::from_secs(1)));
        let counted = std::future::poll_fn(|cx| {
            asked.set(asked.get() + 1);
            inner.as_mut().poll(cx)
        });
        let mut waited_for = pin!(aside(counted));
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut frames = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut waited_for => break,
                _ = ticks.tick() => frames += 1,
            }
        }
        assert!(frames >= 50, "{frames}");
        assert_eq!(asked.get(), 2, "at first, and when it was over");
    }
}
