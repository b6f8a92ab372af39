//! The provider: sets what `voice-sim groq` says and how it misbehaves, and looks at what it was asked.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::phone::{json_of, loopback_client};

/// The simulator's control API.
#[derive(Clone, Debug)]
pub struct GroqSim {
    http: reqwest::Client,
    base: String,
}

impl GroqSim {
    /// Uses the simulator at `base`.
    pub fn new(base: String) -> Self {
        Self { http: loopback_client(), base }
    }

    /// Its address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sets which reply follows which words of the caller.
    pub async fn script(&self, lines: &[(&str, &str)]) -> anyhow::Result<()> {
        let lines: Vec<Value> =
            lines.iter().map(|(when, reply)| json!({ "when": when, "reply": reply })).collect();
        self.put("/sim/script", &Value::Array(lines)).await
    }

    /// Sets the sentences that its ears know.
    pub async fn grammar(&self, sentences: &[&str]) -> anyhow::Result<()> {
        self.put("/sim/grammar", &json!(sentences)).await
    }

    /// Sets what goes wrong from now on; `null` for an endpoint makes it well again.
    pub async fn faults(&self, faults: Value) -> anyhow::Result<()> {
        self.put("/sim/faults", &faults).await
    }

    /// Everything that it was asked.
    pub async fn requests(&self) -> anyhow::Result<Vec<Value>> {
        let answer = json_of(self.http.get(format!("{}/sim/requests", self.base)).send().await?).await?;
        let list = answer.get("requests").unwrap_or(&answer);
        Ok(list.as_array().cloned().unwrap_or_default())
    }

    /// The messages of every chat request.
    pub async fn chats(&self) -> anyhow::Result<Vec<Vec<Value>>> {
        let chats =
            self.requests().await?.into_iter().filter_map(|request| request["messages"].as_array().cloned());
        Ok(chats.collect())
    }

    /// From a request to speak, made without anything in between, to its first bytes of audio.
    ///
    /// # Errors
    /// When there is none.
    pub async fn first_audio(&self, text: &str) -> anyhow::Result<Duration> {
        let body = json!({ "model": "canopylabs/orpheus-v1-english", "voice": "troy", "input": text });
        let post = self.http.post(format!("{}/openai/v1/audio/speech", self.base));
        let begun = Instant::now();
        let mut response = post.bearer_auth("gsk_test").json(&body).send().await?.error_for_status()?;
        response.chunk().await?.context("an answer without audio")?;
        let took = begun.elapsed();
        // To its end, so that the connection can be used again.
        while response.chunk().await?.is_some() {}
        Ok(took)
    }

    async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        json_of(self.http.put(format!("{}{path}", self.base)).json(body).send().await?).await.map(drop)
    }
}
