//! The queue from a worker's side: claim, run, report, let go.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Job, JobFailure, Jobs, JobsError, Progress, ProgressSink,
    claim::{Claimed, Found, Waiter},
    control, result,
    wire::{Decoded, Envelope, Refusal},
};

/// Well under a third of any visibility timeout that is in use (kombu's default is an hour).
const RENEW: Duration = Duration::from_secs(5);

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// Revoked ids that are remembered.
const REVOKED: usize = 10_000;

/// Runs jobs.
pub trait Handler: Send + Sync {
    /// Runs a job to its result. `cancel` fires when the job is revoked; the future may also be dropped then.
    /// `Completed` is reported by the handler itself.
    fn run(
        &self,
        job: Job,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<Value, JobFailure>> + Send>>;
}

/// How a worker consumes.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// As Celery's tools show it: `name@host`.
    pub worker_name: String,
    /// Jobs at the same time.
    pub concurrency: usize,
    /// Names of the tasks that the handler knows.
    pub tasks: Vec<&'static str>,
}

/// A worker's consumer.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    jobs: Jobs,
    config: ConsumerConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Jobs in hand: delivery tag by job id, and what stops each.
    running: HashMap<String, (String, CancellationToken)>,
    revoked: VecDeque<String>,
}

/// How a job ended.
enum End {
    Done(Result<Value, JobFailure>),
    Revoked(&'static str),
    /// The worker is being stopped.
    HandedBack,
}

impl Consumer {
    /// Makes a consumer of a queue.
    pub fn new(jobs: Jobs, config: ConsumerConfig) -> Self {
        Self { shared: Arc::new(Shared { jobs, config, state: Mutex::default() }) }
    }

    /// Takes and runs jobs until `shutdown`; then finishes what runs within `drain` and hands back the rest.
    pub async fn run(self, handler: Arc<dyn Handler>, shutdown: CancellationToken, drain: Duration) {
        let shared = self.shared;
        let mut helpers = JoinSet::new();
        helpers.spawn(renew(shared.clone()));
        helpers.spawn(obey(shared.clone()));
        let permits = Arc::new(Semaphore::new(shared.config.concurrency));
        let hand_back = CancellationToken::new();
        let mut running = JoinSet::new();
        let mut waiter = Waiter::default();
        let mut backoff = FIRST_BACKOFF;
        while !shutdown.is_cancelled() {
            while running.try_join_next().is_some() {}
            let permit = tokio::select! {
                permit = permits.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
                () = shutdown.cancelled() => break,
            };
            match shared.jobs.claim().await {
                Ok(Found::Message(claimed)) => {
                    let work = take(shared.clone(), handler.clone(), claimed, hand_back.clone());
                    running.spawn(async move {
                        work.await;
                        drop(permit);
                    });
                }
                Ok(Found::Poison) => tracing::warn!("something that is not a message went to the dead list"),
                Ok(Found::Nothing) => {
                    drop(permit);
                    let waited = tokio::select! {
                        waited = waiter.wait(&shared.jobs) => waited,
                        () = shutdown.cancelled() => break,
                    };
                    match waited {
                        Ok(()) => backoff = FIRST_BACKOFF,
                        Err(error) => pause(&error, &mut backoff, &shutdown).await,
                    }
                }
                Err(error) => pause(&error, &mut backoff, &shutdown).await,
            }
        }
        let finished = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, finished).await.is_err() {
            tracing::warn!(jobs = running.len(), "jobs did not finish in time and are handed back");
            hand_back.cancel();
            let handed = async { while running.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(Duration::from_secs(3), handed).await;
        }
    }
}

async fn pause(error: &JobsError, backoff: &mut Duration, shutdown: &CancellationToken) {
    tracing::warn!(%error, "the queue cannot be read for now");
    tokio::select! {
        () = tokio::time::sleep(*backoff) => {}
        () = shutdown.cancelled() => {}
    }
    *backoff = (*backoff * 2).min(LONGEST_BACKOFF);
}

/// One message, from claim to letting go.
async fn take(
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    claimed: Claimed,
    hand_back: CancellationToken,
) {
    let jobs = &shared.jobs;
    let outcome = match Envelope::parse(&claimed.raw) {
        Ok(envelope) => {
            let id = envelope.header("id").map(str::to_owned);
            envelope.decode().map_err(|refusal| (id, refusal))
        }
        Err(refusal) => Err((None, refusal)),
    };
    let kept = match outcome {
        Ok(decoded) => run_one(&shared, handler, &claimed, decoded, hand_back).await,
        Err((Some(id), refusal)) => refuse(&shared, &claimed, &id, &refusal).await,
        Err((None, refusal)) => {
            tracing::warn!(%refusal, "a message went to the dead list");
            jobs.bury(&claimed, "UNREADABLE").await
        }
    };
    if let Err(error) = kept {
        // It stays in `unacked`, from where it is restored.
        tracing::error!(%error, "what became of a job could not be stored");
    }
}

/// The sender learns of it, unlike with Celery, and the message is kept for whoever looks into it.
async fn refuse(shared: &Shared, claimed: &Claimed, id: &str, refusal: &Refusal) -> Result<(), JobsError> {
    tracing::warn!(job.id = id, %refusal, "a message was refused");
    let failure = JobFailure::new("InvalidMessage", refusal.to_string());
    fail(shared, id, &failure).await;
    shared.jobs.store(id, &result::failure(id, &failure, Timestamp::now())).await?;
    shared.jobs.bury(claimed, "REFUSED").await
}

async fn fail(shared: &Shared, id: &str, failure: &JobFailure) {
    let JobFailure { reason, message } = failure.clone();
    let sink = ProgressSink { jobs: shared.jobs.clone(), job_id: id.to_owned() };
    sink.emit(Progress::Failed { reason, message }).await;
}

async fn run_one(
    shared: &Arc<Shared>,
    handler: Arc<dyn Handler>,
    claimed: &Claimed,
    decoded: Decoded,
    hand_back: CancellationToken,
) -> Result<(), JobsError> {
    let Decoded { job, eta, expires, ignore_result } = decoded;
    let id = job.id.clone();
    let cancel = CancellationToken::new();
    let is_revoked = claimed.is_revoked | !shared.begin(&id, &claimed.tag, &cancel);
    let held = Held { shared: shared.clone(), id: id.clone() };
    let end = if is_revoked {
        End::Revoked("revoked")
    } else {
        run_held(shared, handler, job, (eta, expires), cancel, hand_back).await
    };
    drop(held);
    let now = Timestamp::now();
    let text = match end {
        End::HandedBack => return shared.jobs.hand_back(claimed).await,
        End::Done(Ok(_)) if ignore_result => String::new(),
        End::Done(Ok(value)) => result::success(&id, &value, now),
        End::Done(Err(failure)) => {
            fail(shared, &id, &failure).await;
            result::failure(&id, &failure, now)
        }
        End::Revoked(why) => {
            let sink = ProgressSink { jobs: shared.jobs.clone(), job_id: id.clone() };
            sink.emit(Progress::Cancelled).await;
            result::revoked(&id, why, now)
        }
    };
    shared.jobs.finish(&id, &claimed.tag, &text).await
}

async fn run_held(
    shared: &Arc<Shared>,
    handler: Arc<dyn Handler>,
    job: Job,
    (eta, expires): (Option<Timestamp>, Option<Timestamp>),
    cancel: CancellationToken,
    hand_back: CancellationToken,
) -> End {
    if let Some(wait) = eta.and_then(|eta| Duration::try_from(eta.duration_since(Timestamp::now())).ok()) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cancel.cancelled() => return End::Revoked("revoked"),
            () = hand_back.cancelled() => return End::HandedBack,
        }
    }
    if expires.is_some_and(|expires| expires <= Timestamp::now()) {
        return End::Revoked("expired");
    }
    if !shared.config.tasks.contains(&job.task.as_str()) {
        let message = format!("task \"{}\" is not known here", job.task);
        return End::Done(Err(JobFailure::new("NotRegistered", message)));
    }
    let worker = shared.config.worker_name.clone();
    let sink = ProgressSink { jobs: shared.jobs.clone(), job_id: job.id.clone() };
    let started = result::started(&job.id, &worker, std::process::id());
    let id = job.id.clone();
    // Told side by side with the work: nobody should wait for a note about it.
    let work = handler.run(job, sink.clone(), cancel.clone());
    let told = async {
        sink.emit(Progress::Started { worker }).await;
        if let Err(error) = shared.jobs.store(&id, &started).await {
            tracing::warn!(%error, "the start of a job could not be stored");
        }
    };
    told.await;
    tokio::select! {
        done = work => End::Done(done),
        () = cancel.cancelled() => End::Revoked("terminated"),
        () = hand_back.cancelled() => End::HandedBack,
    }
}

impl Shared {
    /// Notes that a job is in hand; `false` if it has been revoked.
    fn begin(&self, id: &str, tag: &str, cancel: &CancellationToken) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.insert(id.to_owned(), (tag.to_owned(), cancel.clone()));
        !state.revoked.iter().any(|revoked| revoked == id)
    }

    fn revoke(&self, ids: Vec<String>, terminate: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            if let Some((_, cancel)) = state.running.get(&id)
                && terminate
            {
                cancel.cancel();
            }
            state.revoked.push_back(id);
            if state.revoked.len() > REVOKED {
                state.revoked.pop_front();
            }
        }
    }
}

/// A job in hand; is let go however its run ends.
struct Held {
    shared: Arc<Shared>,
    id: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&self.id);
    }
}

/// Keeps the leases of everything in hand.
async fn renew(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(RENEW).await;
        let tags: Vec<String> = {
            let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running.values().map(|(tag, _)| tag.clone()).collect()
        };
        if let Err(error) = shared.jobs.renew(&tags).await {
            tracing::warn!(%error, "leases could not be renewed");
        }
    }
}

/// Listens for revocations.
async fn obey(shared: Arc<Shared>) {
    let channel = control::channel(shared.jobs.inner.db);
    loop {
        if let Ok(mut connection) = shared.jobs.inner.client.get_async_pubsub().await
            && connection.subscribe(&channel).await.is_ok()
        {
            let mut messages = connection.on_message();
            while let Some(message) = messages.next().await {
                let Ok(text) = message.get_payload::<String>() else { continue };
                if let Some((ids, terminate)) = control::revoked(&text, &shared.config.worker_name) {
                    shared.revoke(ids, terminate);
                }
            }
        }
        tokio::time::sleep(FIRST_BACKOFF * 4).await;
    }
}
