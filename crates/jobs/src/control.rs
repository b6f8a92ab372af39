//! Celery's remote control, as far as cancelling needs it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::wire::{self, Envelope};

/// The channel on which every worker of a database listens.
pub(crate) fn channel(db: i64) -> String {
    format!("/{db}.celery.pidbox")
}

/// The broadcast that revokes a job.
pub(crate) fn revocation(db: i64, job_id: &str) -> (String, String) {
    let body = json!({
        "method": "revoke",
        "arguments": { "task_id": job_id, "terminate": true, "signal": "SIGTERM" },
        "destination": null, "pattern": null, "matcher": null,
    });
    let properties = json!({ "delivery_info": { "exchange": "celery.pidbox", "routing_key": "" } });
    let headers = json!({ "clock": 1, "expires": 0 });
    (channel(db), wire::message(&body.to_string(), &headers, properties))
}

/// The jobs that a broadcast revokes, and whether running ones are to be stopped too.
pub(crate) fn revoked(message: &str, worker: &str) -> Option<(Vec<String>, bool)> {
    let envelope = Envelope::parse(message).ok()?;
    let body: Value = serde_json::from_slice(&STANDARD.decode(envelope.body).ok()?).ok()?;
    if body["method"] != "revoke" {
        return None;
    }
    if let Some(destination) = body["destination"].as_array()
        && !destination.iter().any(|name| name == worker)
    {
        return None;
    }
    let arguments = &body["arguments"];
    let ids = match &arguments["task_id"] {
        Value::String(id) => vec![id.clone()],
        Value::Array(ids) => ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return None,
    };
    Some((ids, arguments["terminate"].as_bool().unwrap_or(false)))
}
