//! Messages that come in: one that is too large is refused by its first five bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::status::{Reason, ServiceError, into_status, reason};

/// A flag, and the length of what follows.
const PREFIX: usize = 5;

/// The body of a request, whose messages are measured as they come in.
#[derive(Debug)]
pub(super) struct Measured {
    inner: Body,
    most: usize,
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    have: usize,
    /// Bytes of the message that are to come.
    left: usize,
    is_refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message has {length} bytes; at most {most} are taken (MAX_MESSAGE_KB)")]
struct TooLarge {
    length: usize,
    most: usize,
}

impl ServiceError for TooLarge {
    fn reason(&self) -> Reason {
        reason::MESSAGE_TOO_LARGE
    }
}

impl Measured {
    pub(super) fn new(inner: Body, most: usize) -> Self {
        Self { inner, most, prefix: [0; PREFIX], have: 0, left: 0, is_refused: false }
    }

    fn measure(&mut self, mut data: &[u8]) -> Result<(), TooLarge> {
        while !data.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(data.len());
                self.left -= skipped;
                data = &data[skipped..];
                continue;
            }
            let (byte, rest) = (data[0], &data[1..]);
            self.prefix[self.have] = byte;
            self.have += 1;
            data = rest;
            if self.have == PREFIX {
                let [_flag, length @ ..] = self.prefix;
                let length = u32::from_be_bytes(length) as usize;
                if length > self.most {
                    return Err(TooLarge { length, most: self.most });
                }
                (self.have, self.left) = (0, length);
            }
        }
        Ok(())
    }
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_refused {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(error) = self.measure(data)
        {
            self.is_refused = true;
            self.inner = Body::empty();
            return Poll::Ready(Some(Err(into_status(&error))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_refused || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(PREFIX + length, 7);
        bytes
    }

    #[test]
    fn messages_are_measured_however_they_are_cut_up() {
        let stream = [message(3), message(0), message(10), message(11)].concat();
        for size in 1..stream.len() {
            let mut measured = Measured::new(Body::empty(), 10);
            let refused = stream.chunks(size).find_map(|piece| measured.measure(piece).err());
            assert_eq!(refused, Some(TooLarge { length: 11, most: 10 }), "in pieces of {size}");
        }
        let mut measured = Measured::new(Body::empty(), 11);
        assert_eq!(measured.measure(&stream), Ok(()));
    }
}
