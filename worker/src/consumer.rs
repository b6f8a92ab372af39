//! Turns out of the queue.

use std::{future::Future, pin::Pin, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use voice_jobs::{Handler, Job, JobFailure, Progress, ProgressSink};
use voice_server::trace::TraceContext;

use crate::{
    error::TurnError,
    request::TurnRequest,
    turn::{self, Listener, Outcome, Ports, listen},
};

/// The task's name on Celery's wire.
pub(crate) const TASK: &str = "get_llm_response_task";

/// Runs turns.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    pub(crate) ports: Ports,
    /// How long a turn may take whose producer says nothing of it.
    pub(crate) budget: Duration,
}

impl Handler for Turns {
    fn run(
        &self,
        job: Job,
        progress: ProgressSink,
        _cancel: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<Value, JobFailure>> + Send>> {
        let turns = self.clone();
        let trace = job.headers.get("traceparent").and_then(Value::as_str).and_then(TraceContext::parse);
        let trace = trace.map_or_else(TraceContext::start, TraceContext::child);
        // Headers and arguments are not held for as long as the providers take.
        let (request, job_id) = (TurnRequest::try_from(&job).map(Box::new), job.id);
        Box::pin(trace.scope(async move { turns.take(job_id, request?, &progress).await }))
    }
}

impl Turns {
    async fn take(
        &self,
        job_id: String,
        mut request: Box<TurnRequest>,
        progress: &ProgressSink,
    ) -> Result<Value, JobFailure> {
        let wants_bare_reply = request.wants_bare_reply;
        // Somebody waits on the telephone: an apology now is better than a reply after another attempt.
        let is_awaited = request.deadline.is_some();
        let deadline = Instant::now() + self.left(request.deadline, Timestamp::now());
        let (pieces, language, sink) =
            (std::mem::take(&mut request.pieces), request.language.clone(), Sink(progress));
        // Boxed, since it is handed on: each hand would keep room for it.
        let said = Box::pin(listen::to_recordings(&self.ports, pieces, language.as_deref(), deadline, &sink));
        let Outcome { transcript, reply, tool_calls } =
            turn::run(&self.ports, request, said, deadline, &sink).await.map_err(|error| {
                tracing::warn!(job.id = %job_id, reason = error.reason, %error, "a turn has failed");
                TurnError { is_retryable: error.is_retryable && !is_awaited, ..error }
            })?;
        if wants_bare_reply {
            return Ok(reply.into());
        }
        let mut result = json!({ "llm_response": reply, "user_transcript": transcript });
        if !tool_calls.is_empty() {
            result["tool_calls"] = json!(tool_calls);
        }
        Ok(result)
    }

    fn left(&self, deadline: Option<f64>, now: Timestamp) -> Duration {
        let now = now.as_microsecond() as f64 / 1e6;
        let left = deadline.and_then(|deadline| Duration::try_from_secs_f64(deadline - now).ok());
        left.unwrap_or(if deadline.is_some() { Duration::ZERO } else { self.budget })
    }
}

struct Sink<'a>(&'a ProgressSink);

impl Listener for Sink<'_> {
    async fn tell(&self, progress: Progress) {
        // Boxed: jobs by the thousand have said what they can say for now.
        Box::pin(self.0.emit(progress)).await;
    }
}
