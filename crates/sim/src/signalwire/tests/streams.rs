//! Media sockets, as whoever listens at their address sees them.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Form, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::handshake::server::{Request, Response},
};

use super::*;

/// The listening side of a media socket.
struct Media {
    socket: WebSocketStream<TcpStream>,
    path: String,
    authorization: Option<String>,
    stream_id: String,
}

impl Media {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = tokio::time::timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut seen = (String::new(), None);
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let look = |request: &Request, response: Response| {
            let authorization = request.headers().get("authorization");
            let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
            seen = (request.uri().path().to_owned(), authorization);
            Ok(response)
        };
        let socket = accept_hdr_async(stream, look).await.unwrap();
        let (path, authorization) = seen;
        Self { socket, path, authorization, stream_id: String::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        match tokio::time::timeout(LIMIT, self.socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["event"] == "start" {
                    message["start"]["streamSid"].as_str().unwrap().clone_into(&mut self.stream_id);
                }
                Some(message)
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => None,
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }

    async fn until(&mut self, event: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("the socket closes before {event}"));
            if message["event"] == event {
                return message;
            }
        }
    }

    async fn say(&mut self, mut message: Value) {
        message["streamSid"] = json!(self.stream_id);
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn media(&mut self, bytes: usize) {
        let payload = STANDARD.encode(vec![0x20; bytes]);
        self.say(json!({ "event": "media", "media": { "payload": payload } })).await;
    }
}

async fn connected(lab: &mut Lab, extra: Value) -> (String, Media) {
    let (listener, address) = listener().await;
    let call_id = lab.answered().await;
    let mut params = json!({ "url": format!("ws://{address}/media/token") });
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let connect = json!({ "devices": [[{ "type": "stream", "params": params }]] });
    lab.command(&call_id, "calling.connect", connect).await;
    let media = Media::accept(&listener).await;
    (call_id, media)
}

#[tokio::test]
async fn a_call_is_connected_to_a_socket_that_hears_it_speaks_and_closes() {
    for dialect in ["signalwire", "twilio"] {
        let mut lab = Lab::start(&["--stream-dialect", dialect]).await;
        let (call_id, mut media) =
            connected(&mut lab, json!({ "authorization_bearer_token": "secret" })).await;
        assert_eq!(
            (media.path.as_str(), media.authorization.as_deref()),
            ("/media/token", Some("Bearer secret"))
        );
        assert_eq!(media.next().await.unwrap()["event"], "connected");
        let start = media.next().await.unwrap();
        assert_eq!(start["streamSid"].is_string(), dialect == "twilio");
        assert_eq!(lab.event("calling.call.connect").await["connect_state"], "connecting");
        assert_eq!(lab.event("calling.call.connect").await["connect_state"], "connected");
        media.until("media").await;
        media.media(800).await;
        media.say(json!({ "event": "mark", "mark": { "name": "end" } })).await;
        assert_eq!(media.until("mark").await["mark"]["name"], "end");
        lab.post(&format!("/sim/calls/{call_id}/digits"), json!({ "digits": "7" })).await;
        assert_eq!(media.until("dtmf").await["dtmf"]["digit"], "7");
        media.media(80_000).await;
        media.say(json!({ "event": "mark", "mark": { "name": "never heard" } })).await;
        media.say(json!({ "event": "clear" })).await;
        media.until("mark").await;
        let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: 4_503.into(),
            reason: "AWAY".into(),
        };
        media.socket.close(Some(close)).await.unwrap();
        assert_eq!(lab.event("calling.call.connect").await["connect_state"], "disconnected");
        let view = lab.get(&format!("/sim/calls/{call_id}")).await;
        let log = &view["streams"][0];
        assert_eq!((&log["closed_by"], &log["underruns"]), (&json!("4503 AWAY"), &json!(0)));
        assert!(log["played_ms"].as_f64().unwrap() < 10_000.0, "{log}");
        assert_eq!(view["violations"], json!([]));
        lab.simulator.stop().await;
    }
}

#[tokio::test]
async fn a_stalled_reader_reads_nothing_until_it_is_let_go() {
    let mut lab = Lab::start(&[]).await;
    let (call_id, mut media) = connected(&mut lab, json!({})).await;
    media.until("start").await;
    lab.put("/sim/faults", json!({ "streams": { "reader_stalls": true } })).await;
    // Once a frame has been written after the switch, the switch has been looked at; many may have been before.
    for _ in 0..50 {
        media.until("media").await;
    }
    media.say(json!({ "event": "mark", "mark": { "name": "m" } })).await;
    for _ in 0..10 {
        assert_ne!(media.next().await.unwrap()["event"], "mark");
    }
    lab.put("/sim/faults", json!({})).await;
    media.until("mark").await;
    lab.post(&format!("/sim/calls/{call_id}/drop_streams"), json!({})).await;
    while media.next().await.is_some() {}
    lab.event("calling.call.connect").await;
    lab.simulator.stop().await;
}

#[tokio::test]
async fn late_frames_are_overtaken_and_nothing_else_changes_its_place() {
    let mut lab = Lab::start(&[]).await;
    let late = json!({ "streams": { "late_percent": 20, "late_ms": 70, "jitter_ms": 15 } });
    lab.put("/sim/faults", late).await;
    let (_, mut media) = connected(&mut lab, json!({})).await;
    let mut chunks = Vec::new();
    while chunks.len() < 60 {
        let message = media.until("media").await;
        chunks.push(message["media"]["chunk"].as_str().unwrap().parse::<u64>().unwrap());
    }
    let overtaken = chunks.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((2..30).contains(&overtaken), "{chunks:?}");
    let mut seen = chunks.clone();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), chunks.len(), "none twice");
    lab.simulator.stop().await;
}

#[tokio::test]
async fn documents_conduct_a_call_through_signed_webhooks() {
    let lab = Lab::start(&[]).await;
    let (media_listener, media_address) = listener().await;
    let (web_listener, web_address) = listener().await;
    let posted: Arc<Mutex<Vec<Vec<(String, String)>>>> = Arc::default();
    let (seen, url) = (Arc::clone(&posted), format!("http://{web_address}"));
    let voice = move |headers: axum::http::HeaderMap, Form(form): Form<Vec<(String, String)>>| async move {
        assert_eq!(headers["x-signalwire-signature"].len(), 28);
        let mut seen = seen.lock().unwrap();
        seen.push(form);
        if seen.len() == 1 {
            format!(
                "<Response><Connect><Stream url=\"ws://{media_address}/m\" statusCallback=\"{url}/status\">\
                 <Parameter name=\"to\" value=\"+2\"/></Stream></Connect><Redirect>{url}/voice?again=1</Redirect></Response>"
            )
        } else {
            "<Response><Hangup/></Response>".to_owned()
        }
    };
    let (status, mut statuses) = tokio::sync::mpsc::channel::<String>(8);
    let told = move |Form(form): Form<Vec<(String, String)>>| async move {
        let event = form.into_iter().find(|(name, _)| name == "StreamEvent").unwrap().1;
        status.send(event).await.unwrap();
    };
    let router = Router::new().route("/voice", post(voice)).route("/status", post(told));
    let mut web = tokio::task::JoinSet::new();
    web.spawn(async move { axum::serve(web_listener, router).await.unwrap() });
    let ring = json!({ "from": "+1", "to": "+2", "voice_url": format!("http://{web_address}/voice") });
    let call_id = lab.post("/sim/calls", ring).await["call_id"].as_str().unwrap().to_owned();
    let mut media = Media::accept(&media_listener).await;
    let start = media.until("start").await;
    assert_eq!(start["start"]["customParameters"], json!({ "to": "+2" }));
    assert_eq!(start["start"]["callSid"], call_id.as_str());
    drop(media);
    assert_eq!(statuses.recv().await.as_deref(), Some("stream-started"));
    assert_eq!(statuses.recv().await.as_deref(), Some("stream-stopped"));
    let ended = async {
        while lab.get(&format!("/sim/calls/{call_id}")).await["state"] != "ended" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, ended).await.unwrap();
    let posted = posted.lock().unwrap().clone();
    let status =
        |form: &[(String, String)]| form.iter().find(|(name, _)| name == "CallStatus").unwrap().1.clone();
    assert_eq!(posted.iter().map(|form| status(form)).collect::<Vec<_>>(), ["ringing", "in-progress"]);
    lab.simulator.stop().await;
}
