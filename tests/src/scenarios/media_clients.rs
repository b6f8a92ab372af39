//! Clients of the media WebSocket that are not ours: messages as Twilio's documentation and samples send them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::interval};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use voice_audio::{TELEPHONE_HERTZ, mulaw, resample::resample, wav};
use voice_server::media_token::MediaToken;

use super::*;
use crate::speech::spoken;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A carrier's end of one stream: everything it sends is as Twilio writes it, and so is all that it expects.
struct Carrier {
    socket: Socket,
    sequence: u64,
    chunk: u64,
    /// What it was sent to play, mu-law.
    played: Vec<u8>,
    marks: usize,
    clears: usize,
}

fn token(mesh: &Mesh, call_id: &str, now: Timestamp) -> String {
    let key = mesh.env("VOICE_SECRET_KEY").into();
    MediaToken::new(call_id, &mesh.address("relay"), now).sign(&key)
}

async fn open(mesh: &Mesh, token: &str) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
    let url = format!("{}/media/{token}", mesh.address("gateway").replacen("http", "ws", 1));
    connect_async(url).await.map(|(socket, _)| socket)
}

/// The code that a socket is closed with.
async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match tokio::time::timeout(LIMIT, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("no close frame, but {other:?}"),
        }
    }
}

impl Carrier {
    async fn begin(mut socket: Socket) -> Self {
        let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
        socket.send(Message::text(connected.to_string())).await.unwrap();
        let mut carrier = Self { socket, sequence: 0, chunk: 0, played: Vec::new(), marks: 0, clears: 0 };
        let start = json!({ "accountSid": "AC0123", "streamSid": "MZ0123", "callSid": "CA0123", "tracks": ["inbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": { "from": "+15551110000" } });
        carrier.say("start", start).await;
        carrier
    }

    async fn say(&mut self, event: &str, body: Value) {
        self.sequence += 1;
        let message = json!({ "event": event, "sequenceNumber": self.sequence.to_string(), event: body,
            "streamSid": "MZ0123" });
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Sends sound in real time, and then silence, until `is_done`; plays what comes in the meantime.
    async fn talk(&mut self, sound: &[u8], mut is_done: impl FnMut(&Self) -> bool) {
        let mut frames = sound.chunks(160);
        let mut ticks = interval(Duration::from_millis(20));
        let talk = async {
            while !is_done(self) {
                tokio::select! {
                    _ = ticks.tick() => {
                        let mut frame = frames.next().unwrap_or_default().to_vec();
                        frame.resize(160, mulaw::SILENCE);
                        self.chunk += 1;
                        let media = json!({ "track": "inbound", "chunk": self.chunk.to_string(),
                            "timestamp": ((self.chunk - 1) * 20).to_string(), "payload": STANDARD.encode(frame) });
                        self.say("media", media).await;
                    }
                    message = self.socket.next() => self.take(message.unwrap().unwrap()).await,
                }
            }
        };
        tokio::time::timeout(LIMIT, talk).await.expect("it happens in time");
    }

    async fn take(&mut self, message: Message) {
        let Message::Text(text) = message else { panic!("{message:?}") };
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["streamSid"], "MZ0123", "{message}");
        match message["event"].as_str().unwrap() {
            "media" => {
                let payload = message["media"]["payload"].as_str().unwrap();
                self.played.extend(STANDARD.decode(payload).unwrap());
            }
            "mark" => {
                self.marks += 1;
                self.say("mark", message["mark"].clone()).await;
            }
            "clear" => self.clears += 1,
            other => panic!("{other}"),
        }
    }

    fn has_heard_sound(&self) -> bool {
        mulaw::decode(&self.played).iter().any(|sample| sample.abs() > 0.05)
    }
}

async fn question() -> Vec<u8> {
    let audio = wav::read(&spoken(QUESTION).await.unwrap()).unwrap();
    mulaw::encode(&resample(&audio.samples, audio.sample_rate_hertz, TELEPHONE_HERTZ))
}

#[tokio::test]
async fn an_unmodified_twilio_client_holds_a_conversation() {
    let mesh = mesh(Options::default().with("CALL_AUDIO", "stream")).await;
    let socket = open(&mesh, &token(&mesh, "twilio-1", Timestamp::now())).await.unwrap();
    let mut carrier = Carrier::begin(socket).await;
    carrier.talk(&[], |carrier| carrier.marks >= 1 && carrier.has_heard_sound()).await;
    carrier.played.clear();
    let marks = carrier.marks;
    let mut watch = mesh.watch("twilio-1").await.unwrap();
    let question = question().await;
    tokio::select! {
        // A mark may be that of a filler: the reply is over when the call says so.
        replied = watch.until(LIMIT, finished(PlaybackKind::Reply)) => replied.unwrap(),
        () = carrier.talk(&question, |_| false) => unreachable!("it talks on"),
    }
    carrier.talk(&[], |carrier| carrier.marks > marks && carrier.has_heard_sound()).await;
    carrier.say("stop", json!({ "accountSid": "AC0123", "callSid": "CA0123" })).await;
    watch.to_end(LIMIT).await.unwrap();
    assert!(replies(&watch).concat().starts_with("We are open"), "{:?}", replies(&watch));
    assert_eq!(close_code(&mut carrier.socket).await, 1000);
}

#[tokio::test]
async fn a_token_that_is_forged_expired_or_used_lets_nobody_in() {
    let mesh = mesh(Options::default().with("CALL_AUDIO", "stream")).await;
    let now = Timestamp::now();
    let forged = MediaToken::new("a", &mesh.address("relay"), now).sign(&"some-other-key-of-it".into());
    for refused in [forged, token(&mesh, "b", now - Duration::from_secs(61)), "junk".to_owned()] {
        assert!(open(&mesh, &refused).await.is_err(), "{refused}");
    }
    let once = token(&mesh, "c", now);
    let _first = Carrier::begin(open(&mesh, &once).await.unwrap()).await;
    mesh.newest_call().await.unwrap();
    let mut second = Carrier::begin(open(&mesh, &once).await.unwrap()).await;
    assert_eq!(close_code(&mut second.socket).await, 4403);
}
