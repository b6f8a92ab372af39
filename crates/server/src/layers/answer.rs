//! What goes out: an answer that is still going on ends at its caller's deadline, and when the process stops.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use super::{DeadlinePassed, Stopping, streams::Stream};
use crate::status::into_status;

/// Counts an RPC for as long as it goes on.
#[derive(Debug)]
pub(super) struct Open {
    method: &'static str,
    _stream: Option<Stream>,
}

/// The body of an answer.
pub(super) struct Answer {
    inner: Body,
    _open: Open,
    /// That which the caller has set himself.
    deadline: Option<Instant>,
    stop: CancellationToken,
    /// Waits for either. Only an answer that is not all there at once has one.
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
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
    pub(super) fn new(inner: Body, open: Open, deadline: Option<Instant>, stop: CancellationToken) -> Self {
        Self { inner, _open: open, deadline, stop, end: None }
    }

    /// Drops what is being made, and says why.
    fn cut(&mut self, why: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        (self.inner, self.end, self.deadline) = (Body::empty(), None, None);
        let (head, ()) = why.into_http::<()>().into_parts();
        let mut trailers = head.headers;
        trailers.remove(http::header::CONTENT_TYPE);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return self.cut(into_status(&DeadlinePassed));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let (deadline, stop) = (self.deadline, self.stop.clone());
        let end = self.end.get_or_insert_with(|| Box::pin(end(deadline, stop)));
        match end.as_mut().poll(cx) {
            Poll::Ready(why) => self.cut(why),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

async fn end(deadline: Option<Instant>, stop: CancellationToken) -> Status {
    let passed = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = passed => into_status(&DeadlinePassed),
        () = stop.cancelled() => into_status(&Stopping),
    }
}
