//! The queue from a worker's side: claim, run, report, let go.

mod hands;
mod job;
mod tend;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::hands::{Running, Shared};
use crate::{
    Job, JobFailure, Jobs, JobsError, ProgressSink,
    claim::{Claimed, FIRST_BACKOFF, LONGEST_BACKOFF},
    control,
    events::{self, Events},
    hub::Note,
};

/// Messages that are taken at once.
const BATCH: usize = 64;

/// Runs jobs.
pub trait Handler: Send + Sync {
    /// Runs a job to its result. `cancel` fires when the job is revoked or its soft time limit is reached; the
    /// future may also be dropped. The last event of the job is told by the queue itself.
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
    jobs: Jobs,
    config: ConsumerConfig,
}

impl Consumer {
    /// Makes a consumer of a queue.
    pub fn new(jobs: Jobs, config: ConsumerConfig) -> Self {
        Self { jobs, config }
    }

    /// Takes and runs jobs until `shutdown`; then finishes what runs within `drain` and hands back the rest.
    pub async fn run(self, handler: Arc<dyn Handler>, shutdown: CancellationToken, drain: Duration) {
        let Self { jobs, config } = self;
        let (events, outgoing) = Events::new(&config.worker_name);
        let mut helpers = JoinSet::new();
        helpers.spawn(events::publish(jobs.clone(), config.worker_name.clone(), outgoing));
        let shared = Arc::new(Shared::new(jobs, config, events, shutdown));
        helpers.spawn(tend::beat(shared.clone()));
        helpers.spawn(tend::ring(shared.clone()));
        helpers.spawn(control::obey(shared.clone()));
        let (hand_back, leaving) = (CancellationToken::new(), CancellationToken::new());
        let mut tending = JoinSet::new();
        tending.spawn(tend::tend(shared.clone(), leaving.clone()));
        let mut running = JoinSet::new();
        let permits = Arc::new(Semaphore::new(shared.config.concurrency));
        let desk = Desk { shared: shared.clone(), handler, permits, hand_back: hand_back.clone() };
        consume(&desk, &mut running).await;
        let finished = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, finished).await.is_err() {
            tracing::warn!(jobs = running.len(), "jobs did not finish in time and are handed back");
            hand_back.cancel();
            let handed = async { while running.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(Duration::from_secs(3), handed).await;
        }
        leaving.cancel();
        tending.join_next().await;
        shared.beat("worker-offline");
        // The goodbye is under way.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What every message in hand needs.
#[derive(Clone)]
struct Desk {
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    permits: Arc<Semaphore>,
    hand_back: CancellationToken,
}

impl Desk {
    /// Takes a message in hand; without a permit it waits for one.
    fn take(&self, running: &mut JoinSet<()>, claimed: Claimed, permit: Option<OwnedSemaphorePermit>) {
        let hand = self.shared.hold(&claimed);
        let Self { shared, handler, permits, hand_back } = self.clone();
        running.spawn(async move {
            let _permit = match permit {
                Some(permit) => Some(permit),
                None => permits.acquire_owned().await.ok(),
            };
            job::see_to(&shared, &*handler, claimed, &hand_back).await;
            drop(hand);
        });
    }
}

/// Takes messages in two ways: our own producers hand them over through the inbox, under a claim that has been made
/// already; all others are taken from the lists.
async fn consume(desk: &Desk, running: &mut JoinSet<()>) {
    let Shared { jobs, owner, shutdown, doorbell, config, .. } = &*desk.shared;
    let (permits, slots) = (&desk.permits, config.concurrency);
    let queue = &jobs.inner.store.keys.queue;
    let (mut inbox, _joined) = jobs.inner.hub.join(vec![owner.inbox()], slots + BATCH);
    let mut backoff = FIRST_BACKOFF;
    let mut may_wait = true;
    loop {
        while running.try_join_next().is_some() {}
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            note = inbox.notes.recv() => {
                // One that is lost is found with the next heartbeats.
                if let Some(Note::Published { payload, .. }) = note
                    && let Some(claimed) = owner.read(&payload, queue)
                {
                    desk.take(running, claimed, None);
                }
                continue;
            }
            () = doorbell.rung(), if !may_wait => {
                may_wait = true;
                continue;
            }
            permit = permits.clone().acquire_owned(), if may_wait => permit,
        };
        let mut free: Vec<_> = permit.into_iter().collect();
        free.extend(std::iter::from_fn(|| permits.clone().try_acquire_owned().ok()).take(BATCH - 1));
        match jobs.claim(owner, slots, free.len()).await {
            Ok(claimed) if claimed.is_empty() => {
                may_wait = false;
                backoff = FIRST_BACKOFF;
                doorbell.arm();
            }
            Ok(claimed) => {
                for (claimed, permit) in claimed.into_iter().zip(free) {
                    desk.take(running, claimed, Some(permit));
                }
            }
            Err(error) => pause(&error, &mut backoff, shutdown).await,
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
