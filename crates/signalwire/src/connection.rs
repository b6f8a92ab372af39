//! The connection: made, kept alive, made again.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures::{SinkExt as _, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};
use uuid::Uuid;

use crate::{
    Client, Error, Event,
    client::Request,
    event,
    frame::{self, Inbound},
};

const AGENT: &str = concat!("voicemesh/", env!("CARGO_PKG_VERSION"));

/// Commands that wait for the connection; one more is refused.
const REQUEST_QUEUE: usize = 1_024;

/// Events that wait for the relay, which takes them without waiting for any call.
const EVENT_QUEUE: usize = 4_096;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Without a single frame for this long, pings included, the connection is half open.
const SILENCE_LIMIT: Duration = Duration::from_secs(25);

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// A transport fault is retried for ever; refused credentials are not.
const AUTH_ATTEMPTS: u32 = 3;

/// Event ids that are remembered to drop duplicates.
const REMEMBERED: usize = 1_024;

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Config {
    url: String,
    project: String,
    token: SecretString,
    contexts: Vec<String>,
    session: SessionState,
}

/// What resumes a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    /// The session's name.
    pub protocol: Option<String>,
    /// The newest opaque state.
    pub authorization_state: Option<String>,
}

/// Runs the connection until every client and the event receiver are gone.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
    seen: VecDeque<String>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Pending = HashMap<String, oneshot::Sender<Result<Value, Error>>>;

/// How one connection came to its end.
enum Over {
    /// It broke, or the platform closes it: connect again.
    Lost,
    /// Nobody uses it any more.
    Unused,
}

/// Makes a client and the connection that it needs to have run.
pub fn connect(config: Config) -> (Client, mpsc::Receiver<Event>, Connection) {
    let (request_sender, requests) = mpsc::channel(REQUEST_QUEUE);
    let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
    let connection = Connection { config, requests, events, seen: VecDeque::new() };
    (Client { requests: request_sender }, event_receiver, connection)
}

impl Config {
    /// Describes a connection; a host without a scheme means `wss://`.
    pub fn new(url: &str, project: &str, token: SecretString, contexts: Vec<String>) -> Self {
        let url = if url.contains("://") { url.to_owned() } else { format!("wss://{url}") };
        Self { url, project: project.to_owned(), token, contexts, session: SessionState::default() }
    }
}

impl Connection {
    /// Resumes an earlier session, also one of a process that is no more.
    #[must_use]
    pub fn resuming(mut self, session: SessionState) -> Self {
        self.config.session = session;
        self
    }

    /// Keeps the connection up.
    ///
    /// # Errors
    /// When the credentials are refused again and again.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut backoff = FIRST_BACKOFF;
        let mut refusals = 0;
        loop {
            match self.open().await {
                Ok(socket) => {
                    backoff = FIRST_BACKOFF;
                    refusals = 0;
                    match self.serve(socket).await {
                        Over::Unused => return Ok(()),
                        Over::Lost => tracing::warn!("connection to signalwire lost"),
                    }
                    if self.events.send(Event::Disconnected).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error @ Error::Unauthorized { .. }) => {
                    refusals += 1;
                    if refusals == AUTH_ATTEMPTS {
                        return Err(error);
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot connect to signalwire"),
            }
            if self.events.is_closed() {
                return Ok(());
            }
            // Full jitter over the upper half, so that many relays do not come back at the same instant.
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Connects and authenticates.
    async fn open(&mut self) -> Result<Socket, Error> {
        timeout(CONNECT_TIMEOUT, self.handshake()).await.map_err(|_| Error::Timeout(CONNECT_TIMEOUT))?
    }

    async fn handshake(&mut self) -> Result<Socket, Error> {
        let (mut socket, _) = tokio_tungstenite::connect_async_with_config(&self.config.url, None, true)
            .await
            .map_err(|error| {
                tracing::debug!(%error, "websocket handshake failed");
                Error::Disconnected
            })?;
        let id = Uuid::new_v4().to_string();
        write(&mut socket, frame::request(&id, "signalwire.connect", &self.connect_params())).await?;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            match frame::parse(&text) {
                Some(Inbound::Response { id: answered, result }) if answered == id => {
                    self.connected(&result?).await?;
                    return Ok(socket);
                }
                Some(Inbound::Response { .. } | Inbound::Request { .. }) | None => {}
            }
        }
        Err(Error::Disconnected)
    }

    fn connect_params(&self) -> Value {
        let mut params = json!({
            "version": { "major": 2, "minor": 0, "revision": 0 },
            "agent": AGENT,
            "event_acks": true,
            "authentication": { "project": self.config.project, "token": self.config.token.expose_secret() },
            "contexts": self.config.contexts,
        });
        if let Some(protocol) = &self.config.session.protocol {
            params["protocol"] = protocol.clone().into();
        }
        if let Some(state) = &self.config.session.authorization_state {
            params["authorization_state"] = state.clone().into();
        }
        params
    }

    async fn connected(&mut self, result: &Value) -> Result<(), Error> {
        let restored = result.get("session_restored").and_then(Value::as_bool).unwrap_or(false);
        self.config.session.protocol = result.get("protocol").and_then(Value::as_str).map(str::to_owned);
        tracing::info!(restored, "connected to signalwire");
        self.emit(Event::SessionChanged(self.config.session.clone())).await?;
        self.emit(Event::Connected { restored }).await
    }

    async fn emit(&self, event: Event) -> Result<(), Error> {
        self.events.send(event).await.map_err(|_| Error::Stopped)
    }

    /// Carries frames both ways until the connection is over. Requests that are still open then have failed.
    async fn serve(&mut self, mut socket: Socket) -> Over {
        let mut pending = Pending::new();
        let over = self.carry(&mut socket, &mut pending).await;
        for (_, reply) in pending {
            let _ = reply.send(Err(Error::Disconnected));
        }
        let _ = timeout(Duration::from_millis(200), socket.close(None)).await;
        over
    }

    async fn carry(&mut self, socket: &mut Socket, pending: &mut Pending) -> Over {
        let mut ping = tokio::time::interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        let mut last_frame = Instant::now();
        // After signalwire.disconnect commands wait for the next connection.
        let mut is_closing = false;
        loop {
            tokio::select! {
                message = socket.next() => {
                    last_frame = Instant::now();
                    let text = match message {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Over::Lost,
                        Some(Ok(_)) => continue,
                    };
                    match self.take(socket, pending, &text).await {
                        Ok(Taken::Goes) => {}
                        Ok(Taken::Closing) => is_closing = true,
                        Err(Error::Stopped) => return Over::Unused,
                        Err(_) => return Over::Lost,
                    }
                }
                request = self.requests.recv(), if !is_closing => {
                    let Some(Request { method, params, reply }) = request else { return Over::Unused };
                    if reply.is_closed() {
                        continue;
                    }
                    let id = Uuid::new_v4().to_string();
                    let text = frame::request(&id, method, &params);
                    pending.insert(id, reply);
                    if write(socket, text).await.is_err() {
                        return Over::Lost;
                    }
                }
                _ = ping.tick() => {
                    if last_frame.elapsed() > SILENCE_LIMIT {
                        return Over::Lost;
                    }
                    pending.retain(|_, reply| !reply.is_closed());
                    let id = Uuid::new_v4().to_string();
                    if write(socket, frame::request(&id, "signalwire.ping", &json!({}))).await.is_err() {
                        return Over::Lost;
                    }
                }
            }
        }
    }

    async fn take(&mut self, socket: &mut Socket, pending: &mut Pending, text: &str) -> Result<Taken, Error> {
        match frame::parse(text) {
            None => tracing::warn!(bytes = text.len(), "a frame that is not json-rpc was ignored"),
            Some(Inbound::Response { id, result }) => {
                if let Some(reply) = pending.remove(&id) {
                    let _ = reply.send(result);
                }
            }
            Some(Inbound::Request { id, method, params }) => match method.as_str() {
                "signalwire.event" => {
                    // Acknowledged before anything is done with it.
                    write(socket, frame::response(&id, &json!({}))).await?;
                    self.take_event(&id, &params).await?;
                }
                "signalwire.ping" => {
                    let timestamp = params.get("timestamp").cloned().unwrap_or(Value::Null);
                    write(socket, frame::response(&id, &json!({ "timestamp": timestamp }))).await?;
                }
                "signalwire.disconnect" => {
                    write(socket, frame::response(&id, &json!({}))).await?;
                    if params.get("restart").and_then(Value::as_bool) == Some(true) {
                        self.config.session = SessionState::default();
                    }
                    return Ok(Taken::Closing);
                }
                other => {
                    tracing::debug!(method = other, "an unknown request was acknowledged");
                    write(socket, frame::response(&id, &json!({}))).await?;
                }
            },
        }
        Ok(Taken::Goes)
    }

    async fn take_event(&mut self, id: &Value, params: &Value) -> Result<(), Error> {
        if let Some(id) = frame::text_of(id) {
            if self.seen.contains(&id) {
                return Ok(());
            }
            self.seen.push_back(id);
            if self.seen.len() > REMEMBERED {
                self.seen.pop_front();
            }
        }
        if params.get("event_type").and_then(Value::as_str) == Some("signalwire.authorization.state") {
            let state = params
                .get("params")
                .and_then(|inner| inner.get("authorization_state"))
                .and_then(Value::as_str);
            self.config.session.authorization_state = state.map(str::to_owned);
            return self.emit(Event::SessionChanged(self.config.session.clone())).await;
        }
        match event::parse(params) {
            Some(event) => self.emit(event).await,
            None => Ok(()),
        }
    }
}

/// What became of a frame.
enum Taken {
    Goes,
    Closing,
}

async fn write(socket: &mut Socket, text: String) -> Result<(), Error> {
    match timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Error::Disconnected),
    }
}
