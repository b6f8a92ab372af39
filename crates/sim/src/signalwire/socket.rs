//! One WebSocket from accept to close: reads frames, writes frames, pings, and watches for missing acks.

use std::{sync::Arc, time::Duration};

use futures::{SinkExt as _, StreamExt as _, stream::SplitSink, stream::SplitStream};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Instant, interval, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::{
    hub::{Frame, Outgoing, Socket, Unacked},
    platform::Platform,
    requests, wire,
};

/// Time for the upgrade.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An event without an ack for this long is a violation, and so is a ping without an answer.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// JS reconnects after 15 s without a ping once it has seen one.
const PING_SECONDS: u64 = 10;
/// After `signalwire.disconnect` the socket is closed even without an answer.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// What real clients accept as well.
const LARGEST_FRAME: usize = 10 * 1024 * 1024;

/// Serves a connection until either side is done with it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(platform: Arc<Platform>, stream: S) {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(LARGEST_FRAME))
        .max_frame_size(Some(LARGEST_FRAME));
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, accept_async_with_config(stream, Some(config))).await
    else {
        tracing::debug!("a connection was no WebSocket");
        return;
    };
    let (sink, source) = stream.split();
    let (socket, outgoing) = platform.hub.open();
    platform.note("socket_opened", json!({ "socket": socket.id }));
    tokio::select! {
        () = socket.gone.cancelled() => {}
        () = platform.stop.cancelled() => {}
        () = write_frames(&platform, &socket, outgoing, sink) => {}
        () = read_frames(&platform, &socket, source) => {}
        () = keep_alive(&platform, &socket) => {}
    }
    platform.hub.close(socket.id);
    platform.note("socket_closed", json!({ "socket": socket.id, "dropped": socket.gone.is_cancelled() }));
}

async fn write_frames<S: AsyncRead + AsyncWrite + Unpin>(
    platform: &Platform,
    socket: &Socket,
    mut outgoing: mpsc::Receiver<Outgoing>,
    mut sink: SplitSink<WebSocketStream<S>, Message>,
) {
    while let Some(Outgoing::Frame(frame)) = outgoing.recv().await {
        let Frame { text, not_before, ack, event } = frame;
        if let Some(not_before) = not_before {
            sleep_until(not_before).await;
        }
        if let Some(fields) = event {
            platform.note("event_sent", fields);
        }
        if let Some((id, what)) = ack {
            socket.unacked().insert(id, Unacked { what, since: Instant::now() });
        }
        if sink.send(Message::text(text)).await.is_err() {
            return;
        }
    }
    // The peer may be gone already; then there is nobody to say goodbye to.
    let _ = timeout(LEAVE_TIMEOUT, sink.close()).await;
}

async fn read_frames<S: AsyncRead + AsyncWrite + Unpin>(
    platform: &Arc<Platform>,
    socket: &Arc<Socket>,
    mut source: SplitStream<WebSocketStream<S>>,
) {
    while let Some(Ok(message)) = source.next().await {
        match message {
            Message::Text(text) => requests::take_frame(platform, socket, &text),
            Message::Binary(_) => {
                platform.violate(None, "a binary frame");
                socket.send_json(&wire::error(None, -32_600, "frames are text"));
            }
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn keep_alive(platform: &Platform, socket: &Socket) {
    let mut seconds = interval(Duration::from_secs(1));
    for second in 0_u64.. {
        seconds.tick().await;
        for what in take_overdue(socket) {
            platform.violate(None, &format!("no ack of {what} within 5 s"));
        }
        let left =
            socket.state().disconnect.as_ref().is_some_and(|(_, since)| since.elapsed() >= LEAVE_TIMEOUT);
        if left {
            socket.send(Outgoing::Close);
        }
        if second > 0 && second % PING_SECONDS == 0 && socket.state().session.is_some() {
            let id = uuid::Uuid::new_v4().to_string();
            let ping =
                wire::request(&id, "signalwire.ping", json!({ "timestamp": platform.clock.now().unix }));
            let ack = Some((id, "signalwire.ping".to_owned()));
            socket.send(Outgoing::Frame(Frame { text: ping.to_string(), ack, ..Frame::default() }));
        }
    }
}

fn take_overdue(socket: &Socket) -> Vec<String> {
    let mut unacked = socket.unacked();
    let overdue: Vec<String> = unacked
        .iter()
        .filter(|(_, event)| event.since.elapsed() >= ACK_TIMEOUT)
        .map(|(id, _)| id.clone())
        .collect();
    overdue.iter().filter_map(|id| unacked.remove(id)).map(|event| event.what).collect()
}
