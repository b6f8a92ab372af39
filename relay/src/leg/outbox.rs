//! What is to go out on a leg. Audio waits in a bounded queue; `clear` overtakes it at once, however slowly the peer
//! reads.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures::Stream;

use crate::error::Error;

/// Frames that may wait: a peer that lets more wait does not read, and gets no more until it does.
const MOST_FRAMES: usize = 32;

/// Something that goes out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A frame.
    Audio(Bytes),
    /// Everything that was sent and has not been played is to be thrown away.
    Clear,
    /// To be answered once everything before it has been played.
    Mark(String),
}

/// Where a line puts what is to go out. A leg whose outbox is dropped and was not closed has lost its relay.
#[derive(Debug)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
}

/// What goes out, in order; ends when the line closes it.
#[derive(Debug)]
pub(crate) struct Delivery {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Outgoing>,
    frames: usize,
    reader: Option<Waker>,
    end: Option<Result<(), Error>>,
    is_gone: bool,
}

/// Makes both ends.
pub(crate) fn outbox() -> (Outbox, Delivery) {
    let shared = Arc::new(Shared::default());
    (Outbox { shared: shared.clone() }, Delivery { shared })
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Frames that there is room for.
    pub(crate) fn room(&self) -> usize {
        MOST_FRAMES - self.shared.state().frames.min(MOST_FRAMES)
    }

    /// Whether nobody takes what goes out any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.state().is_gone
    }

    /// Sends frames and marks, in order.
    pub(crate) fn send(&self, outgoing: impl IntoIterator<Item = Outgoing>) {
        let mut state = self.shared.state();
        for item in outgoing {
            state.frames += usize::from(matches!(item, Outgoing::Audio(_)));
            state.queue.push_back(item);
        }
        state.wake();
    }

    /// Has everything thrown away that has not been played; what waits here is not even sent.
    pub(crate) fn clear(&self) {
        let mut state = self.shared.state();
        state.queue.clear();
        state.frames = 0;
        state.queue.push_back(Outgoing::Clear);
        state.wake();
    }

    /// Ends the leg, after what waits.
    pub(crate) fn close(&self) {
        self.end(Ok(()));
    }

    /// Ends the leg and tells why.
    pub(crate) fn refuse(&self, error: Error) {
        self.end(Err(error));
    }

    fn end(&self, end: Result<(), Error>) {
        let mut state = self.shared.state();
        state.end.get_or_insert(end);
        state.wake();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.refuse(Error::Draining);
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Stream for Delivery {
    type Item = Result<Outgoing, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.shared.state();
        if let Some(item) = state.queue.pop_front() {
            state.frames -= usize::from(matches!(item, Outgoing::Audio(_)));
            return Poll::Ready(Some(Ok(item)));
        }
        match state.end.take() {
            Some(Err(error)) => {
                state.end = Some(Ok(()));
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(())) => {
                state.end = Some(Ok(()));
                Poll::Ready(None)
            }
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_gone = true;
        state.queue.clear();
        state.frames = 0;
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    #[test]
    fn clear_overtakes_what_waits_and_an_error_ends_the_leg() {
        let (outbox, mut delivery) = outbox();
        let frames = (0..MOST_FRAMES).map(|_| Outgoing::Audio(Bytes::from_static(&[0; 160])));
        outbox.send(frames);
        assert_eq!(outbox.room(), 0);
        assert!(matches!(delivery.next().now_or_never(), Some(Some(Ok(Outgoing::Audio(_))))));
        assert_eq!(outbox.room(), 1);
        outbox.clear();
        outbox.send([Outgoing::Mark("1".into())]);
        assert!(matches!(delivery.next().now_or_never(), Some(Some(Ok(Outgoing::Clear)))));
        assert!(
            matches!(delivery.next().now_or_never(), Some(Some(Ok(Outgoing::Mark(name)))) if name == "1")
        );
        assert!(delivery.next().now_or_never().is_none());
        outbox.refuse(Error::Draining);
        assert!(matches!(delivery.next().now_or_never(), Some(Some(Err(Error::Draining)))));
        assert!(matches!(delivery.next().now_or_never(), Some(None)));
        assert!(!outbox.is_gone());
        drop(delivery);
        assert!(outbox.is_gone());
    }

    #[test]
    fn a_leg_that_is_closed_ends_and_one_whose_relay_is_gone_is_told_so() {
        let (closed, mut delivery) = outbox();
        closed.close();
        drop(closed);
        assert!(matches!(delivery.next().now_or_never(), Some(None)));
        let (lost, mut delivery) = outbox();
        drop(lost);
        assert!(matches!(delivery.next().now_or_never(), Some(Some(Err(Error::Draining)))));
    }
}
