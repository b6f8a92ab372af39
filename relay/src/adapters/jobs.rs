//! Turns as jobs on the Celery queue, so that our workers and stock Celery workers can serve them alike.

use std::time::Duration;

use async_stream::stream;
use futures::{StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};
use voice_call::{Message, Progress, Role, ToolCall, ToolUse, TurnId};
use voice_jobs::{Jobs, JobsError, NewJob};
use voice_server::trace::TraceContext;

use crate::ports::{Declaration, Recording, Turn, TurnEvent, Turns, Utterance, Work};

/// The task's name on Celery's wire.
const TASK: &str = "get_llm_response_task";

/// A turn of which nothing is heard is looked after this often.
const PULSE: Duration = Duration::from_millis(250);

/// Redis answers such a question within a millisecond.
const ANSWER: Duration = Duration::from_millis(500);

/// A turn is given up when there has been nobody for so long who could bring its answer: long enough for another worker to
/// take it over, and short enough for one filler to bridge.
const ABSENCE: Duration = Duration::from_millis(1_500);

/// The queue.
#[derive(Clone, Debug)]
pub(crate) struct JobTurns {
    jobs: Jobs,
}

impl JobTurns {
    /// Uses a queue.
    pub(crate) fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }
}

impl Turns for JobTurns {
    fn start(&self, turn: Turn) -> BoxStream<'static, TurnEvent> {
        let (jobs, is_repeated, budget) = (self.jobs.clone(), turn.is_repeated, turn.budget);
        let job = to_job(turn, Timestamp::now());
        // A stock Celery worker's reply comes in one piece, without the events before it.
        let (mut has_transcript, mut has_delta) = (false, false);
        Box::pin(stream! {
            if is_repeated {
                // He has been told that something went wrong: his second attempt waits for Redis, and not he for a third.
                let _ = timeout(budget, come_back(&jobs)).await;
            }
            let mut events = Box::pin(jobs.run(job));
            let mut present_at = Instant::now();
            loop {
                let Ok(event) = timeout(PULSE, events.next()).await else {
                    // A reply that has begun has an end of its own in the call.
                    match if has_delta || is_repeated { None } else { absent(&jobs).await } {
                        None => present_at = Instant::now(),
                        Some(reason) if present_at.elapsed() >= ABSENCE => {
                            tracing::warn!(reason, "a turn is given up");
                            yield TurnEvent::Failed { reason: reason.into() };
                            return;
                        }
                        Some(_) => {}
                    }
                    continue;
                };
                present_at = Instant::now();
                let event = match event {
                    None => return,
                    Some(Ok(event)) => event.event,
                    Some(Err(error)) => {
                        tracing::warn!(%error, "a turn could not be enqueued");
                        let reason = match error {
                            JobsError::QueueFull(_) => "QUEUE_FULL",
                            _ => "QUEUE_UNAVAILABLE",
                        };
                        yield TurnEvent::Failed { reason: reason.into() };
                        return;
                    }
                };
                match event {
                    voice_jobs::Progress::Started { .. } => {
                        // The first time, or anew after the death of a worker.
                        (has_transcript, has_delta) = (false, false);
                        yield TurnEvent::Progressed(Progress::Started);
                    }
                    voice_jobs::Progress::Fetched { .. } => yield TurnEvent::Progressed(Progress::Fetched),
                    voice_jobs::Progress::Transcript { text } => {
                        has_transcript = true;
                        if !text.is_empty() {
                            yield TurnEvent::Progressed(Progress::Transcript(text));
                        }
                    }
                    voice_jobs::Progress::ReplyDelta { text } => {
                        has_delta = true;
                        yield TurnEvent::Progressed(Progress::ReplyDelta(text));
                    }
                    voice_jobs::Progress::Completed { transcript, reply, tool_calls } => {
                        if transcript.is_empty() && reply.is_empty() && tool_calls.is_empty() {
                            yield TurnEvent::Progressed(Progress::NothingSaid);
                            return;
                        }
                        if !has_transcript && !transcript.is_empty() {
                            yield TurnEvent::Progressed(Progress::Transcript(transcript));
                        }
                        if !has_delta && !reply.is_empty() {
                            yield TurnEvent::Progressed(Progress::ReplyDelta(reply));
                        }
                        if !tool_calls.is_empty() {
                            yield TurnEvent::ToolsAsked(tool_calls.into_iter().map(from_call).collect());
                        }
                        yield TurnEvent::Progressed(Progress::ReplyFinished);
                    }
                    voice_jobs::Progress::Failed { reason, .. } => yield TurnEvent::Failed { reason },
                    voice_jobs::Progress::Cancelled => yield TurnEvent::Failed { reason: "JOB_CANCELLED".into() },
                }
            }
        })
    }

    fn cancel(&self, call_id: &str, turn: TurnId, round: u32) -> Work<()> {
        let (jobs, job_id) = (self.jobs.clone(), job_id(call_id, turn, round));
        Box::pin(async move {
            if let Err(error) = jobs.revoke(&job_id).await {
                tracing::warn!(%error, "a turn could not be cancelled; its answer will be ignored");
            }
        })
    }
}

/// Who is missing that an answer could come from.
async fn absent(jobs: &Jobs) -> Option<&'static str> {
    match timeout(ANSWER, jobs.is_tended()).await {
        Ok(Ok(true)) => None,
        Ok(Ok(false)) => Some("WORKER_UNAVAILABLE"),
        Ok(Err(_)) | Err(_) => Some("QUEUE_UNAVAILABLE"),
    }
}

/// Waits until Redis answers.
async fn come_back(jobs: &Jobs) {
    while !matches!(timeout(ANSWER, jobs.ping()).await, Ok(Ok(()))) {
        sleep(PULSE).await;
    }
}

/// Whoever knows the call and the turn knows the job: `WatchJob` and Celery's tools find it.
fn job_id(call_id: &str, turn: TurnId, round: u32) -> String {
    if round == 0 { format!("{call_id}-{turn}") } else { format!("{call_id}-{turn}.{round}") }
}

fn to_job(turn: Turn, now: Timestamp) -> NewJob {
    let Turn {
        call_id,
        turn,
        round,
        tools,
        utterances,
        earlier_text,
        history,
        prompt,
        language,
        budget,
        answered_text,
        is_repeated: _,
    } = turn;
    let mut recordings: Vec<Recording> = utterances.into_iter().flat_map(recordings_of).collect();
    let last = recordings.pop();
    let history: Vec<Value> = history.iter().flat_map(to_messages).collect();
    let deadline = now.as_microsecond() as f64 / 1e6 + budget.as_secs_f64();
    let trace = TraceContext::current().unwrap_or_else(TraceContext::start);
    let mut headers = Map::new();
    let mut set = |name: &str, value: Value| headers.insert(name.to_owned(), value);
    set("voice_turn_id", turn.to_string().into());
    set("voice_speech_start_ms", last.as_ref().map_or(0, |last| millis(last.speech_start)).into());
    set("voice_deadline", deadline.into());
    set("voice_prompt", prompt.into());
    set("voice_language", language.into());
    set("traceparent", trace.to_string().into());
    if !recordings.is_empty() {
        set("voice_earlier_recordings", recordings.iter().map(to_recording).collect());
    }
    if let Some(answered_text) = answered_text {
        set("voice_answered_text", answered_text.into());
    }
    if !tools.is_empty() {
        set("voice_tools", tools.iter().map(to_tool).collect());
    }
    if !earlier_text.is_empty() {
        set("voice_earlier_text", earlier_text.into());
    }
    NewJob {
        id: job_id(&call_id, turn, round),
        args: vec![call_id.clone().into(), last.map(|last| last.url).into(), history.into()],
        call_id: Some(call_id),
        headers,
        // Nobody waits for it any longer than this.
        expires: now.checked_add(budget).ok(),
        ..NewJob::new(TASK)
    }
}

fn recordings_of(utterance: Utterance) -> Vec<Recording> {
    match utterance {
        Utterance::Recorded(recordings) => recordings,
        Utterance::Heard(_) => {
            tracing::error!("live audio came by a door that has none");
            Vec::new()
        }
    }
}

fn to_recording(recording: &Recording) -> Value {
    json!({ "url": recording.url, "speech_start_ms": millis(recording.speech_start) })
}

/// A message, and the results of what it asks for, in the form that language models take.
fn to_messages(message: &Message) -> Vec<Value> {
    let Message { role, content, tools } = message;
    let role = match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let mut said = json!({ "role": role, "content": content });
    if tools.is_empty() {
        return vec![said];
    }
    said["tool_calls"] = tools.iter().map(|ToolUse { call, .. }| to_call(call)).collect();
    let results = tools.iter().map(
        |ToolUse { call, result }| json!({ "role": "tool", "tool_call_id": call.id, "content": result }),
    );
    std::iter::once(said).chain(results).collect()
}

fn to_call(call: &ToolCall) -> Value {
    let ToolCall { id, name, arguments } = call;
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn from_call(call: voice_jobs::ToolCall) -> ToolCall {
    let voice_jobs::ToolCall { id, name, arguments } = call;
    ToolCall { id, name, arguments }
}

fn to_tool(tool: &Declaration) -> Value {
    let Declaration { name, description, parameters } = tool;
    json!({ "name": name, "description": description, "parameters": parameters })
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
