//! Media sockets: opened as the platform opens them, with what the call says written on time, and what comes back
//! handed to the call.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use futures::{SinkExt as _, StreamExt as _};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, interval, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest as _,
        http::HeaderValue,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    call::{Call, Message, OpenSocket, ToSocket},
    line::{Line, settle},
    platform::Platform,
};

/// Time for the upgrade.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that may wait for a slow reader before he is cut off: ten seconds.
const WAITING: usize = 512;
/// A write that takes longer has no reader.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the other side to close as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a stalled reader looks whether it still is one.
const LOOK: Duration = Duration::from_millis(20);
/// Largest message that is taken: ten seconds of the widest codec.
const LARGEST: usize = 1024 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The line's end of a media socket.
#[derive(Clone, Debug)]
pub(crate) struct SocketHandle {
    to: mpsc::Sender<ToSocket>,
    /// Cancelled = it is torn down without a word.
    pub(crate) gone: CancellationToken,
}

impl SocketHandle {
    /// Passes something on; who reads too slowly is cut off.
    pub(crate) fn send(&self, to_socket: ToSocket) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.to.try_send(to_socket) {
            self.gone.cancel();
        }
    }
}

/// Begins to open a socket.
pub(crate) fn open(platform: &Arc<Platform>, line: &Arc<Line>, request: OpenSocket) {
    let (to, from_call) = mpsc::channel(WAITING);
    let gone = CancellationToken::new();
    line.sockets().insert(request.stream_id.clone(), SocketHandle { to, gone: gone.clone() });
    platform.tasks.spawn(serve(Arc::clone(platform), Arc::clone(line), request, from_call, gone));
}

async fn serve(
    platform: Arc<Platform>,
    line: Arc<Line>,
    request: OpenSocket,
    from_call: mpsc::Receiver<ToSocket>,
    gone: CancellationToken,
) {
    let id = request.stream_id.clone();
    let opened = tokio::select! {
        () = platform.stop.cancelled() => return,
        () = gone.cancelled() => Err("dropped".to_owned()),
        opened = connect(&platform, &request) => opened,
    };
    let socket = match opened {
        Ok(socket) => {
            settled(&platform, &line).stream_opened(&id, Ok(()), &platform.world());
            socket
        }
        Err(why) => {
            line.sockets().remove(&id);
            return settled(&platform, &line).stream_opened(&id, Err(why), &platform.world());
        }
    };
    let why = tokio::select! {
        () = platform.stop.cancelled() => "the simulator stops".to_owned(),
        () = gone.cancelled() => "dropped".to_owned(),
        why = carry(&platform, &line, &id, socket, from_call) => why,
    };
    line.sockets().remove(&id);
    settled(&platform, &line).stream_closed(&id, &why, &platform.world());
}

/// A call that is settled when it is let go of.
struct Settled<'a> {
    platform: &'a Arc<Platform>,
    line: &'a Arc<Line>,
    call: MutexGuard<'a, Call>,
}

fn settled<'a>(platform: &'a Arc<Platform>, line: &'a Arc<Line>) -> Settled<'a> {
    Settled { platform, line, call: line.call() }
}

impl std::ops::Deref for Settled<'_> {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl std::ops::DerefMut for Settled<'_> {
    fn deref_mut(&mut self) -> &mut Call {
        &mut self.call
    }
}

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        settle(self.platform, self.line, &mut self.call);
    }
}

/// Opens a socket; the error is the platform's word for what went wrong.
async fn connect(platform: &Platform, request: &OpenSocket) -> Result<Socket, String> {
    if let Some(why) = platform.faults.streams().open_fails {
        return Err(why);
    }
    let mut upgrade = request.url.as_str().into_client_request().map_err(|_| "invalid_url")?;
    if let Some(bearer) = &request.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {bearer}")).map_err(|_| "general_error")?;
        upgrade.headers_mut().insert("authorization", value);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    match timeout(OPEN_TIMEOUT, connect_async_with_config(upgrade, Some(config), true)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => {
            Err(format!("connection_refused: HTTP status {}", response.status().as_u16()))
        }
        Ok(Err(tungstenite::Error::Io(_))) => Err("connection_refused".into()),
        Ok(Err(_)) => Err("general_error".into()),
        Err(_) => Err("connection_refused_timeout_or_ssl_error".into()),
    }
}

/// Carries messages both ways until either side is done; gives why.
async fn carry(
    platform: &Arc<Platform>,
    line: &Arc<Line>,
    id: &str,
    socket: Socket,
    mut from_call: mpsc::Receiver<ToSocket>,
) -> String {
    let (mut sink, mut source) = socket.split();
    let mut due = Due::default();
    let mut looks = interval(LOOK);
    let mut is_stalled = platform.faults.streams().reader_stalls;
    loop {
        let message = tokio::select! {
            to_socket = from_call.recv() => match to_socket {
                Some(ToSocket::Message { message, delay_ms }) => {
                    due.add(message, delay_ms);
                    due.take(Instant::now())
                }
                Some(ToSocket::Close) | None => break,
            },
            message = due.next() => Some(message),
            said = source.next(), if !is_stalled => {
                match said {
                    Some(Ok(tungstenite::Message::Text(text))) => {
                        let message = Message::Text(text.as_str().to_owned());
                        settled(platform, line).stream_said(id, &message, platform.clock.now());
                    }
                    Some(Ok(tungstenite::Message::Binary(bytes))) => {
                        let message = Message::Binary(bytes.to_vec());
                        settled(platform, line).stream_said(id, &message, platform.clock.now());
                    }
                    Some(Ok(tungstenite::Message::Close(frame))) => {
                        // The library answers a close by itself, once it is asked to write again.
                        let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
                        return closed_with(frame.as_ref());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return "the connection broke".to_owned(),
                }
                None
            }
            _ = looks.tick() => {
                is_stalled = platform.faults.streams().reader_stalls;
                None
            }
        };
        if let Some(message) = message
            && !matches!(timeout(WRITE_TIMEOUT, sink.send(message)).await, Ok(Ok(())))
        {
            return "the connection cannot be written to".to_owned();
        }
    }
    let goodbye = async {
        for message in due.waiting.into_values() {
            sink.feed(message).await?;
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        sink.send(tungstenite::Message::Close(Some(frame))).await?;
        while source.next().await.is_some_and(|said| said.is_ok()) {}
        Ok::<_, tungstenite::Error>(())
    };
    // The other side may be gone already; then there is nobody to say goodbye to.
    let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
    "stop".to_owned()
}

fn closed_with(frame: Option<&CloseFrame>) -> String {
    frame.map_or_else(|| "closed".to_owned(), |frame| format!("{} {}", u16::from(frame.code), frame.reason))
}

/// Messages by the moment at which they go out.
#[derive(Debug, Default)]
struct Due {
    waiting: BTreeMap<(Instant, u64), tungstenite::Message>,
    count: u64,
}

impl Due {
    fn add(&mut self, message: Message, delay_ms: f64) {
        let message = match message {
            Message::Text(text) => tungstenite::Message::text(text),
            Message::Binary(bytes) => tungstenite::Message::binary(bytes),
        };
        self.count += 1;
        let at = Instant::now() + Duration::from_secs_f64(delay_ms / 1e3);
        self.waiting.insert((at, self.count), message);
    }

    fn take(&mut self, now: Instant) -> Option<tungstenite::Message> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// The next one, when its moment has come; never if there is none.
    async fn next(&mut self) -> tungstenite::Message {
        let Some(((at, _), _)) = self.waiting.first_key_value() else { return std::future::pending().await };
        sleep_until(*at).await;
        let (_, message) = self.waiting.pop_first().expect("it was there, and nobody else takes any");
        message
    }
}
