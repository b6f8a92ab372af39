//! Celery's messages. Written as Celery 5 writes them, read as leniently as Celery reads them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use crate::{Job, NewJob};

/// Header of ours: when a message was enqueued, in Unix milliseconds.
pub(crate) const ENQUEUED_AT: &str = "voice_enqueued_at";

/// Largest message that is accepted, encoded.
const LARGEST_MESSAGE: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    #[serde(default)]
    pub(crate) body: String,
    #[serde(rename = "content-type", default)]
    pub(crate) content_type: Option<String>,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
}

/// A message that is a job of ours to run, or says why it is not.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) job: Job,
    pub(crate) eta: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) ignore_result: bool,
    /// Time limits: the job is told to end, and then it is ended.
    pub(crate) soft_limit: Option<Duration>,
    pub(crate) hard_limit: Option<Duration>,
}

/// Why a message cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the message is not JSON: {0}")]
    NotJson(String),
    #[error("the message has no task id or name")]
    Anonymous,
    #[error("content type \"{0}\" is not accepted, only application/json")]
    ContentType(String),
    #[error("compressed bodies are not accepted")]
    Compressed,
    #[error("the body cannot be read: {0}")]
    Body(String),
    #[error("the message is larger than {LARGEST_MESSAGE} bytes")]
    TooLarge,
    #[error("{0} is not supported; send the task without it")]
    Unsupported(&'static str),
}

impl Envelope {
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        if raw.len() > LARGEST_MESSAGE {
            return Err(Refusal::TooLarge);
        }
        serde_json::from_str(raw).map_err(|error| Refusal::NotJson(error.to_string()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::as_str)
    }

    /// Reads the job in it.
    pub(crate) fn decode(self) -> Result<Decoded, Refusal> {
        let (Some(id), Some(task)) =
            (self.header("id").map(str::to_owned), self.header("task").map(str::to_owned))
        else {
            return Err(Refusal::Anonymous);
        };
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        if content_type != "application/json" {
            return Err(Refusal::ContentType(content_type.to_owned()));
        }
        if self.header("compression").is_some() {
            return Err(Refusal::Compressed);
        }
        let is_base64 = self.properties.get("body_encoding").and_then(Value::as_str) == Some("base64");
        let text = if is_base64 {
            let bytes = STANDARD.decode(&self.body).map_err(|error| Refusal::Body(error.to_string()))?;
            String::from_utf8(bytes).map_err(|error| Refusal::Body(error.to_string()))?
        } else {
            self.body.clone()
        };
        let (args, kwargs, embed): (Vec<Value>, Map<String, Value>, Option<Map<String, Value>>) =
            serde_json::from_str(&text).map_err(|error| Refusal::Body(error.to_string()))?;
        let embed = embed.unwrap_or_default();
        for part in ["callbacks", "errbacks", "chain", "chord"] {
            let is_empty = embed
                .get(part)
                .is_none_or(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty));
            if !is_empty {
                return Err(Refusal::Unsupported(part));
            }
        }
        let instant = |name: &str| self.header(name).and_then(|text| text.parse::<Timestamp>().ok());
        let (eta, expires) = (instant("eta"), instant("expires"));
        let ignore_result = self.headers.get("ignore_result").and_then(Value::as_bool).unwrap_or(false);
        let retries = self.headers.get("retries").and_then(Value::as_u64).unwrap_or(0) as u32;
        let limit = |at: usize| {
            let seconds = self.headers.get("timelimit")?.get(at)?.as_f64()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let (hard_limit, soft_limit) = (limit(0), limit(1));
        let job = Job { id, task, args, kwargs, headers: self.headers, retries };
        Ok(Decoded { job, eta, expires, ignore_result, soft_limit, hard_limit })
    }
}

/// Who sends messages.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// As Celery names producers.
    pub(crate) origin: String,
    /// Where answers by message would go; nobody sends any, and Celery's own is one for each thread.
    pub(crate) reply_to: Uuid,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self { origin: format!("gen{}@voicemesh", std::process::id()), reply_to: Uuid::new_v4() }
    }
}

#[derive(Serialize)]
struct Written<H, P> {
    body: String,
    #[serde(rename = "content-encoding")]
    content_encoding: &'static str,
    #[serde(rename = "content-type")]
    content_type: &'static str,
    headers: H,
    properties: P,
}

#[derive(Serialize)]
struct JobHeaders<'a> {
    lang: &'static str,
    task: &'a str,
    id: &'a str,
    shadow: (),
    eta: Option<Timestamp>,
    expires: Option<Timestamp>,
    group: (),
    group_index: (),
    retries: u32,
    timelimit: [(); 2],
    root_id: &'a str,
    parent_id: (),
    argsrepr: &'static str,
    kwargsrepr: &'static str,
    origin: &'a str,
    ignore_result: bool,
    replaced_task_nesting: u32,
    stamped_headers: (),
    stamps: Nothing,
    #[serde(rename = "voice_enqueued_at")]
    enqueued_at: i64,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct JobProperties<'a> {
    correlation_id: &'a str,
    reply_to: Uuid,
    delivery_mode: u8,
    delivery_info: Route<'a>,
    priority: u8,
    body_encoding: &'static str,
    delivery_tag: &'a str,
}

#[derive(Serialize)]
struct Route<'a> {
    exchange: &'static str,
    routing_key: &'a str,
}

/// What is to be done with the job's result: nothing.
#[derive(Default, Serialize)]
struct Embed {
    callbacks: (),
    chain: (),
    chord: (),
    errbacks: (),
}

/// An empty object.
#[derive(Serialize)]
struct Nothing {}

/// Writes a job as Celery's producers do.
pub(crate) fn encode(job: &NewJob, tag: &str, queue: &str, sender: &Sender, now: Timestamp) -> String {
    let body = text(&(&job.args, &job.kwargs, Embed::default()));
    let headers = JobHeaders {
        lang: "py",
        task: &job.task,
        id: &job.id,
        shadow: (),
        eta: job.eta,
        expires: job.expires,
        group: (),
        group_index: (),
        retries: 0,
        timelimit: [(); 2],
        root_id: &job.id,
        parent_id: (),
        // What callers say stays out of what Celery's tools display.
        argsrepr: "(...)",
        kwargsrepr: "{...}",
        origin: &sender.origin,
        ignore_result: false,
        replaced_task_nesting: 0,
        stamped_headers: (),
        stamps: Nothing {},
        enqueued_at: now.as_millisecond(),
        more: &job.headers,
    };
    let properties = JobProperties {
        correlation_id: &job.id,
        reply_to: sender.reply_to,
        delivery_mode: 2,
        delivery_info: Route { exchange: "", routing_key: queue },
        priority: job.priority,
        body_encoding: "base64",
        delivery_tag: tag,
    };
    written(&body, headers, properties)
}

/// Writes a message of no job.
pub(crate) fn message(body: &str, headers: &Value, more: Value) -> String {
    let mut properties = json!({
        "delivery_mode": 2, "priority": 0, "body_encoding": "base64", "delivery_tag": Uuid::new_v4(),
    });
    if let (Value::Object(properties), Value::Object(more)) = (&mut properties, more) {
        properties.extend(more);
    }
    written(body, headers, properties)
}

fn written(body: &str, headers: impl Serialize, properties: impl Serialize) -> String {
    let (content_encoding, content_type) = ("utf-8", "application/json");
    text(&Written { body: STANDARD.encode(body), content_encoding, content_type, headers, properties })
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data")
}

/// A message as it stands in `unacked`, with where a producer of ours sends it.
pub(crate) fn entry(message: &str, queue: &str) -> String {
    format!("[{message}{}", entry_end(queue))
}

/// The message of an entry that `entry` wrote.
pub(crate) fn from_entry<'a>(entry: &'a str, queue: &str) -> Option<&'a str> {
    entry.strip_prefix('[')?.strip_suffix(&entry_end(queue))
}

/// The message of any entry.
pub(crate) fn message_in(entry: &str) -> Option<String> {
    let (message, _exchange, _key): (&RawValue, String, String) = serde_json::from_str(entry).ok()?;
    Some(message.get().to_owned())
}

fn entry_end(queue: &str) -> String {
    format!(", \"\", {}]", Value::from(queue))
}

/// The message of the next attempt: the same job, one retry more, not before `eta`.
pub(crate) fn retried(raw: &str, retries: u32, eta: Timestamp) -> Option<String> {
    let mut message: Value = serde_json::from_str(raw).ok()?;
    let headers = message.get_mut("headers")?.as_object_mut()?;
    let id = headers.get("id").cloned();
    headers.insert("retries".into(), retries.into());
    headers.insert("eta".into(), eta.to_string().into());
    headers.insert("parent_id".into(), id.into());
    let tag = Uuid::new_v4().to_string();
    message.get_mut("properties")?.as_object_mut()?.insert("delivery_tag".into(), tag.into());
    Some(message.to_string())
}
