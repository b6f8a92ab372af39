//! The queue against a real Redis that each test starts for itself.

mod redis;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use deadpool_redis::redis::AsyncCommands as _;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::redis::Redis;
use crate::{
    Consumer, ConsumerConfig, DeadJob, Handler, Job, JobFailure, Jobs, JobsError, NewJob, Progress,
    ProgressEvent, ProgressSink,
    batch::Command as _,
    claim::{Claimed, Heartbeat, Owner, Tended},
    store::{Enqueue, Fate, Settlement},
    wire,
};

/// Generous: machines here are shared.
const LIMIT: Duration = Duration::from_mins(1);
const TASK: &str = "get_llm_response_task";

/// Does what the job's first argument says.
struct Script;

impl Handler for Script {
    fn run(
        &self,
        job: Job,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<Value, JobFailure>> + Send>> {
        Box::pin(async move {
            match job.args.first().and_then(Value::as_str) {
                Some("pass") if job.retries < 2 => {
                    Err(JobFailure::new("STT_UNAVAILABLE", "for now").passing(Duration::ZERO))
                }
                Some("slow") => {
                    let done = async {
                        tokio::time::sleep(Duration::from_mins(1)).await;
                        json!("late")
                    };
                    tokio::select! {
                        late = done => Ok(late),
                        () = cancel.cancelled(), if job.args.len() == 1 => Ok(json!("in time")),
                    }
                }
                Some("fail") => Err(JobFailure::new("STT_UNAVAILABLE", "the provider is away")),
                Some("hang") => {
                    cancel.cancelled().await;
                    std::future::pending().await
                }
                _ => {
                    progress.emit(Progress::Transcript { text: "hello".into() }).await;
                    for text in ["Hi ", "there."] {
                        progress.emit(Progress::ReplyDelta { text: text.into() }).await;
                    }
                    Ok(json!({ "llm_response": "Hi there.", "user_transcript": "hello" }))
                }
            }
        })
    }
}

struct Worker {
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

fn worker(jobs: &Jobs) -> Worker {
    let config = ConsumerConfig { worker_name: "w1@test".into(), concurrency: 4, tasks: vec![TASK] };
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let consumer = Consumer::new(jobs.clone(), config);
    tasks.spawn(consumer.run(Arc::new(Script), shutdown.clone(), Duration::from_millis(200)));
    Worker { shutdown, tasks }
}

fn job(what: &str) -> NewJob {
    NewJob { args: vec![what.into(), "http://127.0.0.1/r.wav".into(), json!([])], ..NewJob::new(TASK) }
}

async fn all(events: impl Stream<Item = Result<ProgressEvent, JobsError>>) -> Vec<Progress> {
    let events = events.map(|event| event.unwrap());
    let events: Vec<ProgressEvent> = tokio::time::timeout(LIMIT, events.collect()).await.unwrap();
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.sequence, n as u64 + 1, "{events:?}");
    }
    events.into_iter().map(|event| event.event).collect()
}

fn whole_turn() -> Vec<Progress> {
    vec![
        Progress::Started { worker: "w1@test".into() },
        Progress::Transcript { text: "hello".into() },
        Progress::ReplyDelta { text: "Hi ".into() },
        Progress::ReplyDelta { text: "there.".into() },
        Progress::Completed { transcript: "hello".into(), reply: "Hi there.".into(), tool_calls: Vec::new() },
    ]
}

async fn stored(redis: &Redis, id: &str) -> Value {
    let mut connection = redis.connection().await;
    loop {
        let text: Option<String> = connection.get(format!("celery-task-meta-{id}")).await.unwrap();
        let value: Value = text.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
        if ["SUCCESS", "FAILURE", "REVOKED"].contains(&value["status"].as_str().unwrap_or_default()) {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_job_is_run_watched_and_let_go() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let worker = worker(&jobs);
    let new = job("answer");
    assert_eq!(all(jobs.run(new.clone())).await, whole_turn());
    let result = stored(&redis, &new.id).await;
    assert_eq!(result["result"], json!({ "llm_response": "Hi there.", "user_transcript": "hello" }));
    assert_eq!(redis.in_hand().await, 0);
    drop(worker);
}

#[tokio::test]
async fn a_watcher_that_comes_late_sees_everything_from_the_first_event() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    let new = job("answer");
    jobs.enqueue(&new).await.unwrap();
    stored(&redis, &new.id).await;
    assert_eq!(all(jobs.watch(&new.id, 0)).await, whole_turn());
    let later: Vec<_> = jobs.watch(&new.id, 3).map(|event| event.unwrap().sequence).collect().await;
    assert_eq!(later, [4, 5]);
}

#[tokio::test]
async fn a_failure_is_told_to_watchers_and_to_python() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    let new = job("fail");
    let last = all(jobs.run(new.clone())).await.pop();
    let message = "the provider is away".to_owned();
    assert_eq!(last, Some(Progress::Failed { reason: "STT_UNAVAILABLE".into(), message }));
    let result = stored(&redis, &new.id).await;
    assert_eq!(result["status"], "FAILURE");
    assert_eq!(result["result"]["exc_type"], "STT_UNAVAILABLE");
}

#[tokio::test]
async fn a_job_is_revoked_while_it_runs_and_before_it_runs() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let early = job("answer");
    jobs.enqueue(&early).await.unwrap();
    jobs.revoke(&early.id).await.unwrap();
    let _worker = worker(&jobs);
    assert_eq!(all(jobs.watch(&early.id, 0)).await, [Progress::Cancelled]);
    let running = job("hang");
    let mut events = Box::pin(jobs.run(running.clone()));
    assert!(matches!(events.next().await.unwrap().unwrap().event, Progress::Started { .. }));
    jobs.revoke(&running.id).await.unwrap();
    let next = tokio::time::timeout(LIMIT, events.next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap().event, Progress::Cancelled);
    assert_eq!(stored(&redis, &running.id).await["result"]["exc_message"], json!(["terminated"]));
    assert_eq!(stored(&redis, &early.id).await["result"]["exc_message"], json!(["revoked"]));
}

/// The dead messages, once there are so many.
async fn dead(jobs: &Jobs, count: usize) -> Vec<DeadJob> {
    let waiting = async {
        loop {
            let dead = jobs.dead(0, 100).await.unwrap();
            if dead.len() >= count {
                return dead;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap()
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_dead_list_and_stops_nobody() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let mut connection = redis.connection().await;
    let body_not_json = {
        let text = wire::encode(
            &job("answer"),
            &uuid::Uuid::new_v4().to_string(),
            "celery",
            &wire::Sender::new(),
            Timestamp::now(),
        );
        let mut message: Value = serde_json::from_str(&text).unwrap();
        message["body"] = "bm90IGpzb24=".into();
        message
    };
    let id = body_not_json["headers"]["id"].as_str().unwrap().to_owned();
    for poison in ["not json", "{}", r#"{"properties":{"delivery_tag":"t"}}"#, &body_not_json.to_string()] {
        let _: () = connection.lpush("celery", poison).await.unwrap();
    }
    let _worker = worker(&jobs);
    assert_eq!(all(jobs.run(job("answer"))).await, whole_turn());
    let failure = all(jobs.watch(&id, 0)).await.pop();
    assert!(matches!(failure, Some(Progress::Failed { reason, .. }) if reason == "InvalidMessage"));
    assert_eq!(stored(&redis, &id).await["status"], "FAILURE");
    let mut dead = dead(&jobs, 4).await;
    dead.sort_by(|a, b| a.reason.cmp(&b.reason));
    let reasons: Vec<_> = dead.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["NOT_A_MESSAGE", "NOT_A_MESSAGE", "REFUSED", "UNREADABLE"]);
    assert_eq!((dead[2].job_id.as_str(), dead[2].task.as_str()), (id.as_str(), TASK));
    assert!(jobs.requeue(&dead[2].dead_id).await.unwrap());
    assert!(!jobs.requeue("nothing").await.unwrap());
    // It was tried again, and refused again.
    self::dead(&jobs, 4).await;
    assert_eq!(redis.in_hand().await, 0);
}

#[tokio::test]
async fn an_unknown_task_an_expired_one_and_a_chord_say_so() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    let unknown = NewJob::new("somebody.elses_task");
    let last = all(jobs.run(unknown)).await.pop();
    assert!(matches!(last, Some(Progress::Failed { reason, .. }) if reason == "NotRegistered"));
    let expired = NewJob { expires: Some(jiff::Timestamp::UNIX_EPOCH), ..job("answer") };
    assert_eq!(all(jobs.run(expired.clone())).await.pop(), Some(Progress::Cancelled));
    assert_eq!(stored(&redis, &expired.id).await["result"]["exc_message"], json!(["expired"]));
}

#[tokio::test]
async fn a_stock_workers_result_arrives_as_one_event() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let mut connection = redis.connection().await;
    for (id, result) in
        [("dict", json!({ "llm_response": "Hi.", "user_transcript": "hello" })), ("bare", json!("Hi."))]
    {
        let mut events = Box::pin(jobs.watch(id, 0));
        let text = json!({ "status": "SUCCESS", "result": result, "task_id": id }).to_string();
        let key = format!("celery-task-meta-{id}");
        let _: () = connection.set(&key, &text).await.unwrap();
        let _: () = connection.publish(&key, &text).await.unwrap();
        let event = tokio::time::timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap().event;
        assert!(matches!(event, Progress::Completed { reply, .. } if reply == "Hi."));
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn redis_may_restart_under_workers_and_watchers() {
    let mut redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    assert_eq!(all(jobs.run(job("answer"))).await, whole_turn());
    let mut waiting = Box::pin(jobs.watch("later", 0));
    let first = tokio::time::timeout(Duration::from_millis(50), waiting.next()).await;
    assert!(first.is_err(), "nothing has happened yet");
    redis.restart().await;
    let later = NewJob { id: "later".into(), ..job("answer") };
    let enqueue = async {
        while jobs.enqueue(&later).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, enqueue).await.unwrap();
    assert_eq!(all(waiting).await, whole_turn());
}

#[tokio::test]
async fn a_worker_that_is_stopped_hands_back_what_it_cannot_finish() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let mut first = worker(&jobs);
    let new = job("hang");
    let mut events = Box::pin(jobs.run(new.clone()));
    assert!(matches!(events.next().await.unwrap().unwrap().event, Progress::Started { .. }));
    first.shutdown.cancel();
    tokio::time::timeout(LIMIT, first.tasks.join_next()).await.unwrap();
    assert_eq!(redis.in_hand().await, 0);
    let mut connection = redis.connection().await;
    let waiting: Vec<String> = connection.lrange("celery", 0, -1).await.unwrap();
    let message: Value = serde_json::from_str(&waiting[0]).unwrap();
    assert_eq!(message["headers"]["id"], new.id.as_str());
    assert_eq!(message["headers"]["redelivered"], true);
}

#[tokio::test]
async fn a_broker_that_is_away_is_an_error_in_bounded_time() {
    let jobs = Jobs::connect(&"redis://127.0.0.1:9/0".to_owned().into(), "celery").unwrap();
    let enqueued = tokio::time::timeout(LIMIT, jobs.enqueue(&job("answer"))).await.unwrap();
    assert!(enqueued.is_err());
    assert!(matches!(Jobs::connect(&"http://x".to_owned().into(), "celery"), Err(JobsError::Url(_))));
    let bad = NewJob { id: "two words".into(), ..job("answer") };
    assert!(matches!(jobs.enqueue(&bad).await, Err(JobsError::BadJobId(_))));
}

/// A worker that takes messages and is never heard of again.
async fn dying(jobs: &Jobs) -> Vec<Claimed> {
    let owner = Owner::new("dying@test");
    loop {
        let claimed = jobs.claim(&owner, 64, 64).await.unwrap();
        if !claimed.is_empty() {
            return claimed;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until somebody's lease has run out and his messages have gone elsewhere.
async fn reaped(jobs: &Jobs) {
    let owner = Owner::new("undertaker@test");
    let reaping = async {
        while jobs.tend(&owner, &Heartbeat::default()).await.unwrap() == Tended::default() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        jobs.leave(&owner).await.unwrap();
    };
    tokio::time::timeout(LIMIT, reaping).await.unwrap();
}

#[tokio::test]
async fn a_dead_workers_job_runs_elsewhere_and_the_dead_cannot_speak() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let new = job("answer");
    jobs.enqueue(&new).await.unwrap();
    let claimed = dying(&jobs).await.remove(0);
    let _worker = worker(&jobs);
    let result = tokio::time::timeout(LIMIT, async {
        loop {
            let result = stored(&redis, &new.id).await;
            if result["status"] == "SUCCESS" {
                return result;
            }
        }
    });
    let result = result.await.unwrap();
    let late = Settlement {
        job_id: new.id.clone(),
        claim: claimed.claim.clone(),
        result: "overwritten".into(),
        event: String::new(),
        message: Fate::Done,
    };
    assert!(!jobs.settle(late).await.unwrap(), "the claim holds no more");
    assert_eq!(jobs.emit(&new.id, &claimed.claim, &Progress::Cancelled).await.unwrap(), 0);
    assert_eq!(stored(&redis, &new.id).await, result);
    let events = all(jobs.watch(&new.id, 0)).await;
    let starts = events.iter().filter(|event| matches!(event, Progress::Started { .. })).count();
    assert_eq!(starts, 2, "{events:?}");
    assert_eq!(redis.in_hand().await, 0);
}

#[tokio::test]
async fn a_queue_is_tended_until_the_lease_of_its_last_worker_has_run_out() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    assert!(jobs.is_tended().await.unwrap(), "stock Celery workers may be there");
    let mut dying = worker(&jobs);
    assert_eq!(all(jobs.run(job("answer"))).await, whole_turn());
    assert!(jobs.is_tended().await.unwrap());
    dying.tasks.shutdown().await;
    let lost = async { while jobs.is_tended().await.unwrap() {} };
    tokio::time::timeout(LIMIT, lost).await.unwrap();
    let leaving = worker(&jobs);
    assert_eq!(all(jobs.run(job("answer"))).await, whole_turn());
    leaving.shutdown.cancel();
    leaving.tasks.join_all().await;
    assert!(jobs.is_tended().await.unwrap(), "the last one has left in order");
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_given_up() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let new = job("answer");
    jobs.enqueue(&new).await.unwrap();
    for _ in 0..3 {
        dying(&jobs).await;
        reaped(&jobs).await;
    }
    assert_eq!(jobs.dead(0, 10).await.unwrap()[0].reason, "KILLS_WORKERS");
    let failure = all(jobs.watch(&new.id, 0)).await.pop();
    assert!(matches!(failure, Some(Progress::Failed { reason, .. }) if reason == "WorkerLostError"));
    assert_eq!(stored(&redis, &new.id).await["status"], "FAILURE");
}

#[tokio::test]
async fn what_is_restored_is_marked_as_kombu_marks_it_and_otherwise_unchanged() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let mut connection = redis.connection().await;
    let bare = r#"{"headers":{},"properties":{"delivery_tag":"t","delivery_info":{ }},"body":"\u00e9 1.50"}"#;
    let whole = wire::encode(
        &job("answer"),
        &uuid::Uuid::new_v4().to_string(),
        "celery",
        &wire::Sender::new(),
        Timestamp::now(),
    );
    for before in [bare.to_owned(), whole] {
        let _: () = connection.lpush("celery", &before).await.unwrap();
        assert_eq!(dying(&jobs).await[0].raw, before);
        reaped(&jobs).await;
        let after = dying(&jobs).await.remove(0).raw;
        let mut expected: Value = serde_json::from_str(&before).unwrap();
        expected["headers"]["redelivered"] = true.into();
        expected["properties"]["delivery_info"]["redelivered"] = true.into();
        assert_eq!(serde_json::from_str::<Value>(&after).unwrap(), expected);
        reaped(&jobs).await;
        assert_eq!(dying(&jobs).await[0].raw, after, "marked once");
        reaped(&jobs).await;
    }
}

#[tokio::test]
async fn a_job_waits_for_its_time_and_the_urgent_come_first() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let eta = Timestamp::now() + jiff::SignedDuration::from_millis(700);
    let later = NewJob { eta: Some(eta), ..job("answer") };
    let urgent = NewJob { priority: 1, ..job("answer") };
    let idle = NewJob { priority: 9, ..job("answer") };
    for new in [&idle, &later, &urgent] {
        jobs.enqueue(new).await.unwrap();
    }
    assert_eq!(jobs.stats().await.unwrap().waiting, 3);
    let owner = Owner::new("looking@test");
    let order: Vec<_> =
        jobs.claim(&owner, 64, 64).await.unwrap().into_iter().map(|claimed| claimed.raw).collect();
    let position = |new: &NewJob| order.iter().position(|raw| raw.contains(&new.id)).unwrap();
    assert!(position(&urgent) < position(&idle));
    jobs.leave(&owner).await.unwrap();
    let _worker = worker(&jobs);
    assert_eq!(all(jobs.watch(&later.id, 0)).await, whole_turn());
    assert!(Timestamp::now() >= eta);
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.parked, stats.workers), (0, 0, 1));
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_with_the_same_id() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    let new = job("pass");
    let events = all(jobs.run(new.clone())).await;
    let starts = events.iter().filter(|event| matches!(event, Progress::Started { .. })).count();
    assert_eq!(starts, 3, "{events:?}");
    assert_eq!(stored(&redis, &new.id).await["status"], "SUCCESS");
}

#[tokio::test]
async fn time_limits_end_a_job_softly_or_hard() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    let mut connection = redis.connection().await;
    // As Celery's own producers limit it.
    let mut ended = async |limits: Value, args: Vec<Value>| {
        let new = NewJob { args, ..job("slow") };
        let tag = uuid::Uuid::new_v4().to_string();
        let text = wire::encode(&new, &tag, "celery", &wire::Sender::new(), Timestamp::now());
        let mut message: Value = serde_json::from_str(&text).unwrap();
        message["headers"]["timelimit"] = limits;
        let _: () = connection.lpush("celery", message.to_string()).await.unwrap();
        all(jobs.watch(&new.id, 0)).await.pop()
    };
    let last = ended(json!([0.2, null]), vec!["slow".into(), 1.into()]).await;
    assert!(matches!(last, Some(Progress::Failed { reason, .. }) if reason == "TimeLimitExceeded"));
    let last = ended(json!([0.4, 0.1]), vec!["slow".into(), 1.into()]).await;
    assert!(matches!(last, Some(Progress::Failed { reason, .. }) if reason == "SoftTimeLimitExceeded"));
    let last = ended(json!([null, 0.1]), vec!["slow".into()]).await;
    assert!(matches!(last, Some(Progress::Completed { reply, .. }) if reply == "in time"));
}

#[tokio::test]
async fn a_full_queue_says_so_and_a_done_job_is_not_done_again() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let worker = worker(&jobs);
    let new = job("answer");
    assert_eq!(all(jobs.run(new.clone())).await, whole_turn());
    jobs.enqueue(&new).await.unwrap();
    assert_eq!(redis.in_hand().await, 0);
    assert_eq!(all(jobs.watch(&new.id, 0)).await, whole_turn(), "nothing was added");
    drop(worker);
    let mut connection = redis.connection().await;
    let filler = vec!["x"; 10_000];
    let _: () = connection.lpush("celery", filler).await.unwrap();
    assert!(matches!(jobs.enqueue(&job("answer")).await, Err(JobsError::QueueFull(_))));
}

#[tokio::test]
async fn a_redis_that_loses_jobs_is_warned_of_and_a_cluster_is_refused() {
    let warnings = Redis::start().await.jobs().inspect().await.unwrap();
    assert!(matches!(&warnings[..], [only] if only.contains("appendonly")), "{warnings:?}");
    let settings = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--save", "60 1"];
    let warnings = Redis::start_with(&settings).await.jobs().inspect().await.unwrap();
    assert!(matches!(&warnings[..], [only] if only.contains("maxmemory-policy")), "{warnings:?}");
    let nodes = tempfile::NamedTempFile::new().unwrap();
    let settings = ["--cluster-enabled", "yes", "--cluster-config-file", nodes.path().to_str().unwrap()];
    let refusal = Redis::start_with(&settings).await.jobs().inspect().await.unwrap_err();
    assert!(refusal.is_refusal() && refusal.to_string().contains("REDIS_URL"), "{refusal}");
}

#[tokio::test]
async fn a_redis_without_memory_is_an_error_and_then_forgotten() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    let mut connection = redis.connection().await;
    let set = async |connection: &mut _, memory: &str| {
        let mut command = deadpool_redis::redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(memory).query_async::<()>(connection).await.unwrap();
    };
    set(&mut connection, "1mb").await;
    assert!(jobs.enqueue(&job("answer")).await.is_err());
    set(&mut connection, "0").await;
    assert_eq!(all(jobs.run(job("answer"))).await, whole_turn());
}

/// Waits until a worker's lease and its channel are known to producers.
async fn is_ready(redis: &Redis) {
    let mut connection = redis.connection().await;
    let ready = async {
        loop {
            let workers: Vec<String> = connection.lrange("voice:ready:celery", 0, -1).await.unwrap();
            let channels: Vec<String> = deadpool_redis::redis::cmd("PUBSUB")
                .arg("CHANNELS")
                .arg("voice:inbox:*")
                .query_async(&mut connection)
                .await
                .unwrap();
            if !workers.is_empty() && workers.len() == channels.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, ready).await.unwrap();
}

#[tokio::test]
async fn a_new_job_is_handed_to_a_worker_that_has_a_hand_free_and_only_to_such() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let _worker = worker(&jobs);
    is_ready(&redis).await;
    let busy: Vec<NewJob> = (0..4).map(|_| job("hang")).collect();
    for new in &busy {
        jobs.enqueue(new).await.unwrap();
        // Claimed and started within the enqueuing itself.
        assert_eq!(jobs.status(&new.id).await.unwrap().unwrap().status, "STARTED");
    }
    let fifth = job("answer");
    jobs.enqueue(&fifth).await.unwrap();
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.in_hand), (1, 4), "four hands, four jobs");
    jobs.revoke(&busy[0].id).await.unwrap();
    assert_eq!(all(jobs.watch(&fifth.id, 0)).await, whole_turn());
}

#[tokio::test]
async fn a_worker_that_does_not_listen_is_handed_nothing() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    // It lives, and has hands free.
    let heartbeat = Heartbeat { slots: 4, lost: Vec::new() };
    jobs.tend(&Owner::new("deaf@test"), &heartbeat).await.unwrap();
    let new = job("answer");
    jobs.enqueue(&new).await.unwrap();
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.in_hand), (1, 0));
    let _worker = worker(&jobs);
    assert_eq!(stored(&redis, &new.id).await["status"], "SUCCESS");
}

#[tokio::test]
async fn a_producer_that_says_the_same_again_enqueues_nothing_more() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let again = async |new: &NewJob| {
        let tag = format!("tag of {}", new.id);
        let message = wire::encode(new, &tag, "celery", &wire::Sender::new(), Timestamp::now());
        let (job_id, list, call_id) = (new.id.clone(), "celery".to_owned(), String::new());
        let enqueue = Enqueue { job_id, tag, list, message, is_due: true, call_id };
        Enqueue::carry_out(jobs.inner.store.clone(), vec![enqueue]).await.unwrap();
    };
    let waiting = job("answer");
    again(&waiting).await;
    again(&waiting).await;
    assert_eq!(jobs.stats().await.unwrap().waiting, 1);
    let _worker = worker(&jobs);
    assert_eq!(all(jobs.watch(&waiting.id, 0)).await, whole_turn());
    is_ready(&redis).await;
    // Handed over, and said again while it runs and when it has failed.
    let (running, failed) = (job("hang"), job("fail"));
    for new in [&running, &failed] {
        again(new).await;
    }
    assert!(matches!(all(jobs.watch(&failed.id, 0)).await.pop(), Some(Progress::Failed { .. })));
    for new in [&running, &failed] {
        again(new).await;
    }
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.in_hand), (0, 1), "the one that hangs");
}

#[tokio::test]
async fn a_message_whose_handing_over_was_lost_runs_all_the_same() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let mut worker = worker(&jobs);
    is_ready(&redis).await;
    let mut connection = redis.connection().await;
    let owner: Vec<String> = connection.lrange("voice:ready:celery", 0, -1).await.unwrap();
    // As when the answer to a claim is lost: Redis says that the worker holds it, and the worker never hears of it.
    let lost = job("answer");
    let raw = wire::encode(
        &lost,
        &uuid::Uuid::new_v4().to_string(),
        "celery",
        &wire::Sender::new(),
        Timestamp::now(),
    );
    let message: Value = serde_json::from_str(&raw).unwrap();
    let tag = message["properties"]["delivery_tag"].as_str().unwrap();
    let held = format!("voice:held:{}", owner[0]);
    let _: () = connection.hset("unacked", tag, format!("[{raw}, \"\", \"celery\"]")).await.unwrap();
    let _: () = connection.hset(held, tag, "1000000 celery").await.unwrap();
    assert_eq!(all(jobs.watch(&lost.id, 0)).await, whole_turn());
    assert_eq!(redis.in_hand().await, 0);
    worker.shutdown.cancel();
    tokio::time::timeout(LIMIT, worker.tasks.join_next()).await.unwrap();
    let ready: usize = connection.llen("voice:ready:celery").await.unwrap();
    assert_eq!(ready, 0, "nothing is handed to a worker that has gone");
}

#[tokio::test]
async fn a_call_has_one_waiting_job_and_the_newest_wins() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let of_call = |call: &str| NewJob { call_id: Some(call.into()), ..job("answer") };
    let (early, late, other) = (of_call("c1"), of_call("c1"), of_call("c2"));
    for new in [&early, &other, &late] {
        jobs.enqueue(new).await.unwrap();
    }
    assert_eq!(stored(&redis, &early.id).await["result"]["exc_message"], json!(["superseded"]));
    let _worker = worker(&jobs);
    assert_eq!(all(jobs.watch(&late.id, 0)).await, whole_turn());
    assert_eq!(all(jobs.watch(&other.id, 0)).await, whole_turn());
    assert_eq!(all(jobs.watch(&early.id, 0)).await, [Progress::Cancelled]);
    // One that runs already is not touched.
    let (running, next) = (NewJob { call_id: Some("c3".into()), ..job("hang") }, of_call("c3"));
    jobs.enqueue(&running).await.unwrap();
    let mut events = Box::pin(jobs.watch(&running.id, 0));
    assert!(matches!(events.next().await.unwrap().unwrap().event, Progress::Started { .. }));
    assert_eq!(all(jobs.run(next)).await, whole_turn());
    assert_eq!(jobs.status(&running.id).await.unwrap().unwrap().status, "STARTED");
}

#[tokio::test]
async fn workers_that_are_cut_off_at_any_moment_lose_nothing_and_finish_nothing_twice() {
    let redis = Redis::start().await;
    let jobs = redis.jobs();
    let all_jobs: Vec<NewJob> = (0..60).map(|_| job("answer")).collect();
    for new in &all_jobs {
        jobs.enqueue(new).await.unwrap();
    }
    // Dropped at whatever await they have come to: before, in and after each step from claim to letting go.
    for round in 0..15 {
        let doomed = worker(&redis.jobs());
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        drop(doomed);
    }
    let _worker = worker(&jobs);
    for new in &all_jobs {
        let result = tokio::time::timeout(LIMIT, async {
            while stored(&redis, &new.id).await["status"] != "SUCCESS" {}
        });
        result.await.unwrap();
    }
    for new in &all_jobs {
        let (events, _) = jobs.read(&new.id, 0).await.unwrap();
        let ends = events.iter().filter(|event| event.event.is_last()).count();
        assert_eq!(ends, 1, "{events:?}");
    }
    assert_eq!(redis.in_hand().await, 0);
    let mut connection = redis.connection().await;
    let left: Vec<String> = connection.keys("voice:held:*").await.unwrap();
    let deaths: usize = connection.hlen("voice:deaths:celery").await.unwrap();
    assert_eq!((left, deaths, jobs.dead(0, 10).await.unwrap().len()), (Vec::new(), 0, 0));
}

#[test]
fn a_job_is_written_as_celery_writes_it() {
    let new = NewJob { id: "4bc3".into(), ..job("answer") };
    let message: Value = serde_json::from_str(&wire::encode(
        &new,
        &uuid::Uuid::new_v4().to_string(),
        "celery",
        &wire::Sender { origin: "gen1@host".into(), ..wire::Sender::new() },
        Timestamp::UNIX_EPOCH,
    ))
    .unwrap();
    insta::assert_json_snapshot!(message, { ".properties.delivery_tag" => "[uuid]", ".properties.reply_to" => "[uuid]" });
}
