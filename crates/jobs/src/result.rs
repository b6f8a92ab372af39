//! Results in Celery's form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{JobFailure, Progress};

pub(crate) fn started(job_id: &str, worker: &str, pid: u32) -> String {
    write("STARTED", job_id, &json!({ "pid": pid, "hostname": worker }), None)
}

pub(crate) fn success(job_id: &str, value: &Value, now: Timestamp) -> String {
    write("SUCCESS", job_id, value, Some(now))
}

pub(crate) fn failure(job_id: &str, failure: &JobFailure, now: Timestamp) -> String {
    write("FAILURE", job_id, &exception(failure), Some(now))
}

fn exception(failure: &JobFailure) -> Value {
    json!({ "exc_type": failure.reason, "exc_message": [failure.message], "exc_module": "voicemesh" })
}

/// The failed attempt is followed by another one.
pub(crate) fn retry(job_id: &str, failure: &JobFailure) -> String {
    write("RETRY", job_id, &exception(failure), None)
}

/// Both ends of a result that was written for the empty id, for scripts that know the id themselves.
pub(crate) fn around_id(text: &str) -> (String, String) {
    let (before, after) = text.split_once("\"task_id\":\"\"").expect("written by us, for the empty id");
    (format!("{before}\"task_id\":"), after.to_owned())
}

/// The last event of a job that gave `value`: the dict of a turn, or a bare reply.
pub(crate) fn completed(value: &Value) -> Progress {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::String(reply) => {
            Progress::Completed { transcript: String::new(), reply: reply.clone(), tool_calls: Vec::new() }
        }
        other => Progress::Completed {
            transcript: word(&other["user_transcript"]),
            reply: word(&other["llm_response"]),
            tool_calls: serde_json::from_value(other["tool_calls"].clone()).unwrap_or_default(),
        },
    }
}

/// `why` is Celery's word: `revoked`, `terminated` or `expired`.
pub(crate) fn revoked(job_id: &str, why: &str, now: Timestamp) -> String {
    let exception = json!({
        "exc_type": "TaskRevokedError", "exc_message": [why], "exc_module": "celery.exceptions",
    });
    write("REVOKED", job_id, &exception, Some(now))
}

#[derive(Serialize)]
struct Stored<'a> {
    status: &'a str,
    result: &'a Value,
    traceback: (),
    children: [(); 0],
    date_done: Option<String>,
    task_id: &'a str,
}

fn write(status: &str, job_id: &str, result: &Value, done: Option<Timestamp>) -> String {
    let date_done = done.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string());
    let stored = Stored { status, result, traceback: (), children: [], date_done, task_id: job_id };
    serde_json::to_string(&stored).expect("a result is plain data")
}

/// As much of a stored result as tells whether it is ready.
#[derive(Deserialize)]
struct Read<'a> {
    status: String,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

/// What a stored result says of a job's end; `None` while it is not ready. Understands the dict and the bare reply.
pub(crate) fn outcome(text: &str) -> Option<Progress> {
    let Read { status, result } = serde_json::from_str(text).ok()?;
    let result = || serde_json::from_str(result?.get()).ok();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match status.as_str() {
        "SUCCESS" => Some(completed(&result().unwrap_or_default())),
        "FAILURE" => {
            let result: Value = result().unwrap_or_default();
            let message = match &result["exc_message"] {
                Value::Array(args) => args.iter().map(word).collect::<Vec<_>>().join(", "),
                other => word(other),
            };
            Some(Progress::Failed { reason: word(&result["exc_type"]), message })
        }
        "REVOKED" => Some(Progress::Cancelled),
        _ => None,
    }
}
