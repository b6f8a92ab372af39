//! What goes out: an answer that is still going on ends at its caller's deadline, and when the process stops. A task
//! sees to it: a caller who does not read asks for nothing, and an answer that nobody asks does not look at the clock.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use super::{DeadlinePassed, Stopping, streams::Stream};
use crate::status::{into_status, trailers};

/// Counts an RPC for as long as it goes on.
#[derive(Debug)]
pub(super) struct Open {
    method: &'static str,
    _stream: Option<Stream>,
}

/// The body of an answer.
pub(super) struct Answer {
    work: Arc<Mutex<Work>>,
    /// Waits for whatever cuts the answer. Only one that is not over with its first word has it.
    _end: JoinSet<()>,
}

/// What becomes of an answer.
enum Work {
    /// It is being made.
    Going {
        body: Body,
        _open: Open,
        /// Whoever waits for more of it.
        reader: Option<Waker>,
    },
    /// It was dropped, and its caller is still to be told why.
    Cut(Status),
    /// Nothing is to come.
    Over,
}

impl Open {
    pub(super) fn new(method: &'static str, stream: Option<Stream>) -> Self {
        metrics::gauge!("rpc_open", "method" => method).increment(1.0);
        Self { method, _stream: stream }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("rpc_open", "method" => self.method).decrement(1.0);
    }
}

impl Answer {
    /// An answer that goes on until `deadline`, if its caller has set one himself, or until `stop` is cancelled.
    pub(super) fn new(body: Body, open: Open, deadline: Option<Instant>, stop: CancellationToken) -> Self {
        let is_over = body.is_end_stream();
        let work = Arc::new(Mutex::new(Work::Going { body, _open: open, reader: None }));
        let mut end = JoinSet::new();
        if !is_over {
            end.spawn(cut(Arc::downgrade(&work), deadline, stop));
        }
        Self { work, _end: end }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut work = self.work();
        if let Work::Going { body, reader, .. } = &mut *work {
            let polled = Pin::new(body).poll_frame(cx);
            if polled.is_pending() && !reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                *reader = Some(cx.waker().clone());
            }
            return polled;
        }
        let Work::Cut(why) = mem::replace(&mut *work, Work::Over) else { return Poll::Ready(None) };
        Poll::Ready(Some(Ok(Frame::trailers(trailers(why)))))
    }

    fn is_end_stream(&self) -> bool {
        match &*self.work() {
            Work::Going { body, .. } => body.is_end_stream(),
            Work::Cut(_) => false,
            Work::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.work() {
            Work::Going { body, .. } => body.size_hint(),
            Work::Cut(_) | Work::Over => SizeHint::default(),
        }
    }
}

/// Drops what is being made once its time is up, and all that is held for it; whoever reads is told why.
async fn cut(work: Weak<Mutex<Work>>, deadline: Option<Instant>, stop: CancellationToken) {
    let passed = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        () = passed => into_status(&DeadlinePassed),
        () = stop.cancelled() => into_status(&Stopping),
    };
    let Some(work) = work.upgrade() else { return };
    let dropped = mem::replace(&mut *work.lock().unwrap_or_else(PoisonError::into_inner), Work::Cut(why));
    if let Work::Going { body, reader, .. } = dropped {
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use http_body_util::StreamBody;
    use tokio::sync::oneshot;

    use super::*;

    /// A body that never ends by itself, and who learns that it was dropped.
    fn endless() -> (Body, oneshot::Receiver<()>) {
        let (held, dropped) = oneshot::channel::<()>();
        let frames = futures::stream::poll_fn(move |_| {
            let _ = &held;
            Poll::<Option<Result<Frame<Bytes>, Status>>>::Pending
        });
        (Body::new(StreamBody::new(frames)), dropped)
    }

    #[tokio::test]
    async fn what_nobody_reads_is_dropped_at_its_deadline_and_whoever_reads_later_is_told() {
        let (body, dropped) = endless();
        let deadline = Instant::now() + Duration::from_millis(10);
        let open = Open::new("test", None);
        let mut answer = Answer::new(body, open, Some(deadline), CancellationToken::new());
        // The sender goes with the body.
        assert!(dropped.await.is_err());
        let told = poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(told.trailers_ref().unwrap()["grpc-status"], "4");
        assert!(poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await.is_none());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_when_the_process_stops() {
        let (body, _dropped) = endless();
        let stop = CancellationToken::new();
        let mut answer = Answer::new(body, Open::new("test", None), None, stop.clone());
        let mut told = Box::pin(poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)));
        assert!(futures::poll!(&mut told).is_pending());
        stop.cancel();
        assert_eq!(told.await.unwrap().unwrap().trailers_ref().unwrap()["grpc-status"], "14");
    }

    #[tokio::test]
    async fn an_answer_that_its_caller_leaves_is_dropped_at_once() {
        let (body, mut dropped) = endless();
        drop(Answer::new(body, Open::new("test", None), None, CancellationToken::new()));
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
