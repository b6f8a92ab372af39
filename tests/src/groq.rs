//! The provider: sets what `voice-sim groq` says and how it misbehaves, and looks at what it was asked.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::phone::json_of;

/// The simulator's control API.
#[derive(Clone, Debug)]
pub struct GroqSim {
    http: reqwest::Client,
    base: String,
}

impl GroqSim {
    /// Uses the simulator at `base`.
    pub fn new(base: String) -> Self {
        // Its certificate, where it has one, is its own and a moment old.
        let builder = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
        Self { http: builder.build().expect("the settings are constant"), base }
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

    /// Sets the same as whole lines, which may ask for tools.
    pub async fn lines(&self, lines: Value) -> anyhow::Result<()> {
        self.put("/sim/script", &lines).await
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

    /// From a request to recognise a recording, made without anything in between, to its words.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn transcription(&self, wav: &[u8]) -> anyhow::Result<Duration> {
        let file = reqwest::multipart::Part::bytes(wav.to_vec()).file_name("a.wav");
        let form = reqwest::multipart::Form::new().part("file", file).text("model", "whisper-large-v3");
        let post = self.http.post(format!("{}/openai/v1/audio/transcriptions", self.base));
        let begun = Instant::now();
        post.bearer_auth("gsk_test").multipart(form).send().await?.error_for_status()?.bytes().await?;
        Ok(begun.elapsed())
    }

    /// From a question, asked without anything in between, to the end of the first clause of the reply.
    ///
    /// # Errors
    /// When the reply has no such clause.
    pub async fn reply_until(&self, question: &str, clause: &str) -> anyhow::Result<Duration> {
        let messages = json!([{ "role": "user", "content": question }]);
        let body = json!({ "model": "openai/gpt-oss-20b", "messages": messages, "stream": true });
        let post = self.http.post(format!("{}/openai/v1/chat/completions", self.base));
        let last = clause.rsplit(' ').next().unwrap_or(clause);
        let begun = Instant::now();
        let mut response = post.bearer_auth("gsk_test").json(&body).send().await?.error_for_status()?;
        let (mut text, mut took) = (String::new(), None);
        while let Some(chunk) = response.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&chunk));
            if took.is_none() && text.contains(last) {
                took = Some(begun.elapsed());
            }
        }
        took.context("the reply has no such clause")
    }

    async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        json_of(self.http.put(format!("{}{path}", self.base)).json(body).send().await?).await.map(drop)
    }
}
