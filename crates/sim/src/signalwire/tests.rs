//! The simulator on real sockets: a bare RELAY client, a bare media server and a bare web server.

mod streams;

use std::time::Duration;

use clap::Parser;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::{Args, Simulator};

/// Generous: machines here are shared.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A simulator, and a client that has said who it is.
struct Lab {
    simulator: Simulator,
    relay: WebSocketStream<MaybeTlsStream<TcpStream>>,
    http: reqwest::Client,
    requests: u64,
}

impl Lab {
    async fn start(args: &[&str]) -> Self {
        let line = Line::parse_from(std::iter::once(&"sim").chain(args));
        let simulator = Simulator::start(line.args).await.unwrap();
        let (relay, _) = connect_async(&simulator.addresses().relay_url).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut lab = Self { simulator, relay, http, requests: 0 };
        let connect = json!({ "version": { "major": 2, "minor": 0, "revision": 0 }, "event_acks": true,
            "authentication": { "project": "sim-project", "token": "sim-token" }, "contexts": ["lab"] });
        lab.request("signalwire.connect", connect).await;
        lab
    }

    /// An answered call; gives its id.
    async fn answered(&mut self) -> String {
        let ring = json!({ "from": "+1", "to": "+2", "context": "lab" });
        let call_id = self.post("/sim/calls", ring).await["call_id"].as_str().unwrap().to_owned();
        self.event("calling.call.receive").await;
        self.command(&call_id, "calling.answer", json!({})).await;
        call_id
    }

    async fn command(&mut self, call_id: &str, method: &str, mut params: Value) -> Value {
        params["call_id"] = json!(call_id);
        params["node_id"] = json!(super::call::NODE_ID);
        self.request(method, params).await
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        let frame = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.relay.send(Message::text(frame.to_string())).await.unwrap();
        self.frame(|frame| frame["id"] == id.as_str()).await["result"].clone()
    }

    /// The next event of that type.
    async fn event(&mut self, event_type: &str) -> Value {
        let frame = self.frame(|frame| frame["params"]["event_type"] == event_type).await;
        frame["params"]["params"].clone()
    }

    async fn frame(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let Message::Text(text) = self.relay.next().await.unwrap().unwrap() else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["method"] == "signalwire.event" {
                    let ack = json!({ "jsonrpc": "2.0", "id": frame["id"], "result": {} });
                    self.relay.send(Message::text(ack.to_string())).await.unwrap();
                }
                if wanted(&frame) {
                    return frame;
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.expect("the frame comes in time")
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(self.http.post(self.url(path)).json(&body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        self.send(self.http.put(self.url(path)).json(&body)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.send(self.http.get(self.url(path))).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
        response.json().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.addresses().http_url)
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}
