//! An answer in pieces, and the ways to spoil it.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    faults::{Kind, Nonsense, status_answer},
    frames,
};

/// Nothing lasts forever, not even a hang.
const LONGEST_HANG: Duration = Duration::from_mins(10);
/// What was written before a connection breaks has to be on its way first.
const FLUSH: Duration = Duration::from_millis(20);

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    content_type: &'static str,
    pieces: Vec<Piece>,
}

/// A part of a body.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// When it is sent, from the start of the answer.
    pub(super) at: Duration,
    pub(super) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Proper,
    Broken,
    Never,
}

/// Does what a fault does instead of an answer, or before it. `None` means that an answer is wanted.
pub(super) async fn before(fault: Option<&Kind>, content_type: &'static str) -> Option<Response> {
    match fault? {
        Kind::Status { status, retry_after, code } => {
            Some(status_answer(*status, retry_after.as_ref(), code.as_deref()))
        }
        Kind::Hang => {
            sleep(LONGEST_HANG).await;
            Some(StatusCode::GATEWAY_TIMEOUT.into_response())
        }
        Kind::Nonsense { form } => Some(nonsense(*form, content_type)),
        Kind::Slow { ms } => {
            sleep(Duration::from_millis(*ms)).await;
            None
        }
        Kind::Drop | Kind::Cut | Kind::Stall | Kind::Truncate | Kind::ErrorFrame | Kind::XGroqError => None,
    }
}

fn nonsense(form: Nonsense, content_type: &'static str) -> Response {
    let (content_type, body): (_, &[u8]) = match form {
        Nonsense::Html => {
            ("text/html", b"<!DOCTYPE html><html><body>Welcome to the hotel WiFi</body></html>")
        }
        Nonsense::Garbage => (content_type, b"data: {\x00\x01\xFE\xFFgarbage\n\ndata: \x80\x81\n\n"),
        Nonsense::Empty => (content_type, b""),
        Nonsense::Wrong => ("application/json", br#"{"object":"list","data":[]}"#),
    };
    ([(CONTENT_TYPE, content_type)], body.to_vec()).into_response()
}

impl Answer {
    pub(super) fn new(content_type: &'static str, pieces: Vec<Piece>) -> Self {
        Self { content_type, pieces }
    }

    /// An answer in one piece.
    pub(super) fn whole(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, pieces: vec![Piece { at: Duration::ZERO, bytes: body.into() }] }
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::whole("application/json", body.to_string())
    }

    /// Sends it, spoiled as the fault says.
    pub(super) fn send(self, fault: Option<&Kind>) -> Response {
        let content_type = [(CONTENT_TYPE, self.content_type)];
        let (pieces, end) = match fault {
            None | Some(Kind::Status { .. } | Kind::Hang | Kind::Nonsense { .. } | Kind::Slow { .. }) => {
                if let [piece] = &self.pieces[..] {
                    return (content_type, Body::from(piece.bytes.clone())).into_response();
                }
                (self.pieces, End::Proper)
            }
            Some(Kind::Drop) => (Vec::new(), End::Broken),
            Some(Kind::Cut) => (first_half(self.pieces), End::Broken),
            Some(Kind::Stall) => (first_half(self.pieces), End::Never),
            Some(Kind::Truncate) => (first_half(self.pieces), End::Proper),
            Some(Kind::ErrorFrame) => (with_last(first_half(self.pieces), frames::error()), End::Proper),
            Some(Kind::XGroqError) => {
                (with_last(first_half(self.pieces), frames::x_groq_error()), End::Proper)
            }
        };
        (content_type, Body::from_stream(play(pieces, end))).into_response()
    }
}

fn play(pieces: Vec<Piece>, end: End) -> impl futures::Stream<Item = io::Result<Bytes>> {
    let start = Instant::now();
    async_stream::stream! {
        let is_begun = !pieces.is_empty();
        for piece in pieces {
            // The timer has steps of a millisecond: what is due goes out at once.
            if start + piece.at > Instant::now() {
                sleep_until(start + piece.at).await;
            }
            yield Ok(piece.bytes);
        }
        match end {
            End::Proper => {}
            End::Never => sleep(LONGEST_HANG).await,
            End::Broken => {
                if is_begun {
                    sleep(FLUSH).await;
                }
                yield Err(io::Error::other("broken on demand"));
            }
        }
    }
}

fn first_half(mut pieces: Vec<Piece>) -> Vec<Piece> {
    if let [piece] = &mut pieces[..] {
        piece.bytes.truncate(piece.bytes.len() / 2);
    } else {
        pieces.truncate(pieces.len() / 2);
    }
    pieces
}

fn with_last(mut pieces: Vec<Piece>, frame: String) -> Vec<Piece> {
    let at = pieces.last().map(|piece| piece.at).unwrap_or_default();
    pieces.push(Piece { at, bytes: frame.into() });
    pieces
}
