//! Wire types from and to the domain's.

use jiff::Timestamp;
use serde_json::{Value, json};
use voice_jobs::{DeadJob, JobStatus, NewJob, Progress, ProgressEvent, QueueStats, ToolCall};
use voice_proto::worker::v1 as pb;

use crate::{consumer::TASK, error::Error};

#[derive(Debug)]
pub(super) struct WatchJob {
    pub(super) job_id: String,
    pub(super) after: u64,
}

impl TryFrom<pb::WatchJobRequest> for WatchJob {
    type Error = Error;

    fn try_from(request: pb::WatchJobRequest) -> Result<Self, Error> {
        let pb::WatchJobRequest { job_id, after_sequence } = request;
        let job_id = self::job_id(job_id)?;
        let after = u64::try_from(after_sequence)
            .map_err(|_| invalid("after_sequence", format!("{after_sequence} is below zero")))?;
        Ok(Self { job_id, after })
    }
}

/// A page of the dead list.
#[derive(Debug)]
pub(super) struct Page {
    /// Of how many of the oldest ones; 0 for all.
    pub(super) oldest: usize,
    pub(super) size: usize,
}

impl TryFrom<pb::ListDeadJobsRequest> for Page {
    type Error = Error;

    fn try_from(request: pb::ListDeadJobsRequest) -> Result<Self, Error> {
        let pb::ListDeadJobsRequest { page_size, page_token } = request;
        let size = match page_size {
            0 => 50,
            _ => usize::try_from(page_size)
                .map_err(|_| invalid("page_size", format!("{page_size} is below zero")))?
                .min(200),
        };
        let oldest = if page_token.is_empty() { Ok(0) } else { page_token.parse() };
        let oldest = oldest.map_err(|_| invalid("page_token", "is not one that was given out here"))?;
        Ok(Self { oldest, size })
    }
}

pub(super) fn job_id(job_id: String) -> Result<String, Error> {
    if job_id.is_empty() { Err(invalid("job_id", "is empty; send Celery's task id")) } else { Ok(job_id) }
}

/// The job as a Celery producer would send it.
pub(super) fn to_new_job(request: pb::CreateJobRequest) -> Result<NewJob, Error> {
    let pb::CreateJobRequest {
        job_id,
        call_id,
        recording_uri,
        history,
        speech_start,
        priority,
        start_time,
        expire_time,
    } = request;
    if !["http://", "https://"].iter().any(|scheme| recording_uri.starts_with(scheme)) {
        return Err(invalid("recording_uri", "is not an http or https address"));
    }
    let mut job = NewJob::new(TASK);
    if !job_id.is_empty() {
        job.id = job_id;
    }
    let history: Vec<Value> = history.into_iter().map(to_message).collect::<Result<_, _>>()?;
    job.call_id = Some(call_id.clone()).filter(|id| !id.is_empty());
    job.args = vec![call_id.into(), recording_uri.into(), history.into()];
    job.priority = u8::try_from(priority)
        .ok()
        .filter(|priority| *priority <= 9)
        .ok_or_else(|| invalid("priority", format!("{priority} is not between 0 and 9")))?;
    if let Some(start) = speech_start {
        let start = std::time::Duration::try_from(start)
            .map_err(|_| invalid("speech_start", "is not a length of time"))?;
        job.headers.insert("voice_speech_start_ms".into(), (start.as_millis() as u64).into());
    }
    job.eta = start_time.map(|time| to_timestamp("start_time", time)).transpose()?;
    job.expires = expire_time.map(|time| to_timestamp("expire_time", time)).transpose()?;
    Ok(job)
}

fn to_message(message: pb::HistoryMessage) -> Result<Value, Error> {
    let role = match message.speaker() {
        pb::Speaker::User => "user",
        pb::Speaker::Assistant => "assistant",
        pb::Speaker::Unspecified => return Err(invalid("history.speaker", "is neither user nor assistant")),
    };
    if !message.tool_uses.is_empty() {
        return Err(invalid("history.tool_uses", "cannot be asked for by a job; use ProcessTurn"));
    }
    Ok(json!({ "role": role, "content": message.content }))
}

fn to_timestamp(field: &'static str, time: prost_types::Timestamp) -> Result<Timestamp, Error> {
    Timestamp::new(time.seconds, time.nanos).map_err(|error| invalid(field, error.to_string()))
}

fn invalid(field: &'static str, message: impl Into<String>) -> Error {
    Error::InvalidField { field, message: message.into() }
}

pub(super) fn to_job(job_id: String, status: Option<JobStatus>) -> pb::Job {
    let mut job = pb::Job { job_id, state: pb::JobState::Pending.into(), completed: None, failed: None };
    let Some(JobStatus { status, outcome }) = status else { return job };
    let state = match status.as_str() {
        "PENDING" => pb::JobState::Pending,
        "RETRY" => pb::JobState::Retrying,
        "SUCCESS" => pb::JobState::Succeeded,
        "FAILURE" => pb::JobState::Failed,
        "REVOKED" => pb::JobState::Cancelled,
        // Whatever else a program says of its progress, it has begun.
        _ => pb::JobState::Started,
    };
    job.state = state.into();
    match outcome {
        Some(Progress::Completed { transcript, reply, tool_calls }) => {
            job.completed = Some(to_completed(transcript, reply, tool_calls));
        }
        Some(Progress::Failed { reason, message }) => job.failed = Some(pb::JobFailed { reason, message }),
        _ => {}
    }
    job
}

pub(super) fn to_stats(stats: &QueueStats) -> pb::QueueStats {
    let QueueStats { waiting, parked, in_hand, dead, workers, oldest } = *stats;
    pb::QueueStats {
        waiting_count: waiting as i64,
        scheduled_count: parked as i64,
        in_hand_count: in_hand as i64,
        dead_count: dead as i64,
        worker_count: workers as i64,
        oldest_enqueue_time: oldest.map(from_timestamp),
    }
}

pub(super) fn to_dead_job(dead: DeadJob) -> pb::DeadJob {
    let DeadJob { dead_id, reason, at, job_id, task, older: _ } = dead;
    pb::DeadJob { dead_job_id: dead_id, reason, dead_time: Some(from_timestamp(at)), job_id, task }
}

fn from_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// All the words of a turn.
fn to_final_transcript(text: String) -> pb::Transcript {
    let stable_length = text.chars().count() as i32;
    pb::Transcript { text, is_final: true, stable_length, ..pb::Transcript::default() }
}

fn to_completed(transcript: String, reply: String, tool_calls: Vec<ToolCall>) -> pb::JobCompleted {
    pb::JobCompleted { transcript, reply, tool_calls: tool_calls.into_iter().map(to_tool_call).collect() }
}

pub(super) fn to_tool_call(call: ToolCall) -> pb::TurnToolCall {
    let ToolCall { id, name, arguments } = call;
    pb::TurnToolCall { tool_call_id: id, name, arguments }
}

pub(super) fn to_event(event: ProgressEvent) -> pb::JobEvent {
    let ProgressEvent { sequence, at, event } = event;
    use pb::job_event::Event;
    let event = match event {
        Progress::Started { worker } => Event::Started(pb::JobStarted { worker }),
        Progress::Fetched { bytes } => {
            Event::RecordingFetched(pb::RecordingFetched { recording_bytes: bytes as i64 })
        }
        Progress::Transcript { text } => Event::Transcript(to_final_transcript(text)),
        Progress::ReplyDelta { text } => Event::ReplyDelta(pb::ReplyDelta { text }),
        Progress::Completed { transcript, reply, tool_calls } => {
            Event::Completed(to_completed(transcript, reply, tool_calls))
        }
        Progress::Failed { reason, message } => Event::Failed(pb::JobFailed { reason, message }),
        Progress::Cancelled => Event::Cancelled(pb::JobCancelled {}),
    };
    pb::JobEvent { sequence: sequence as i64, event_time: Some(from_timestamp(at)), event: Some(event) }
}
