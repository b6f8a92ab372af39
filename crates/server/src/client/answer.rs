//! The body of an answer: its instance is busy until it ends, and it ends at the deadline.

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
use crate::status::into_status;

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
            self.inner = Body::empty();
            self.deadline = None;
            return Poll::Ready(Some(Err(into_status(&Failure::Late(self.peer)))));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Err(status))) => {
                // What an instance says of an error comes as trailers: this is a connection that broke.
                tracing::debug!(peer = self.peer.name(), %status, "an answer broke off");
                self.flight.broke();
                Poll::Ready(Some(Err(into_status(&Failure::Unreachable(self.peer)))))
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
