//! The telephone: drives `voice-sim signalwire` as callers and looks at what it saw.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::speech::spoken;

/// The simulator's control API.
#[derive(Clone, Debug)]
pub struct Phone {
    http: reqwest::Client,
    base: String,
}

/// One call, from the caller's side.
#[derive(Clone, Debug)]
pub struct Caller {
    phone: Phone,
    /// The platform's id of the call.
    pub leg_id: String,
}

impl Phone {
    /// Uses the simulator at `base`.
    pub fn new(base: String) -> Self {
        Self { http: loopback_client(), base }
    }

    /// Somebody rings.
    pub async fn ring(&self, context: &str) -> anyhow::Result<Caller> {
        self.ring_from("+15551110000", "+15552220000", context).await
    }

    /// Somebody rings, from and to these numbers.
    pub async fn ring_from(&self, from: &str, to: &str, context: &str) -> anyhow::Result<Caller> {
        self.call(json!({ "from": from, "to": to, "context": context })).await
    }

    /// Somebody rings where documents conduct calls, the first of which is at this address.
    pub async fn ring_document(&self, voice_url: &str) -> anyhow::Result<Caller> {
        self.call(json!({ "from": "+15551110000", "to": "+15552220000", "voice_url": voice_url })).await
    }

    async fn call(&self, body: Value) -> anyhow::Result<Caller> {
        let answer = self.post("/sim/calls", &body).await?;
        let leg_id = answer["call_id"].as_str().context("the simulator gave no call_id")?.to_owned();
        Ok(Caller { phone: self.clone(), leg_id })
    }

    /// Sets what becomes of calls to numbers; see the simulator's own documentation.
    pub async fn telephones(&self, telephones: Value) -> anyhow::Result<()> {
        self.put("/sim/telephones", &telephones).await.map(drop)
    }

    /// Every call that was placed to this number, from its owner's side.
    pub async fn called(&self, number: &str) -> anyhow::Result<Vec<Caller>> {
        let calls = self.get("/sim/calls").await?;
        let calls = calls["calls"].as_array().context("no calls")?.iter();
        let legs = calls.filter(|call| call["to"] == number && call["direction"] == "outbound");
        Ok(legs
            .filter_map(|call| call["call_id"].as_str())
            .map(|leg_id| Caller { phone: self.clone(), leg_id: leg_id.to_owned() })
            .collect())
    }

    /// Sets what goes wrong from now on; see the simulator's own documentation.
    pub async fn faults(&self, faults: Value) -> anyhow::Result<()> {
        self.put("/sim/faults", &faults).await.map(drop)
    }

    /// Sets readings of the platform's unresolved behaviour.
    pub async fn switches(&self, switches: Value) -> anyhow::Result<()> {
        self.put("/sim/switches", &switches).await.map(drop)
    }

    /// Drops every socket.
    pub async fn drop_sockets(&self) -> anyhow::Result<()> {
        self.post("/sim/drop", &json!({})).await.map(drop)
    }

    /// Announces a planned disconnection.
    pub async fn disconnect(&self, restart: bool) -> anyhow::Result<()> {
        self.post("/sim/disconnect", &json!({ "restart": restart })).await.map(drop)
    }

    /// Sends a text frame to every client.
    pub async fn inject(&self, text: &str) -> anyhow::Result<()> {
        self.post("/sim/inject", &json!({ "text": text })).await.map(drop)
    }

    /// Counters, and what broke the protocol.
    pub async fn stats(&self) -> anyhow::Result<Value> {
        self.get("/sim/stats").await
    }

    /// What broke the protocol.
    pub async fn violations(&self) -> anyhow::Result<Vec<Value>> {
        Ok(self.stats().await?["violations"].as_array().cloned().unwrap_or_default())
    }

    /// Everything that happened until now.
    pub async fn events(&self) -> anyhow::Result<Vec<Value>> {
        let text = self.http.get(self.url("/sim/events?follow=false")).send().await?.text().await?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Waits until something has happened that `wanted` accepts.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut response = self.http.get(self.url("/sim/events")).send().await?;
        let search = async {
            let mut buffer = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                buffer.extend_from_slice(&chunk);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let event: Value = serde_json::from_slice(&line)?;
                    if wanted(&event) {
                        return Ok(event);
                    }
                }
            }
            bail!("the simulator's events ended")
        };
        tokio::time::timeout(limit, search)
            .await
            .with_context(|| format!("it did not happen within {limit:?}"))?
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        json_of(self.http.get(self.url(path)).send().await?).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        json_of(self.http.post(self.url(path)).json(body).send().await?).await
    }

    async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        json_of(self.http.put(self.url(path)).json(body).send().await?).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Caller {
    /// Says a sentence; gives how long it takes.
    pub async fn say(&self, text: &str) -> anyhow::Result<Duration> {
        self.say_wav(text, spoken(text).await?).await
    }

    /// Says what is in a WAV file; the platform's recogniser is told the text.
    pub async fn say_wav(&self, text: &str, wav: Vec<u8>) -> anyhow::Result<Duration> {
        let url = self.phone.url(&format!("/sim/calls/{}/say", self.leg_id));
        let response = self.phone.http.post(url).query(&[("text", text)]).body(wav).send().await?;
        let millis = json_of(response).await?["duration_ms"].as_f64().unwrap_or_default();
        Ok(Duration::from_secs_f64(millis / 1_000.0))
    }

    /// Presses keys.
    pub async fn press(&self, digits: &str) -> anyhow::Result<()> {
        let path = format!("/sim/calls/{}/digits", self.leg_id);
        self.phone.post(&path, &json!({ "digits": digits })).await.map(drop)
    }

    /// Hangs up.
    pub async fn hang_up(&self) -> anyhow::Result<()> {
        self.phone.post(&format!("/sim/calls/{}/hangup", self.leg_id), &json!({})).await.map(drop)
    }

    /// Cuts the call's media sockets, without a word.
    pub async fn drop_streams(&self) -> anyhow::Result<()> {
        self.phone.post(&format!("/sim/calls/{}/drop_streams", self.leg_id), &json!({})).await.map(drop)
    }

    /// The call's media streams as the platform sees them, oldest first.
    pub async fn streams(&self) -> anyhow::Result<Vec<Value>> {
        Ok(self.view().await?["streams"].as_array().cloned().unwrap_or_default())
    }

    /// The call as the platform sees it.
    pub async fn view(&self) -> anyhow::Result<Value> {
        self.phone.get(&format!("/sim/calls/{}", self.leg_id)).await
    }

    /// What the caller has heard since the answer: WAV, mu-law, 8 kHz.
    pub async fn heard(&self) -> anyhow::Result<Vec<u8>> {
        let url = self.phone.url(&format!("/sim/calls/{}/heard.wav", self.leg_id));
        Ok(self.phone.http.get(url).send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    /// The longest time without assistant sound between two moments on the simulator's clock.
    pub async fn longest_silence(&self, from_ms: f64, to_ms: f64) -> anyhow::Result<Duration> {
        let path = format!("/sim/calls/{}/silences?from_ms={from_ms}&to_ms={to_ms}", self.leg_id);
        let millis = self.phone.get(&path).await?["longest_ms"].as_f64().context("no longest_ms")?;
        Ok(Duration::from_secs_f64(millis / 1_000.0))
    }

    /// Waits until something has happened to this call that `wanted` accepts.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        self.phone.wait_for(limit, |event| event["call_id"] == self.leg_id.as_str() && wanted(event)).await
    }
}

/// A client that no proxy setting concerns.
pub fn loopback_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("the settings are constant")
}

pub(crate) async fn json_of(response: reqwest::Response) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    anyhow::ensure!(status.is_success(), "{status}: {text}");
    Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
}
