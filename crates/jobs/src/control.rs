//! Celery's remote control ("pidbox"): what `celery inspect`, `celery control` and Flower ask a worker.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use deadpool_redis::redis;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};

use crate::{
    JobsError,
    consumer::Shared,
    events::{REDACTED, now},
    keys::Keys,
    wire::{self, Envelope},
};

/// Where askers wait for answers. Nothing else may be written to on anybody's word.
const REPLIES: &str = "reply.celery.pidbox";

/// An answer that nobody fetches.
const REPLY_SECONDS: i64 = 60;

const RECONNECT: std::time::Duration = std::time::Duration::from_millis(200);

/// A question or an order.
#[derive(Debug)]
struct Request {
    method: String,
    arguments: Map<String, Value>,
    reply_to: Option<String>,
    ticket: Value,
    clock: u64,
}

/// The broadcast that revokes a job: channel and message.
pub(crate) fn revocation(keys: &Keys, job_id: &str) -> (String, String) {
    let body = json!({
        "method": "revoke",
        "arguments": { "task_id": job_id, "terminate": true, "signal": "SIGTERM" },
        "destination": null, "pattern": null, "matcher": null,
    });
    let properties = json!({ "delivery_info": { "exchange": "celery.pidbox", "routing_key": "" } });
    let headers = json!({ "clock": 1, "expires": 0 });
    (keys.control(), wire::message(&body.to_string(), &headers, properties))
}

/// Reads a broadcast, if it is for this worker.
fn read(message: &str, worker: &str) -> Option<Request> {
    let envelope = Envelope::parse(message).ok()?;
    let body: Value = serde_json::from_slice(&STANDARD.decode(envelope.body).ok()?).ok()?;
    if let Some(destination) = body["destination"].as_array()
        && !destination.iter().any(|name| name == worker)
    {
        return None;
    }
    if let Some(pattern) = body["pattern"].as_str()
        && !(body["matcher"] == "glob" && matches_glob(pattern, worker))
    {
        return None;
    }
    let reply_to = &body["reply_to"];
    let reply_to = (reply_to["exchange"] == REPLIES).then(|| reply_to["routing_key"].as_str()).flatten();
    Some(Request {
        method: body["method"].as_str()?.to_owned(),
        arguments: body["arguments"].as_object().cloned().unwrap_or_default(),
        reply_to: reply_to.map(str::to_owned),
        ticket: body["ticket"].clone(),
        clock: envelope.headers.get("clock").and_then(Value::as_u64).unwrap_or(0),
    })
}

/// `*` stands for anything.
fn matches_glob(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    loop {
        if matches_glob(rest, name) {
            return true;
        }
        let mut letters = name.chars();
        if letters.next().is_none() {
            return false;
        }
        name = letters.as_str();
    }
}

/// Listens and answers for as long as the worker lives.
pub(crate) async fn obey(shared: Arc<Shared>) {
    let channel = shared.jobs.inner.store.keys.control();
    loop {
        if let Ok(mut connection) = shared.jobs.inner.broker.subscriber().await
            && connection.subscribe(&channel).await.is_ok()
        {
            let mut messages = connection.on_message();
            while let Some(message) = messages.next().await {
                let Ok(text) = message.get_payload::<String>() else { continue };
                let Some(request) = read(&text, &shared.config.worker_name) else { continue };
                shared.events.saw(request.clock);
                if let Err(error) = take(&shared, request).await {
                    tracing::warn!(%error, "an answer to remote control was lost");
                }
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn take(shared: &Shared, request: Request) -> Result<(), JobsError> {
    let Request { method, arguments, reply_to, ticket, .. } = request;
    let answer = match method.as_str() {
        "revoke" => Some(revoke(shared, &arguments).await?),
        other => answer(shared, other, &arguments),
    };
    let (Some(answer), Some(oid)) = (answer, reply_to) else { return Ok(()) };
    let body = json!({ shared.config.worker_name.clone(): answer });
    let headers = json!({ "ticket": ticket, "clock": shared.events.tick() });
    let route = json!({ "delivery_info": { "exchange": REPLIES, "routing_key": oid } });
    let message = wire::message(&body.to_string(), &headers, route);
    let list = format!("{oid}.{REPLIES}");
    let mut pipe = redis::pipe();
    pipe.lpush(&list, message).ignore().expire(&list, REPLY_SECONDS).ignore();
    shared.jobs.inner.store.with(async |connection| pipe.query_async(connection).await).await
}

async fn revoke(shared: &Shared, arguments: &Map<String, Value>) -> Result<Value, JobsError> {
    let ids: Vec<String> = match arguments.get("task_id") {
        Some(Value::String(id)) => vec![id.clone()],
        Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return Ok(json!({ "error": "task_id is missing" })),
    };
    let terminate = arguments.get("terminate").and_then(Value::as_bool).unwrap_or(false);
    for id in shared.revoke(&ids, terminate) {
        shared.jobs.note_revocation(&id).await?;
    }
    Ok(json!({ "ok": format!("tasks {} flagged as revoked", ids.join(", ")) }))
}

/// What is asked; `None` where no answer is expected.
fn answer(shared: &Shared, method: &str, arguments: &Map<String, Value>) -> Option<Value> {
    Some(match method {
        "ping" => json!({ "ok": "pong" }),
        "stats" => stats(shared),
        "active" => shared.running(|id, running| describe(shared, id, running)).into(),
        "reserved" | "scheduled" => json!([]),
        "registered" => json!(shared.config.tasks),
        "active_queues" => json!([queue(&shared.jobs.inner.store.keys.queue)]),
        "revoked" => json!(shared.revoked()),
        "conf" => {
            json!({ "broker_url": "redis://", "task_default_queue": shared.jobs.inner.store.keys.queue })
        }
        "query_task" => query(shared, arguments),
        "hello" => json!({ "revoked": shared.revoked(), "clock": shared.events.tick() }),
        "enable_events" | "disable_events" => {
            let is_on = method == "enable_events";
            shared.events.watch_jobs(is_on);
            json!({ "ok": format!("task events {}", if is_on { "enabled" } else { "disabled" }) })
        }
        "heartbeat" => {
            shared.beat("worker-heartbeat");
            return None;
        }
        "shutdown" => {
            tracing::warn!("stopping, as remote control has asked");
            shared.shutdown.cancel();
            return None;
        }
        other => json!({ "error": format!("no such method: {other}") }),
    })
}

fn stats(shared: &Shared) -> Value {
    let concurrency = shared.config.concurrency;
    let pid = std::process::id();
    let (host, port) = shared.jobs.inner.broker.address();
    json!({
        "total": shared.totals(), "pid": pid, "clock": shared.events.tick().to_string(),
        "uptime": shared.started.elapsed().as_secs(), "prefetch_count": concurrency, "rusage": {},
        "pool": {
            "implementation": "voicemesh", "max-concurrency": concurrency, "processes": [pid],
            "max-tasks-per-child": "N/A", "timeouts": [0, 0], "put-guarded-by-semaphore": true, "writes": {},
        },
        "broker": {
            "hostname": host, "port": port, "transport": "redis",
            "virtual_host": shared.jobs.inner.store.keys.db.to_string(),
            "userid": null, "ssl": false, "alternates": [], "connect_timeout": 2, "heartbeat": 0,
            "insist": false, "login_method": null, "transport_options": {}, "uri_prefix": null,
            "failover_strategy": "round-robin",
        },
    })
}

fn describe(shared: &Shared, id: &str, running: &crate::consumer::Running) -> Value {
    json!({
        "id": id, "name": running.task, "type": running.task, "args": REDACTED, "kwargs": REDACTED,
        "hostname": shared.config.worker_name, "time_start": running.since, "acknowledged": false,
        "delivery_info": {
            "exchange": "", "routing_key": shared.jobs.inner.store.keys.queue, "priority": 0,
            "redelivered": null,
        },
        "worker_pid": std::process::id(), "age_seconds": now() - running.since,
    })
}

/// A queue as Flower's page of a worker reads it, without leaving a key out.
fn queue(name: &str) -> Value {
    json!({
        "name": name, "routing_key": name, "alias": null, "durable": true, "exclusive": false,
        "auto_delete": false, "no_ack": false, "bindings": [], "no_declare": null, "expires": null,
        "message_ttl": null, "max_length": null, "max_length_bytes": null, "max_priority": null,
        "queue_arguments": null, "binding_arguments": null, "consumer_arguments": null,
        "exchange": {
            "name": name, "type": "direct", "arguments": null, "durable": true, "passive": false,
            "auto_delete": false, "delivery_mode": null, "no_declare": false,
        },
    })
}

fn query(shared: &Shared, arguments: &Map<String, Value>) -> Value {
    let asked: Vec<&str> = match arguments.get("ids") {
        Some(Value::String(id)) => vec![id],
        Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut found = Map::new();
    shared.running(|id, running| {
        if asked.contains(&id) {
            found.insert(id.to_owned(), json!(["active", describe(shared, id, running)]));
        }
        Value::Null
    });
    Value::Object(found)
}

#[cfg(test)]
mod tests {
    use super::matches_glob;

    #[test]
    fn workers_are_picked_by_pattern() {
        for (pattern, is_match) in
            [("w1@*", true), ("*", true), ("*@host", true), ("w2@*", false), ("w1", false)]
        {
            assert_eq!(matches_glob(pattern, "w1@host"), is_match, "{pattern}");
        }
    }
}
