//! The queue's API where jobs end, fail, wait or are dead.

use serde_json::json;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use voice_proto::worker::v1::{
    CancelJobRequest, CreateJobRequest, GetJobRequest, Job, JobState, ListDeadJobsRequest,
    ListDeadJobsResponse, RequeueDeadJobRequest, WatchJobRequest, job_event,
    worker_service_client::WorkerServiceClient,
};

use super::*;
use crate::{
    mesh::eventually,
    redis::Probe,
    speech::{hosted, spoken},
};

type Worker = WorkerServiceClient<Channel>;

async fn job(worker: &Worker, job_id: &str) -> Job {
    let request = GetJobRequest { job_id: job_id.into() };
    worker.clone().get_job(request).await.unwrap().into_inner().job.unwrap()
}

async fn comes_to(worker: &Worker, job_id: &str, state: JobState) -> Job {
    let what = format!("{job_id} {state:?}");
    let reached =
        eventually(LIMIT, &what, async || Some(job(worker, job_id).await).filter(|job| job.state() == state));
    reached.await.unwrap()
}

async fn cancel(worker: &Worker, job_id: &str) {
    worker.clone().cancel_job(CancelJobRequest { job_id: job_id.into() }).await.unwrap();
}

/// Makes a job, and more with the same recording.
async fn maker(mesh: &Mesh, recordings: &mut JoinSet<()>) -> impl AsyncFn(&str) {
    let recording_uri = hosted(spoken(QUESTION).await.unwrap(), recordings).await.unwrap();
    let worker = mesh.worker().await.unwrap();
    async move |job_id: &str| {
        let (job_id, recording_uri) = (job_id.to_owned(), recording_uri.clone());
        let request = CreateJobRequest { job_id, recording_uri, ..CreateJobRequest::default() };
        worker.clone().create_job(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_is_cancelled_before_it_starts_while_it_runs_between_attempts_and_not_once_it_is_over() {
    let mesh = mesh(Options::default().with("WORKER_CONCURRENCY", 1)).await;
    let mut recordings = JoinSet::new();
    let (make, worker) = (maker(&mesh, &mut recordings).await, mesh.worker().await.unwrap());
    make("over").await;
    assert_eq!(comes_to(&worker, "over", JobState::Succeeded).await.completed.unwrap().reply, ANSWER);
    mesh.groq.faults(json!({ "stt": { "kind": "hang" } })).await.unwrap();
    make("running").await;
    comes_to(&worker, "running", JobState::Started).await;
    make("waiting").await;
    assert_eq!(job(&worker, "waiting").await.state(), JobState::Pending);
    cancel(&worker, "waiting").await;
    assert_eq!(job(&worker, "waiting").await.state(), JobState::Cancelled);
    cancel(&worker, "running").await;
    comes_to(&worker, "running", JobState::Cancelled).await;
    let watch = WatchJobRequest { job_id: "waiting".into(), after_sequence: 0 };
    let mut events = worker.clone().watch_job(watch).await.unwrap().into_inner();
    let only = tokio::time::timeout(LIMIT, events.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(only.event.unwrap().event, Some(job_event::Event::Cancelled(_))));

    // The provider asks for time, and no caller waits: there will be another attempt.
    mesh.groq.faults(json!({ "stt": { "kind": "status", "status": 429, "retry_after": 20 } })).await.unwrap();
    make("failing").await;
    comes_to(&worker, "failing", JobState::Retrying).await;
    cancel(&worker, "failing").await;
    assert_eq!(job(&worker, "failing").await.state(), JobState::Cancelled);

    let before = job(&worker, "over").await;
    cancel(&worker, "over").await;
    assert_eq!(job(&worker, "over").await, before);
}

#[tokio::test]
async fn whatever_celery_says_of_a_job_has_a_state() {
    let mesh = mesh(Options::default()).await;
    let worker = mesh.worker().await.unwrap();
    let mut probe = Probe::connect(&mesh.env("REDIS_URL")).await.unwrap();
    for (status, state) in [
        ("PENDING", JobState::Pending),
        ("STARTED", JobState::Started),
        ("PROGRESS", JobState::Started),
        ("DOWNLOADING", JobState::Started),
        ("RETRY", JobState::Retrying),
        ("SUCCESS", JobState::Succeeded),
        ("FAILURE", JobState::Failed),
        ("REVOKED", JobState::Cancelled),
    ] {
        let result = json!({ "status": status, "result": null, "task_id": "theirs" }).to_string();
        probe.ask(&["SET", "celery-task-meta-theirs", &result]).await.unwrap();
        assert_eq!(job(&worker, "theirs").await.state(), state, "{status}");
    }
}

async fn page(worker: &Worker, page_token: &str) -> ListDeadJobsResponse {
    let request = ListDeadJobsRequest { page_size: 3, page_token: page_token.into() };
    worker.clone().list_dead_jobs(request).await.unwrap().into_inner()
}

/// Puts messages that are none on the queue, and waits until they are dead; gives their ids, oldest first.
async fn bury(mesh: &Mesh, worker: &Worker, texts: &[&str]) -> Vec<String> {
    let mut probe = Probe::connect(&mesh.env("REDIS_URL")).await.unwrap();
    let dead = format!("voice:dead:{}", mesh.env("JOB_QUEUE"));
    let mut ids = Vec::new();
    for text in texts {
        let before = probe.ask(&["LLEN", &dead]).await.unwrap();
        probe.ask(&["LPUSH", &mesh.env("JOB_QUEUE"), text]).await.unwrap();
        let buried = eventually(LIMIT, "a dead job", async || {
            (probe.ask(&["LLEN", &dead]).await.ok()? != before).then_some(())
        });
        buried.await.unwrap();
        ids.push(page(worker, "").await.dead_jobs[0].dead_job_id.clone());
    }
    ids
}

#[tokio::test]
async fn pages_of_the_dead_skip_and_repeat_nothing_while_others_die_and_are_requeued() {
    let mesh = mesh(Options::default()).await;
    let mut worker = mesh.worker().await.unwrap();
    let mut ids = bury(&mesh, &worker, &["a", "b", "c", "d", "e", "f", "g"]).await;
    ids.reverse();
    let first = page(&worker, "").await;
    bury(&mesh, &worker, &["h", "i"]).await;
    // One that has been seen goes back, and dies again as the newest.
    let back = RequeueDeadJobRequest { dead_job_id: ids[1].clone() };
    worker.requeue_dead_job(back).await.unwrap();
    let second = page(&worker, &first.next_page_token).await;
    bury(&mesh, &worker, &["j"]).await;
    let third = page(&worker, &second.next_page_token).await;
    assert_eq!(third.next_page_token, "");
    let pages = [first, second, third].into_iter().flat_map(|page| page.dead_jobs);
    assert_eq!(pages.map(|dead| dead.dead_job_id).collect::<Vec<_>>(), ids);
    let request = ListDeadJobsRequest { page_size: 3, page_token: "somewhere".into() };
    let refused = worker.list_dead_jobs(request).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "page_token");
}

#[tokio::test]
async fn a_dead_job_goes_back_once_and_begins_anew() {
    let mesh = mesh(Options::default()).await;
    let mut recordings = JoinSet::new();
    let (make, mut worker) = (maker(&mesh, &mut recordings).await, mesh.worker().await.unwrap());
    make("again").await;
    comes_to(&worker, "again", JobState::Succeeded).await;
    // As if it had killed its workers.
    let queue = mesh.env("JOB_QUEUE");
    let mut probe = Probe::connect(&mesh.env("REDIS_URL")).await.unwrap();
    let message = json!({
        "body": "W1siY2FsbC0xIiwgImh0dHA6Ly8xMjcuMC4wLjE6OS94LndhdiIsIFtdXSwge30sIG51bGxd",
        "content-encoding": "utf-8", "content-type": "application/json",
        "headers": { "id": "again", "task": "get_llm_response_task", "voice_deadline": 1 },
        "properties": { "delivery_tag": "tag-1", "body_encoding": "base64", "delivery_info": {} },
    });
    let entry =
        json!({ "id": "dead-1", "reason": "KILLS_WORKERS", "at": "1", "message": message.to_string() });
    probe.ask(&["LPUSH", &format!("voice:dead:{queue}"), &entry.to_string()]).await.unwrap();
    let requeue = || RequeueDeadJobRequest { dead_job_id: "dead-1".into() };
    let (one, other) = {
        let mut second = worker.clone();
        tokio::join!(worker.requeue_dead_job(requeue()), second.requeue_dead_job(requeue()))
    };
    let refused = one.err().xor(other.err()).expect("one of the two");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "DEAD_JOB_NOT_FOUND");
    comes_to(&worker, "again", JobState::Failed).await;
    let watch = WatchJobRequest { job_id: "again".into(), after_sequence: 0 };
    let mut events = worker.watch_job(watch).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(event) = tokio::time::timeout(LIMIT, events.message()).await.unwrap().unwrap() {
        seen.push(event.event.unwrap().event.unwrap());
    }
    assert!(matches!(&seen[..], [job_event::Event::Started(_), job_event::Event::Failed(_)]), "{seen:#?}");
}
