//! Wire types from and to the domain's.

use voice_jobs::{Progress, ProgressEvent};
use voice_proto::worker::v1 as pb;

use crate::error::Error;

#[derive(Debug)]
pub(super) struct WatchJob {
    pub(super) job_id: String,
    pub(super) after: u64,
}

impl TryFrom<pb::WatchJobRequest> for WatchJob {
    type Error = Error;

    fn try_from(request: pb::WatchJobRequest) -> Result<Self, Error> {
        let pb::WatchJobRequest { job_id, after_sequence } = request;
        if job_id.is_empty() {
            return Err(Error::InvalidField {
                field: "job_id",
                message: "is empty; send Celery's task id".into(),
            });
        }
        let after = u64::try_from(after_sequence).map_err(|_| Error::InvalidField {
            field: "after_sequence",
            message: format!("{after_sequence} is below zero"),
        })?;
        Ok(Self { job_id, after })
    }
}

pub(super) fn to_event(event: ProgressEvent) -> pb::JobEvent {
    let ProgressEvent { sequence, at, event } = event;
    use pb::job_event::Event;
    let event = match event {
        Progress::Started { worker } => Event::Started(pb::JobStarted { worker }),
        Progress::Fetched { bytes } => {
            Event::RecordingFetched(pb::RecordingFetched { recording_bytes: bytes as i64 })
        }
        Progress::Transcript { text } => Event::Transcript(pb::Transcript { text }),
        Progress::ReplyDelta { text } => Event::ReplyDelta(pb::ReplyDelta { text }),
        Progress::Completed { transcript, reply } => Event::Completed(pb::JobCompleted { transcript, reply }),
        Progress::Failed { reason, message } => Event::Failed(pb::JobFailed { reason, message }),
        Progress::Cancelled => Event::Cancelled(pb::JobCancelled {}),
    };
    let event_time = prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
    pb::JobEvent { sequence: sequence as i64, event_time: Some(event_time), event: Some(event) }
}
