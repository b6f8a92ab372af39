//! Reading a reply from the wire, with deadlines.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use eventsource_stream::{Event, EventStreamError, Eventsource as _};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::{ChatDelta, decoder::Decoder};
use crate::{Error, RateLimits, Stage, connections::Place};

/// How long a complete reply may take for its accounting and its proper end. Reading up to the end is what lets the
/// connection be used again; a server that holds it open must not cost the caller time.
const LINGER: Duration = Duration::from_millis(200);

/// The longest stream that is read: a few tokens come in frames of half a kilobyte each.
const STREAM_LIMIT: usize = 8 * 1024 * 1024;

/// The pieces of a reply. It ends after [`ChatDelta::Finished`] or after the first error; dropping it cancels the request.
pub struct ChatStream {
    deltas: BoxStream<'static, Result<ChatDelta, Error>>,
    rate_limits: RateLimits,
}

struct Reader {
    _place: Place,
    /// `None` once the answer has been read or given up.
    events: Option<BoxStream<'static, Result<Event, EventStreamError<Error>>>>,
    decoder: Decoder,
    /// Until when the first piece has to come; `None` once it has.
    first_deadline: Option<Instant>,
    between: Duration,
    /// Until when a complete reply may be read on.
    linger_deadline: Option<Instant>,
}

impl ChatStream {
    pub(super) fn new(response: Response, place: Place, first_deadline: Instant, between: Duration) -> Self {
        let rate_limits = RateLimits::from_headers(response.headers());
        let mut total = 0;
        let bytes = response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(Error::from_transport)?;
            total += piece.len();
            if total > STREAM_LIMIT {
                return Err(Error::Nonsense(format!("a reply of more than {STREAM_LIMIT} bytes")));
            }
            Ok(piece)
        });
        let reader = Reader {
            _place: place,
            events: Some(bytes.eventsource().boxed()),
            decoder: Decoder::default(),
            first_deadline: Some(first_deadline),
            between,
            linger_deadline: None,
        };
        let deltas = stream::unfold(reader, async |mut reader| Some((reader.next().await?, reader))).boxed();
        Self { deltas, rate_limits }
    }

    /// The quota after this request, as it was when the answer began.
    pub fn rate_limits(&self) -> RateLimits {
        self.rate_limits
    }
}

impl Stream for ChatStream {
    type Item = Result<ChatDelta, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.deltas.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream").field("rate_limits", &self.rate_limits).finish_non_exhaustive()
    }
}

// === impl Reader ===

impl Reader {
    async fn next(&mut self) -> Option<Result<ChatDelta, Error>> {
        // Counted from when somebody waits: a consumer that takes its time is not the provider's fault.
        let between_deadline = Instant::now() + self.between;
        loop {
            if let Some(delta) = self.decoder.pop() {
                self.first_deadline = None;
                return Some(Ok(delta));
            }
            let events = self.events.as_mut()?;
            if self.decoder.is_complete() {
                let linger = *self.linger_deadline.get_or_insert_with(|| Instant::now() + LINGER);
                self.read_accounting(linger).await;
                continue;
            }
            let (deadline, stage) = match self.first_deadline {
                Some(deadline) => (deadline, Stage::First),
                None => (between_deadline, Stage::Next),
            };
            let read = match timeout_at(deadline, events.next()).await {
                Ok(Some(Ok(event))) => self.decoder.event(&event.data),
                Ok(Some(Err(EventStreamError::Transport(error)))) => Err(error),
                Ok(Some(Err(error))) => Err(Error::Nonsense(error.to_string())),
                Ok(None) => Err(Error::Truncated),
                Err(_) => Err(Error::Timeout(stage)),
            };
            if let Err(error) = read {
                self.events = None;
                return Some(Err(error));
            }
        }
    }

    /// Reads one event after the reply is complete. Whatever goes wrong here takes nothing away from the reply.
    async fn read_accounting(&mut self, deadline: Instant) {
        let Some(events) = self.events.as_mut() else { return };
        let read_on = match timeout_at(deadline, events.next()).await {
            Ok(Some(Ok(event))) => self.decoder.event(&event.data).is_ok(),
            Ok(Some(Err(_)) | None) | Err(_) => false,
        };
        if !read_on {
            self.events = None;
            self.decoder.finish();
        }
    }
}
