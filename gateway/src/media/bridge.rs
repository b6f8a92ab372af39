//! One leg: messages of its socket become requests of a `Converse`, and what comes back becomes messages.
//!
//! All of it is one task. What the caller says waits a second at most for the relay and is dropped then; what the
//! assistant says is only taken from the relay while the socket takes it. So nothing piles up here, and a side that
//! stands still for too long ends the leg.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use voice_proto::relay::v1::{
    CallerAudio, ConverseConfig, ConverseRequest, ConverseResponse, DigitPressed, PlayoutMark,
    converse_request, converse_response::Payload,
};

use super::{
    close::{BINARY_MESSAGE, CALL_ENDED, Close, CloseReason, GATEWAY_DRAINING, READER_STALLED, STREAM_IDLE},
    messages::{Format, Heard, Reader, Start, Writer, start},
    relays::{Breaker, Relays},
};

/// Requests that may wait for the relay: a second and more of sound.
const WAITING: usize = 64;
/// Time for a stream to begin, and for a relay to take it.
const BEGIN_WAIT: Duration = Duration::from_secs(10);
/// A carrier sends fifty frames a second; one that is silent for so long is gone.
const IDLE: Duration = Duration::from_secs(20);
/// A write that takes longer has no reader.
const STALL: Duration = Duration::from_secs(5);
/// Time for a relay to end a call whose leg is over, and for a close frame to go out.
const GOODBYE: Duration = Duration::from_secs(2);

type Sink = SplitSink<WebSocket, Message>;
type Source = SplitStream<WebSocket>;

/// Why a leg is over.
#[derive(Debug)]
enum End {
    /// The relay has ended the call.
    Over,
    /// The relay does not take it, or has ended it with an error.
    Refused(Status),
    /// The carrier says that the stream is over.
    Stopped,
    /// The socket is gone.
    Gone,
    /// This side has to close it.
    Closed(CloseReason),
}

/// What is known of a leg in passing.
#[derive(Debug)]
struct Pulse {
    began: Instant,
    /// Milliseconds after the beginning.
    heard_at: AtomicU64,
    /// The same of a write that is under way.
    writing_since: AtomicU64,
    frames_in: AtomicU64,
    frames_out: AtomicU64,
    frames_past: AtomicU64,
    frames_dropped: AtomicU64,
}

/// Carries a leg to its end.
pub(super) async fn carry(
    socket: WebSocket,
    token: String,
    relay_addr: &str,
    relays: &Arc<Relays>,
    ending: CancellationToken,
) {
    metrics::gauge!("media_sockets").increment(1);
    let (mut sink, mut source) = socket.split();
    let end = tokio::select! {
        () = ending.cancelled() => End::Closed(GATEWAY_DRAINING),
        begun = begun(&mut source) => match begun {
            Ok(start) => converse(&mut sink, &mut source, start, token, relay_addr, relays, &ending).await,
            Err(end) => end,
        },
    };
    let close = match end {
        End::Gone => None,
        End::Over | End::Stopped => Some(Close::from(CALL_ENDED)),
        End::Refused(status) => Some(Close::from(status)),
        End::Closed(reason) => Some(Close::from(reason)),
    };
    let code = close.as_ref().map_or(0, |close| close.code);
    metrics::counter!("media_sockets_closed_total", "code" => code.to_string()).increment(1);
    metrics::gauge!("media_sockets").decrement(1);
    if let Some(close) = close {
        tracing::debug!(code = close.code, reason = close.reason, "a media socket is closed");
        let goodbye = async {
            sink.send(Message::Close(Some(CloseFrame::from(close)))).await?;
            // Leaving what has come unread would take the close frame back.
            while source.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, axum::Error>(())
        };
        // The other side may be gone already; then there is nobody to say goodbye to.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// Waits for the stream to begin.
async fn begun(source: &mut Source) -> Result<Start, End> {
    let search = async {
        loop {
            if let Some(text) = next_text(source).await?
                && let Some(start) = start(text.as_str()).map_err(End::Closed)?
            {
                return Ok(start);
            }
        }
    };
    timeout(BEGIN_WAIT, search).await.unwrap_or(Err(End::Closed(STREAM_IDLE)))
}

async fn converse(
    sink: &mut Sink,
    source: &mut Source,
    start: Start,
    token: String,
    relay_addr: &str,
    relays: &Relays,
    ending: &CancellationToken,
) -> End {
    let breaker = Breaker::default();
    let client = match relays.breakable(relay_addr, breaker.clone()) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "a media token names a relay that cannot be called");
            return End::Refused(Status::internal("no such relay"));
        }
    };
    let Start { stream_sid, format, parameters } = start;
    let (requests, waiting) = mpsc::channel(WAITING);
    let parameter = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    let config = ConverseConfig {
        format: Some(format.into()),
        media_token: token,
        context: parameter("context"),
        caller_number: parameter("from"),
        called_number: parameter("to"),
        instructions: String::new(),
        answers_marks: true,
        wants_events: false,
    };
    let first = requests.try_send(request(converse_request::Payload::Config(config)));
    first.expect("a channel that nobody has used has room");
    let pulse = Pulse::new();
    // Kept here, so that the stream does not seem complete before it has been decided that it is.
    let kept = requests.clone();
    let answer = async {
        let mut client = client;
        let call = client.converse(ReceiverStream::new(waiting));
        match timeout(BEGIN_WAIT, call).await {
            Ok(Ok(response)) => {
                speak(sink, response.into_inner(), &mut Writer::new(&stream_sid), &pulse).await
            }
            Ok(Err(status)) => End::Refused(status),
            Err(_) => End::Refused(Status::unavailable("the relay does not answer")),
        }
    };
    // Each is polled for its own news alone: fifty frames a second in one direction are nothing to the other.
    let mut ways: FuturesUnordered<BoxFuture<'_, End>> = FuturesUnordered::new();
    ways.push(answer.boxed());
    ways.push(hear(source, format, requests, &pulse).boxed());
    ways.push(watch(&pulse, ending).boxed());
    let end = ways.next().await.expect("there are three");
    pulse.publish();
    match end {
        End::Stopped => {
            drop(kept);
            // What the relay still has to say is for nobody, but that it has ended the call is worth waiting for.
            let _ = timeout(GOODBYE, ways.next()).await;
        }
        End::Gone | End::Closed(_) => {
            breaker.break_off();
            drop(kept);
        }
        End::Over | End::Refused(_) => {}
    }
    end
}

/// Passes on what the carrier sends.
async fn hear(
    source: &mut Source,
    format: Format,
    requests: mpsc::Sender<ConverseRequest>,
    pulse: &Pulse,
) -> End {
    let mut reader = Reader::new(format);
    loop {
        let text = match next_text(source).await {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(end) => return end,
        };
        pulse.heard();
        let heard = match reader.read(text.as_str()) {
            Ok(heard) => heard,
            Err(reason) => return End::Closed(reason),
        };
        let payload = match heard {
            Heard::Audio { missing, audio } => {
                voice_server::runtime::count_frame();
                for _ in 0..missing {
                    let silence = Bytes::from(vec![format.silence(); audio.len()]);
                    pass_on(silence, format, &requests, pulse);
                }
                pass_on(audio, format, &requests, pulse);
                continue;
            }
            Heard::Past => {
                count(&pulse.frames_past);
                continue;
            }
            Heard::Nothing => continue,
            Heard::Digit(digit) => {
                converse_request::Payload::Digit(DigitPressed { digit: digit.to_string() })
            }
            Heard::Mark(name) => converse_request::Payload::Mark(PlayoutMark { name }),
            Heard::Stop => return End::Stopped,
        };
        // These are few and must arrive; a relay that takes none of them has ended, and says so itself.
        let _ = requests.send(request(payload)).await;
    }
}

/// Sound is live: what finds no room has missed its moment.
fn pass_on(mut audio: Bytes, format: Format, requests: &mpsc::Sender<ConverseRequest>, pulse: &Pulse) {
    count(&pulse.frames_in);
    while !audio.is_empty() {
        let piece = audio.split_to(format.longest_piece().min(audio.len()));
        let payload = converse_request::Payload::Audio(CallerAudio { audio: piece, send_time: None });
        if requests.try_send(request(payload)).is_err() {
            count(&pulse.frames_dropped);
        }
    }
}

/// Passes on what the relay sends: all that is there in one write.
async fn speak(
    sink: &mut Sink,
    mut responses: Streaming<ConverseResponse>,
    writer: &mut Writer,
    pulse: &Pulse,
) -> End {
    loop {
        let mut next = responses.message().await;
        pulse.writes();
        let end = loop {
            match next {
                Ok(Some(response)) => {
                    if let Some(message) = message(response, writer, pulse)
                        && sink.feed(message).await.is_err()
                    {
                        return End::Gone;
                    }
                }
                Ok(None) => break Some(End::Over),
                Err(status) => break Some(End::Refused(status)),
            }
            match responses.message().now_or_never() {
                Some(more) => next = more,
                None => break None,
            }
        };
        if sink.flush().await.is_err() {
            return End::Gone;
        }
        pulse.has_written();
        if let Some(end) = end {
            return end;
        }
    }
}

fn message(response: ConverseResponse, writer: &mut Writer, pulse: &Pulse) -> Option<Message> {
    let bytes = match response.payload? {
        Payload::Audio(audio) => {
            count(&pulse.frames_out);
            writer.media(&audio)
        }
        Payload::Clear(_) => writer.clear(),
        Payload::Mark(mark) => writer.mark(&mark.name),
        // What was not asked for, and what says that all is well.
        Payload::Started(_) | Payload::Event(_) => return None,
    };
    let text = Utf8Bytes::try_from(bytes).expect("JSON that was written here is text");
    Some(Message::Text(text))
}

/// Notices when nothing goes on any more.
async fn watch(pulse: &Pulse, ending: &CancellationToken) -> End {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = ending.cancelled() => return End::Closed(GATEWAY_DRAINING),
            _ = seconds.tick() => {}
        }
        pulse.publish();
        if let Some(reason) = pulse.standstill() {
            return End::Closed(reason);
        }
    }
}

/// The next text message; `None` for one that the library has dealt with.
async fn next_text(source: &mut Source) -> Result<Option<Utf8Bytes>, End> {
    match source.next().await {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Binary(_))) => Err(End::Closed(BINARY_MESSAGE)),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

fn request(payload: converse_request::Payload) -> ConverseRequest {
    ConverseRequest { payload: Some(payload) }
}

impl Pulse {
    /// No write is under way.
    const NO_WRITE: u64 = u64::MAX;

    fn new() -> Self {
        Self {
            began: Instant::now(),
            heard_at: AtomicU64::default(),
            writing_since: AtomicU64::new(Self::NO_WRITE),
            frames_in: AtomicU64::default(),
            frames_out: AtomicU64::default(),
            frames_past: AtomicU64::default(),
            frames_dropped: AtomicU64::default(),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn heard(&self) {
        self.heard_at.store(self.now(), Ordering::Relaxed);
    }

    fn writes(&self) {
        self.writing_since.store(self.now(), Ordering::Relaxed);
    }

    fn has_written(&self) {
        self.writing_since.store(Self::NO_WRITE, Ordering::Relaxed);
    }

    /// Why nothing goes on any more, if that is so.
    fn standstill(&self) -> Option<CloseReason> {
        let is_past = |since: &AtomicU64, limit: Duration| {
            u128::from(self.now().saturating_sub(since.load(Ordering::Relaxed))) > limit.as_millis()
        };
        if is_past(&self.writing_since, STALL) {
            return Some(READER_STALLED);
        }
        is_past(&self.heard_at, IDLE).then_some(STREAM_IDLE)
    }

    /// Adds what was counted to the metrics: once a second, not at every frame.
    fn publish(&self) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        metrics::counter!("media_frames_total", "way" => "in").increment(take(&self.frames_in));
        metrics::counter!("media_frames_total", "way" => "out").increment(take(&self.frames_out));
        metrics::counter!("media_frames_left_out_total", "why" => "past").increment(take(&self.frames_past));
        metrics::counter!("media_frames_left_out_total", "why" => "relay_slow")
            .increment(take(&self.frames_dropped));
    }
}

fn count(frames: &AtomicU64) {
    frames.fetch_add(1, Ordering::Relaxed);
}
