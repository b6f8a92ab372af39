//! A gateway on a real port, between bare sockets and a relay that does what a test says.

mod media;
mod relay;
mod trouble;
mod webhooks;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};
use voice_server::{config::Env, media_token::MediaToken};

use self::relay::{Leg, Relay};
use super::*;

/// Generous: machines here are shared.
const LIMIT: Duration = Duration::from_secs(30);
const KEY: &str = "only-for-these-tests";
const SIGNING_KEY: &str = "signing-key";
const BASE_URL: &str = "https://voice.example.com";

/// A gateway that serves, and the relays that it knows.
struct Lab {
    address: SocketAddr,
    relay: Relay,
    shutdown: Option<oneshot::Sender<()>>,
    tasks: JoinSet<anyhow::Result<()>>,
    _clips: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[(&str, &str)]) -> Self {
        let relay = Relay::start().await;
        let clips = tempfile::tempdir().unwrap();
        let mut env: BTreeMap<String, String> = [
            ("GATEWAY_LISTEN_ADDR", "127.0.0.1:0"),
            ("PUBLIC_BASE_URL", BASE_URL),
            ("API_TOKENS", "an-api-token"),
            ("MESH_TOKEN", "between-services"),
            ("VOICE_SECRET_KEY", KEY),
            ("SIGNALWIRE_SIGNING_KEY", SIGNING_KEY),
            ("CLIP_STORE_URL", clips.path().to_str().unwrap()),
            ("RELAY_ADDRS", &relay.addr),
            ("DRAIN_SECONDS", "5"),
        ]
        .into_iter()
        .chain(more.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        env.retain(|_, value| !value.is_empty());
        let config = Config::from_env(Env::new(move |name| env.get(name).cloned())).unwrap();
        let gateway = Gateway::build(config).await.unwrap();
        let address = gateway.listener.local_addr().unwrap();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(gateway.serve(async move { drop(stopped.await) }));
        Self { address, relay, shutdown: Some(shutdown), tasks, _clips: clips }
    }

    fn token(&self) -> String {
        self.token_at(Timestamp::now())
    }

    fn token_at(&self, now: Timestamp) -> String {
        MediaToken::new("call-1", &self.relay.addr, now).sign(&KEY.into())
    }

    async fn open(&self) -> Phone {
        self.try_open(&format!("/media/{}", self.token()), None).await.unwrap()
    }

    async fn try_open(&self, path: &str, bearer: Option<&str>) -> Result<Phone, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(bearer) = bearer {
            let value = format!("Bearer {bearer}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Phone { socket })
    }

    /// A stream that has begun, and the relay's end of it.
    async fn begun(&mut self) -> (Phone, Leg) {
        let mut phone = self.open().await;
        phone.begin().await;
        (phone, self.relay.leg().await)
    }
}

/// A carrier's end of a media socket.
struct Phone {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Phone {
    /// The first two messages, as Twilio documents them.
    async fn begin(&mut self) {
        self.say(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        self.say(start("audio/x-mulaw", 8_000)).await;
    }

    async fn say(&mut self, message: Value) {
        self.text(&message.to_string()).await;
    }

    async fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn media(&mut self, chunk: u64, payload: &str) {
        let media =
            json!({ "track": "inbound", "chunk": chunk.to_string(), "timestamp": "5", "payload": payload });
        self.say(json!({ "event": "media", "sequenceNumber": "3", "media": media, "streamSid": "MZ1" }))
            .await;
    }

    /// The next message.
    async fn heard(&mut self) -> Value {
        match timeout(LIMIT, self.socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The close frame that comes next.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match timeout(LIMIT, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Text(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn start(encoding: &str, hertz: u32) -> Value {
    json!({ "event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": { "accountSid": "AC1",
        "streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"], "customParameters": { "from": "+15551", "to": "+15552" },
        "mediaFormat": { "encoding": encoding, "sampleRate": hertz, "channels": 1 } } })
}
