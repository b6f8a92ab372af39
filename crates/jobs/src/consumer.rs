//! The queue from a worker's side: claim, run, report, let go.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Job, JobFailure, Jobs, JobsError, Progress, ProgressSink,
    claim::{Claimed, Doorbell, FIRST_BACKOFF, Heartbeat, Kind, LEASE, LONGEST_BACKOFF, Owner, Tended},
    control,
    events::{self, Events, HEARTBEAT, REDACTED},
    hub::Note,
    result,
    store::{Fate, Settlement},
    wire::{self, Decoded, Envelope, Refusal},
};

/// A lease survives two heartbeats that are lost.
const TEND: Duration = Duration::from_millis(250);

/// Messages that are taken at once.
const BATCH: usize = 64;

/// What became of a job is tried to be stored for this long; then it stays with whoever gets it next.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// Further attempts at a job that failed in a way that may pass.
const MOST_RETRIES: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// A job that was told to end by its soft limit, and has no hard one, is ended after this.
const SOFT_GRACE: Duration = Duration::from_secs(1);

/// Revoked ids that are remembered.
const REVOKED: usize = 10_000;

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

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) jobs: Jobs,
    pub(crate) config: ConsumerConfig,
    pub(crate) events: Events,
    pub(crate) started: Instant,
    pub(crate) shutdown: CancellationToken,
    doorbell: Doorbell,
    owner: Owner,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages in hand, by delivery tag; with the job's id once it has begun.
    hands: HashMap<String, Option<(String, Running)>>,
    revoked: VecDeque<String>,
    totals: BTreeMap<String, u64>,
}

/// A job in hand.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) task: String,
    /// Unix seconds.
    pub(crate) since: f64,
    revoke: CancellationToken,
}

/// How a job ended.
#[derive(Debug)]
enum End {
    Done(Result<Value, JobFailure>),
    Revoked(&'static str),
    /// The worker is being stopped.
    HandedBack,
    /// Its time has not come.
    Early(Timestamp),
    /// Somebody else has it now.
    Lost,
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
        let owner = Owner::new(&config.worker_name);
        let shared = Arc::new(Shared {
            jobs,
            config,
            events,
            started: Instant::now(),
            shutdown,
            doorbell: Doorbell::default(),
            owner,
            state: Mutex::default(),
        });
        helpers.spawn(beat(shared.clone()));
        helpers.spawn(ring(shared.clone()));
        helpers.spawn(control::obey(shared.clone()));
        let (hand_back, leaving) = (CancellationToken::new(), CancellationToken::new());
        let mut tending = JoinSet::new();
        tending.spawn(tend(shared.clone(), leaving.clone()));
        let mut running = JoinSet::new();
        consume(&shared, &handler, &mut running, &hand_back).await;
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

/// Takes messages in two ways: our own producers hand them over through the inbox, under a claim that has been made
/// already; all others are taken from the lists.
async fn consume(
    shared: &Arc<Shared>,
    handler: &Arc<dyn Handler>,
    running: &mut JoinSet<()>,
    hand_back: &CancellationToken,
) {
    let Shared { jobs, owner, shutdown, doorbell, .. } = &**shared;
    let slots = shared.config.concurrency;
    let permits = Arc::new(Semaphore::new(slots));
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
                    && let Some(claimed) = owner.read(&payload)
                {
                    let (hand, permits) = (shared.hold(&claimed), permits.clone());
                    let (shared, handler, hand_back) = (shared.clone(), handler.clone(), hand_back.clone());
                    running.spawn(async move {
                        let _permit = permits.acquire_owned().await;
                        take(shared, handler, claimed, hand_back, hand).await;
                    });
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
                    let hand = shared.hold(&claimed);
                    let (shared, handler, hand_back) = (shared.clone(), handler.clone(), hand_back.clone());
                    running.spawn(async move {
                        let _permit = permit;
                        take(shared, handler, claimed, hand_back, hand).await;
                    });
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

/// One message, from claim to letting go.
async fn take(
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    claimed: Claimed,
    hand_back: CancellationToken,
    _hand: Hand,
) {
    let settlement = match Envelope::parse(&claimed.raw) {
        Ok(envelope) => {
            let id = envelope.header("id").map(str::to_owned);
            match envelope.decode() {
                Ok(decoded) => run_one(&shared, handler, claimed, decoded, hand_back).await,
                Err(refusal) => Some(refuse(claimed, id, &refusal)),
            }
        }
        Err(refusal) => Some(refuse(claimed, None, &refusal)),
    };
    if let Some(settlement) = settlement {
        settle(&shared.jobs, settlement).await;
    }
}

/// The sender learns of it, unlike with Celery, and the message is kept for whoever looks into it.
fn refuse(claimed: Claimed, id: Option<String>, refusal: &Refusal) -> Settlement {
    tracing::warn!(job.id = id, %refusal, "a message was refused");
    let failure = JobFailure::new("InvalidMessage", refusal.to_string());
    let (result, event) = match &id {
        Some(id) => (result::failure(id, &failure, Timestamp::now()), failed(&failure)),
        None => (String::new(), String::new()),
    };
    let reason = if id.is_some() { "REFUSED" } else { "UNREADABLE" };
    let message = Fate::Dead { message: claimed.raw, reason };
    Settlement { job_id: id.unwrap_or_default(), claim: claimed.claim, result, event, message }
}

fn failed(failure: &JobFailure) -> String {
    let JobFailure { reason, message, .. } = failure.clone();
    Progress::Failed { reason, message }.to_text()
}

/// Stores what became of a job, through a broker that is away for a while.
async fn settle(jobs: &Jobs, settlement: Settlement) {
    let begun = Instant::now();
    let mut backoff = FIRST_BACKOFF;
    loop {
        match jobs.settle(settlement.clone()).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(job.id = %settlement.job_id, "the lease was lost, so what became of a job is not ours to say");
                return;
            }
            Err(error) if begun.elapsed() > SETTLE_PATIENCE => {
                // The lease runs out, and somebody else runs it.
                tracing::error!(job.id = %settlement.job_id, %error, "what became of a job could not be stored");
                return;
            }
            Err(_) => tokio::time::sleep(backoff).await,
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

async fn run_one(
    shared: &Arc<Shared>,
    handler: Arc<dyn Handler>,
    claimed: Claimed,
    decoded: Decoded,
    hand_back: CancellationToken,
) -> Option<Settlement> {
    let (id, task) = (decoded.job.id.clone(), decoded.job.task.clone());
    let (retries, expires, ignore_result) = (decoded.job.retries, decoded.expires, decoded.ignore_result);
    let received = json!({
        "name": task, "args": REDACTED, "kwargs": REDACTED, "root_id": id, "parent_id": null,
        "retries": retries, "eta": decoded.eta.map(|eta| eta.to_string()), "expires": expires.map(|at| at.to_string()),
    });
    shared.events.job("task-received", &id, received);
    let begun = Instant::now();
    let revoke = CancellationToken::new();
    let is_revoked = !shared.begin(&id, &claimed.claim.tag, &task, &revoke) || claimed.kind == Kind::Revoked;
    let end = if is_revoked {
        End::Revoked("revoked")
    } else {
        run_held(shared, handler, &claimed, decoded, &revoke, hand_back).await
    };
    let now = Timestamp::now();
    let Claimed { raw, claim, .. } = claimed;
    let settled = |result: String, event: String, message: Fate| {
        Some(Settlement { job_id: id.clone(), claim: claim.clone(), result, event, message })
    };
    match end {
        End::Lost => None,
        End::HandedBack => {
            settled(String::new(), String::new(), Fate::Back(wire::redelivered(&raw).unwrap_or(raw)))
        }
        End::Early(due) => settled(String::new(), String::new(), Fate::Parked { message: raw, due }),
        End::Done(Ok(value)) => {
            let runtime = begun.elapsed().as_secs_f64();
            shared.events.job("task-succeeded", &id, json!({ "result": REDACTED, "runtime": runtime }));
            let result = if ignore_result { String::new() } else { result::success(&id, &value, now) };
            settled(result, result::completed(&value).to_text(), Fate::Done)
        }
        End::Done(Err(failure)) => {
            let told = json!({ "exception": failure.reason, "traceback": null });
            if let Some(due) = next_attempt(&failure, retries, expires, now)
                && let Some(message) = wire::retried(&raw, retries + 1, due)
            {
                shared.events.job("task-retried", &id, told);
                return settled(result::retry(&id, &failure), String::new(), Fate::Parked { message, due });
            }
            shared.events.job("task-failed", &id, told);
            settled(result::failure(&id, &failure, now), failed(&failure), Fate::Done)
        }
        End::Revoked(why) => {
            let told =
                json!({ "terminated": why == "terminated", "signum": null, "expired": why == "expired" });
            shared.events.job("task-revoked", &id, told);
            settled(result::revoked(&id, why, now), Progress::Cancelled.to_text(), Fate::Done)
        }
    }
}

/// When a job is tried again; `None` when it has failed for good.
fn next_attempt(
    failure: &JobFailure,
    retries: u32,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let least = failure.retry_after.filter(|_| retries < MOST_RETRIES)?;
    let backoff = FIRST_RETRY * 2_u32.pow(retries);
    // Jitter over the upper half, so that jobs that failed together do not come back together.
    let due = now.checked_add(backoff.mul_f64(0.5 + fastrand::f64() / 2.0).max(least)).ok()?;
    expires.is_none_or(|expires| due < expires).then_some(due)
}

async fn run_held(
    shared: &Arc<Shared>,
    handler: Arc<dyn Handler>,
    claimed: &Claimed,
    decoded: Decoded,
    revoke: &CancellationToken,
    hand_back: CancellationToken,
) -> End {
    let Decoded { job, eta, expires, ignore_result: _, soft_limit, hard_limit } = decoded;
    let now = Timestamp::now();
    if let Some(eta) = eta.filter(|eta| *eta > now) {
        return End::Early(eta);
    }
    if expires.is_some_and(|expires| expires <= now) {
        return End::Revoked("expired");
    }
    if !shared.config.tasks.contains(&job.task.as_str()) {
        let message = format!("task \"{}\" is not known here", job.task);
        return End::Done(Err(JobFailure::new("NotRegistered", message)));
    }
    if claimed.kind == Kind::Wait {
        match shared.jobs.start(&shared.owner, &claimed.claim, &job.id).await {
            Ok(true) => {}
            Ok(false) => return End::Lost,
            Err(error) => tracing::warn!(%error, "the start of a job could not be noted"),
        }
    }
    shared.events.job("task-started", &job.id, Value::Null);
    let (cancel, lost) = (revoke.child_token(), CancellationToken::new());
    let sink = ProgressSink {
        jobs: shared.jobs.clone(),
        job_id: job.id.clone(),
        claim: claimed.claim.clone(),
        lost: lost.clone(),
    };
    let work = handler.run(job, sink, cancel.clone());
    let limited = async {
        tokio::pin!(work);
        if let Some(soft) = soft_limit.filter(|soft| hard_limit.is_none_or(|hard| *soft < hard)) {
            if let Ok(done) = tokio::time::timeout(soft, &mut work).await {
                return done;
            }
            cancel.cancel();
            let rest = hard_limit.map_or(SOFT_GRACE, |hard| hard.saturating_sub(soft));
            let late = || Err(JobFailure::new("SoftTimeLimitExceeded", format!("{soft:?}")));
            return tokio::time::timeout(rest, work).await.unwrap_or_else(|_| late());
        }
        match hard_limit {
            None => work.await,
            Some(hard) => {
                let late = || Err(JobFailure::new("TimeLimitExceeded", format!("{hard:?}")));
                tokio::time::timeout(hard, work).await.unwrap_or_else(|_| late())
            }
        }
    };
    tokio::select! {
        done = limited => End::Done(done),
        () = revoke.cancelled() => End::Revoked("terminated"),
        () = lost.cancelled() => End::Lost,
        () = hand_back.cancelled() => End::HandedBack,
    }
}

impl Shared {
    /// Notes that a job is in hand; `false` if it has been revoked.
    fn begin(&self, id: &str, tag: &str, task: &str, revoke: &CancellationToken) -> bool {
        let running = Running { task: task.to_owned(), since: events::now(), revoke: revoke.clone() };
        let mut state = self.state();
        state.hands.insert(tag.to_owned(), Some((id.to_owned(), running)));
        *state.totals.entry(task.to_owned()).or_default() += 1;
        !state.revoked.iter().any(|revoked| revoked == id)
    }

    /// Stops jobs, and remembers those that may come; gives the ids that nobody here runs.
    pub(crate) fn revoke(&self, ids: &[String], terminate: bool) -> Vec<String> {
        let mut state = self.state();
        let mut others = Vec::new();
        for id in ids {
            let mut is_here = false;
            for (running_id, running) in state.hands.values().flatten() {
                if running_id == id {
                    is_here = true;
                    if terminate {
                        running.revoke.cancel();
                    }
                }
            }
            if !is_here {
                others.push(id.clone());
            }
            state.revoked.push_back(id.clone());
            if state.revoked.len() > REVOKED {
                state.revoked.pop_front();
            }
        }
        others
    }

    pub(crate) fn revoked(&self) -> Vec<String> {
        self.state().revoked.iter().cloned().collect()
    }

    pub(crate) fn totals(&self) -> BTreeMap<String, u64> {
        self.state().totals.clone()
    }

    pub(crate) fn running(&self, mut look: impl FnMut(&str, &Running) -> Value) -> Vec<Value> {
        self.state().hands.values().flatten().map(|(id, running)| look(id, running)).collect()
    }

    /// Tells that the worker lives.
    pub(crate) fn beat(&self, kind: &'static str) {
        let (active, processed) = {
            let state = self.state();
            (state.hands.len(), state.totals.values().sum())
        };
        self.events.worker(kind, active, processed);
    }

    fn hold(self: &Arc<Self>, claimed: &Claimed) -> Hand {
        let tag = claimed.claim.tag.clone();
        self.state().hands.insert(tag.clone(), None);
        Hand { shared: self.clone(), tag }
    }

    /// Those of some tags that this worker has not heard of.
    fn unknown(&self, tags: Vec<String>) -> HashSet<String> {
        let state = self.state();
        tags.into_iter().filter(|tag| !state.hands.contains_key(tag)).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that this worker knows to be in its hands, until it is let go.
struct Hand {
    shared: Arc<Shared>,
    tag: String,
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.shared.state().hands.remove(&self.tag);
    }
}

/// Keeps the lease, and does what dead workers left undone. A message that Redis says is in this worker's hands, and
/// that it has not heard of by the next heartbeat, is given back: the answer that told of it was lost.
async fn tend(shared: Arc<Shared>, leaving: CancellationToken) {
    let mut ticks = tokio::time::interval(TEND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heartbeat = Heartbeat { slots: shared.config.concurrency, lost: Vec::new() };
    let mut unheard_of = HashSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // After the last heartbeat, or that would sign it in again.
            () = leaving.cancelled() => {
                if let Err(error) = shared.jobs.leave(&shared.owner).await {
                    tracing::warn!(%error, "the lease runs out by itself");
                }
                return;
            }
            // At once, so that nothing more is handed to a worker that stops.
            () = shared.shutdown.cancelled(), if heartbeat.slots > 0 => heartbeat.slots = 0,
        }
        match tokio::time::timeout(LEASE, shared.jobs.tend(&shared.owner, &heartbeat)).await {
            Ok(Ok(Tended { restored, buried, hands })) => {
                if restored + buried > 0 {
                    tracing::warn!(restored, buried, "jobs that a worker had lost are given to others");
                }
                let unknown = shared.unknown(hands);
                heartbeat.lost = unknown.intersection(&unheard_of).cloned().collect();
                unheard_of = unknown;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the lease could not be renewed"),
            Err(_) => tracing::debug!("the lease could not be renewed in time"),
        }
    }
}

async fn ring(shared: Arc<Shared>) {
    shared.doorbell.watch(&shared.jobs).await;
}

/// Tells Celery's tools that the worker lives.
async fn beat(shared: Arc<Shared>) {
    shared.beat("worker-online");
    loop {
        tokio::time::sleep(Duration::from_secs_f64(HEARTBEAT)).await;
        shared.beat("worker-heartbeat");
    }
}
