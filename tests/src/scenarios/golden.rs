//! One job, made by RPC and by stock Celery: the same message, but for what may differ.

use std::{collections::BTreeMap, net::TcpListener};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_types::{Duration as ProtoDuration, Timestamp};
use serde_json::{Value, json};
use voice_jobs::{Jobs, NewJob};
use voice_proto::worker::v1::{CreateJobRequest, GetJobRequest, HistoryMessage, JobState, Speaker};

use super::*;
use crate::{mesh::eventually, redis::Probe};

/// What may differ, and why.
const MAY_DIFFER: [(&str, &str); 7] = [
    ("properties.delivery_tag", "chosen for each message"),
    ("properties.reply_to", "chosen by each producer; Redis results do not use it"),
    ("headers.origin", "names the producer"),
    ("headers.argsrepr", "ours shows nothing that was said"),
    ("headers.kwargsrepr", "ours shows nothing that was said"),
    ("properties.expiration", "what is left until `expires`, for brokers that look at it; Redis does not"),
    ("headers.voice_enqueued_at", "ours alone, for the age of the queue; Celery ignores it"),
];

const ETA: i64 = 4_000_000_000;
const EXPIRES: i64 = 4_000_000_100;

/// Every value of a message by its path, the body decoded.
fn flat(message: &str) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    walk(&format!("{path}.{name}"), value, into);
                }
            }
            other => drop(into.insert(path.trim_start_matches('.').to_owned(), other.clone())),
        }
    }
    let mut message: Value = serde_json::from_str(message).unwrap();
    let body = STANDARD.decode(message["body"].as_str().unwrap()).unwrap();
    message["body"] = serde_json::from_slice(&body).unwrap();
    let mut all = BTreeMap::new();
    walk("", &message, &mut all);
    for moment in ["headers.eta", "headers.expires"] {
        // The same moment is written in two ways: Z and +00:00.
        if let Some(Value::String(text)) = all.get_mut(moment) {
            *text = text.parse::<jiff::Timestamp>().unwrap().to_string();
        }
    }
    // `send_task` leaves it open, `delay` says false; a worker takes both alike.
    if all.get("headers.ignore_result") == Some(&Value::Null) {
        all.insert("headers.ignore_result".to_owned(), false.into());
    }
    all
}

/// Takes every message that waits, by task id.
async fn taken(probe: &mut Probe, queue: &str) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for step in ["", "\u{6}\u{16}3", "\u{6}\u{16}6", "\u{6}\u{16}9"] {
        let list = format!("{queue}{step}");
        for text in probe.ask(&["LRANGE", &list, "0", "-1"]).await.unwrap().texts() {
            let mut message = flat(&text);
            message.insert("list".to_owned(), step.into());
            all.insert(message["headers.id"].as_str().unwrap().to_owned(), message);
        }
        probe.ask(&["DEL", &list]).await.unwrap();
    }
    all
}

#[tokio::test]
async fn a_job_made_by_rpc_and_the_same_job_made_by_python_are_equal() {
    // Its only place is taken by a job whose recording never comes, so that what follows stays in the queue.
    let options = Options::default().with("WORKER_CONCURRENCY", 1).with("TURN_BUDGET_MS", 60_000);
    let mesh = mesh(options).await;
    let (queue, redis_url) = (mesh.env("JOB_QUEUE"), mesh.env("REDIS_URL"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let recording_uri = format!("http://{}/recording.wav", silent.local_addr().unwrap());
    let mut worker = mesh.worker().await.unwrap();
    let request = |job_id: &str| CreateJobRequest {
        job_id: job_id.into(),
        call_id: "call-1".into(),
        recording_uri: recording_uri.clone(),
        ..CreateJobRequest::default()
    };
    worker.create_job(request("in-the-way")).await.unwrap();
    eventually(LIMIT, "a worker without a free place", async || {
        let job =
            worker.get_job(GetJobRequest { job_id: "in-the-way".into() }).await.ok()?.into_inner().job?;
        (job.state() == JobState::Started).then_some(())
    })
    .await
    .unwrap();

    worker.create_job(request("plain")).await.unwrap();
    let said = |speaker: Speaker, content: &str| HistoryMessage {
        speaker: speaker.into(),
        content: content.into(),
        ..HistoryMessage::default()
    };
    let full = CreateJobRequest {
        history: vec![said(Speaker::User, "hello"), said(Speaker::Assistant, "h\u{e9} \u{4f60}")],
        speech_start: Some(ProtoDuration { seconds: 0, nanos: 250_000_000 }),
        priority: 7,
        start_time: Some(Timestamp { seconds: ETA, nanos: 0 }),
        expire_time: Some(Timestamp { seconds: EXPIRES, nanos: 0 }),
        ..request("full")
    };
    worker.create_job(full).await.unwrap();
    // The API makes the form of three arguments; the queue itself carries the other one as well.
    let jobs = Jobs::connect(&redis_url.clone().into(), &queue).unwrap();
    let two = vec![recording_uri.clone().into(), json!([])];
    jobs.enqueue(&NewJob { id: "two".into(), args: two, ..NewJob::new("get_llm_response_task") })
        .await
        .unwrap();
    let mut probe = Probe::connect(&redis_url).await.unwrap();
    let ours = taken(&mut probe, &queue).await;

    let times = [ETA.to_string(), EXPIRES.to_string()];
    let args = ["golden_py.py", &redis_url, &queue, &recording_uri, &times[0], &times[1]];
    let output = python("python").args(args).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = taken(&mut probe, &queue).await;

    assert_eq!(ours.keys().collect::<Vec<_>>(), ["full", "plain", "two"]);
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ["full", "plain", "two"]);
    for (id, mut ours) in ours {
        let mut theirs = theirs[&id].clone();
        for (path, _reason) in MAY_DIFFER {
            ours.remove(path);
            theirs.remove(path);
        }
        if id == "plain" {
            // The API says where speech begins only when it is asked to.
            assert!(!ours.contains_key("headers.voice_speech_start_ms"));
        }
        assert_eq!(ours, theirs, "{id}");
    }
}
