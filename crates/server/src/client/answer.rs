//! The body of an answer: its instance is busy until it ends, and it ends at the deadline. However it ends, it says so in
//! trailers, which can be passed on; an error would break the connection of whoever they are passed on to.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::{Status, body::Body};

use super::{Failure, Peer, member::Flight};
use crate::status::{into_status, trailers};

#[derive(Debug)]
pub(super) struct Answer {
    inner: Body,
    flight: Flight,
    deadline: Option<Pin<Box<Sleep>>>,
    peer: Peer,
}

impl Answer {
    pub(super) fn new(inner: Body, flight: Flight, deadline: Option<Instant>, peer: Peer) -> Self {
        // An answer that is over with its first word needs no clock.
        let deadline = deadline.filter(|_| !inner.is_end_stream());
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline.into())));
        Self { inner, flight, deadline, peer }
    }

    /// The last of it.
    fn end(&mut self, why: fn(Peer) -> Failure) -> Frame<Bytes> {
        self.inner = Body::empty();
        self.deadline = None;
        Frame::trailers(trailers(into_status(&why(self.peer))))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // First, so that an instance that always has something to say ends as well.
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Ok(self.end(Failure::Late))));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Err(status))) => {
                // What an instance says of an error comes as trailers: this is a connection that broke.
                tracing::debug!(peer = self.peer.name(), %status, "an answer broke off");
                self.flight.broke();
                Poll::Ready(Some(Ok(self.end(Failure::Unreachable))))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
