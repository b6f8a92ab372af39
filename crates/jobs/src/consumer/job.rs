//! One message in hand, from claim to letting go.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Handler, hands::Shared};
use crate::{
    JobFailure, Jobs, Progress, ProgressSink,
    claim::{Claimed, FIRST_BACKOFF, Kind, LONGEST_BACKOFF},
    events::REDACTED,
    result,
    store::{Fate, Settlement},
    wire::{self, Decoded, Envelope, Refusal},
};

/// What became of a job is tried to be stored for this long; then it stays with whoever gets it next.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// Further attempts at a job that failed in a way that may pass.
const MOST_RETRIES: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// A job that was told to end by its soft limit, and has no hard one, is ended after this.
const SOFT_GRACE: Duration = Duration::from_secs(1);

/// How a job ended.
#[derive(Debug)]
enum End {
    Done(Result<Value, JobFailure>),
    Revoked(&'static str),
    /// The worker is being stopped.
    HandedBack,
    /// Somebody else has it now.
    Lost,
}

/// One message, from claim to letting go.
pub(super) async fn see_to(
    shared: &Shared,
    handler: &dyn Handler,
    claimed: Claimed,
    hand_back: &CancellationToken,
) {
    let settlement = match Envelope::parse(&claimed.raw) {
        Ok(envelope) => {
            let id = envelope.header("id").map(str::to_owned);
            match envelope.decode() {
                // Boxed: each hand that it goes through would keep room for it as long as the job runs.
                Ok(decoded) => run_one(shared, handler, claimed, Box::new(decoded), hand_back).await,
                Err(refusal) => Some(refuse(claimed, id, &refusal)),
            }
        }
        Err(refusal) => Some(refuse(claimed, None, &refusal)),
    };
    if let Some(settlement) = settlement {
        // Boxed: jobs in hand need no room for it yet.
        Box::pin(settle(&shared.jobs, settlement)).await;
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
    shared: &Shared,
    handler: &dyn Handler,
    claimed: Claimed,
    decoded: Box<Decoded>,
    hand_back: &CancellationToken,
) -> Option<Settlement> {
    let (id, task) = (decoded.job.id.clone(), decoded.job.task.clone());
    let (retries, expires, ignore_result) = (decoded.job.retries, decoded.expires, decoded.ignore_result);
    let received = || {
        json!({
            "name": task, "args": REDACTED, "kwargs": REDACTED, "root_id": id, "parent_id": null,
            "retries": retries, "eta": decoded.eta, "expires": expires,
        })
    };
    shared.events.job("task-received", &id, received);
    let received_at = Instant::now();
    let revoke = CancellationToken::new();
    let is_revoked = !shared.begin(&id, &claimed.claim.tag, &task, &revoke) || claimed.kind == Kind::Revoked;
    let begun = if is_revoked {
        Err(Unbegun::Over(End::Revoked("revoked")))
    } else {
        // Boxed: a job that has begun needs no room for its beginning.
        Box::pin(begin(shared, handler, &claimed, decoded, &revoke)).await
    };
    let Claimed { raw, claim, .. } = claimed;
    let end = match begun {
        Ok(begun) => {
            // Redis has it too, and jobs may wait by the thousand.
            drop(raw);
            finish(begun, &revoke, hand_back).await
        }
        Err(Unbegun::Over(end)) => end,
        Err(Unbegun::Early(due)) => {
            let message = Fate::Parked { message: raw, due };
            return Some(Settlement {
                job_id: id,
                claim,
                result: String::new(),
                event: String::new(),
                message,
            });
        }
    };
    let now = Timestamp::now();
    let settled = |result: String, event: String, message: Fate| {
        Some(Settlement { job_id: id.clone(), claim: claim.clone(), result, event, message })
    };
    match end {
        // What a worker holds without knowing is given back by its heartbeats, the last one included.
        End::Lost | End::HandedBack => None,
        End::Done(Ok(value)) => {
            let runtime = received_at.elapsed().as_secs_f64();
            shared.events.job("task-succeeded", &id, || json!({ "result": REDACTED, "runtime": runtime }));
            let result = if ignore_result { String::new() } else { result::success(&id, &value, now) };
            settled(result, result::completed(&value).to_text(), Fate::Done)
        }
        End::Done(Err(failure)) => {
            let told = || json!({ "exception": failure.reason, "traceback": null });
            if let Some(due) = next_attempt(&failure, retries, expires, now) {
                // Without Redis it is given back by and by, as what a worker holds without knowing.
                let raw = Box::pin(shared.jobs.held(&claim)).await.ok().flatten()?;
                if let Some(message) = wire::retried(&raw, retries + 1, due) {
                    shared.events.job("task-retried", &id, told);
                    let message = Fate::Parked { message, due };
                    return settled(result::retry(&id, &failure), String::new(), message);
                }
            }
            shared.events.job("task-failed", &id, told);
            settled(result::failure(&id, &failure, now), failed(&failure), Fate::Done)
        }
        End::Revoked(why) => {
            let told =
                || json!({ "terminated": why == "terminated", "signum": null, "expired": why == "expired" });
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

/// Why a job has not begun.
enum Unbegun {
    /// Its time has not come.
    Early(Timestamp),
    Over(End),
}

/// A job that its handler has.
struct Begun {
    work: Pin<Box<dyn Future<Output = Result<Value, JobFailure>> + Send>>,
    /// Tells the handler to come to an end.
    cancel: CancellationToken,
    /// Fires when somebody else has the job.
    lost: CancellationToken,
    soft_limit: Option<Duration>,
    hard_limit: Option<Duration>,
}

/// Gives a job to its handler, unless it is over already.
async fn begin(
    shared: &Shared,
    handler: &dyn Handler,
    claimed: &Claimed,
    decoded: Box<Decoded>,
    revoke: &CancellationToken,
) -> Result<Begun, Unbegun> {
    let Decoded { job, eta, expires, ignore_result: _, soft_limit, hard_limit } = *decoded;
    let now = Timestamp::now();
    if let Some(eta) = eta.filter(|eta| *eta > now) {
        return Err(Unbegun::Early(eta));
    }
    if expires.is_some_and(|expires| expires <= now) {
        return Err(Unbegun::Over(End::Revoked("expired")));
    }
    if !shared.config.tasks.contains(&job.task.as_str()) {
        let message = format!("task \"{}\" is not known here", job.task);
        return Err(Unbegun::Over(End::Done(Err(JobFailure::new("NotRegistered", message)))));
    }
    if claimed.kind == Kind::Wait {
        match shared.jobs.start(&shared.owner, &claimed.claim, &job.id).await {
            Ok(true) => {}
            Ok(false) => return Err(Unbegun::Over(End::Lost)),
            Err(error) => tracing::warn!(%error, "the start of a job could not be noted"),
        }
    }
    shared.events.job("task-started", &job.id, || Value::Null);
    let (cancel, lost) = (revoke.child_token(), CancellationToken::new());
    let sink = ProgressSink {
        jobs: shared.jobs.clone(),
        job_id: job.id.clone(),
        claim: claimed.claim.clone(),
        lost: lost.clone(),
    };
    let work = handler.run(job, sink, cancel.clone());
    Ok(Begun { work, cancel, lost, soft_limit, hard_limit })
}

/// Waits for the end of a job, whichever comes first.
async fn finish(begun: Begun, revoke: &CancellationToken, hand_back: &CancellationToken) -> End {
    let Begun { mut work, cancel, lost, soft_limit, hard_limit } = begun;
    let limited = async {
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
