//! The queue as an API, for those who have no Redis client at hand.

use prost_types::Timestamp;
use tokio::io::AsyncWriteExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;
use voice_proto::worker::v1::{
    CancelJobRequest, CreateJobRequest, GetJobRequest, GetQueueStatsRequest, HistoryMessage, Job, JobState,
    ListDeadJobsRequest, RequeueDeadJobRequest, Speaker, WatchJobRequest, job_event,
};

use super::*;
use crate::mesh::eventually;

fn request() -> CreateJobRequest {
    CreateJobRequest {
        job_id: "mine-1".into(),
        call_id: "call-1".into(),
        recording_uri: "http://127.0.0.1:9/recording.wav".into(),
        history: vec![HistoryMessage {
            speaker: Speaker::User.into(),
            content: "hello".into(),
            ..HistoryMessage::default()
        }],
        ..CreateJobRequest::default()
    }
}

#[tokio::test]
async fn jobs_are_made_read_watched_and_cancelled_by_rpc() {
    let mesh = mesh(Options::default()).await;
    let mut worker = mesh.worker().await.unwrap();
    let later = Timestamp { seconds: 4_000_000_000, nanos: 0 };
    let job = CreateJobRequest { start_time: Some(later), ..request() };
    let made: Job = worker.create_job(job).await.unwrap().into_inner().job.unwrap();
    assert_eq!((made.job_id.as_str(), made.state()), ("mine-1", JobState::Pending));
    let stats =
        async |worker: &mut voice_proto::worker::v1::worker_service_client::WorkerServiceClient<_>| {
            worker.get_queue_stats(GetQueueStatsRequest {}).await.unwrap().into_inner().stats.unwrap()
        };
    eventually(LIMIT, "a scheduled job", async || {
        let stats = stats(&mut worker.clone()).await;
        (stats.scheduled_count == 1 && stats.worker_count == 1).then_some(())
    })
    .await
    .unwrap();
    let read = |job_id: &str| GetJobRequest { job_id: job_id.into() };
    let found = worker.get_job(read("mine-1")).await.unwrap().into_inner().job.unwrap();
    assert_eq!(found.state(), JobState::Pending);
    worker.cancel_job(CancelJobRequest { job_id: "mine-1".into() }).await.unwrap();
    let found = worker.get_job(read("mine-1")).await.unwrap().into_inner().job.unwrap();
    assert_eq!(found.state(), JobState::Cancelled);
    // Without a deadline of a caller's, a failure that may pass is tried again.
    worker.create_job(CreateJobRequest { job_id: "mine-2".into(), ..request() }).await.unwrap();
    let watch = WatchJobRequest { job_id: "mine-2".into(), after_sequence: 0 };
    let mut events = worker.watch_job(watch).await.unwrap().into_inner();
    let next = tokio::time::timeout(LIMIT, events.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(next.event.unwrap().event, Some(job_event::Event::Started(_))));
    let unknown = worker.get_job(read("nobody")).await.unwrap_err();
    assert_eq!(unknown.get_details_error_info().unwrap().reason, "JOB_NOT_FOUND");
}

#[tokio::test]
async fn wrong_jobs_name_the_field_and_dead_ones_are_listed_and_requeued() {
    let mesh = mesh(Options::default()).await;
    let mut worker = mesh.worker().await.unwrap();
    for (field, wrong) in [
        ("recording_uri", CreateJobRequest { recording_uri: "ftp://x".into(), ..request() }),
        ("priority", CreateJobRequest { priority: 10, ..request() }),
        ("job_id", CreateJobRequest { job_id: "two words".into(), ..request() }),
        ("history.speaker", CreateJobRequest { history: vec![HistoryMessage::default()], ..request() }),
    ] {
        let refused = worker.create_job(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    let redis = mesh.env("REDIS_URL");
    let address = redis.trim_start_matches("redis://").trim_end_matches("/0");
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let command = format!("LPUSH {} \"not a message\"\r\n", mesh.env("JOB_QUEUE"));
    socket.write_all(command.as_bytes()).await.unwrap();
    let dead = eventually(LIMIT, "a dead job", async || {
        let mut worker = worker.clone();
        let page = worker.list_dead_jobs(ListDeadJobsRequest::default()).await.ok()?.into_inner();
        page.dead_jobs.first().cloned()
    })
    .await
    .unwrap();
    assert_eq!(dead.reason, "NOT_A_MESSAGE");
    let requeue = |id: &str| RequeueDeadJobRequest { dead_job_id: id.into() };
    worker.requeue_dead_job(requeue(&dead.dead_job_id)).await.unwrap();
    let gone = worker.requeue_dead_job(requeue("nothing")).await.unwrap_err();
    assert_eq!(gone.get_details_error_info().unwrap().reason, "DEAD_JOB_NOT_FOUND");
}
