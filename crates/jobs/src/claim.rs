//! Taking messages, and keeping them.

use std::time::Duration;

use deadpool_redis::redis::{self, AsyncConnectionConfig, Value, aio::MultiplexedConnection};
use jiff::Timestamp;

use crate::{
    Jobs, JobsError, Progress,
    keys::{self, STEPS},
    result,
    store::{Claim, MOST_DEAD, PROGRESS_SECONDS, RESULT_SECONDS},
};

/// How long one wait for a message lasts; also how soon a message of a lower priority is seen.
const WAIT: Duration = Duration::from_secs(1);

/// A worker that is not heard of for this long is dead, and its jobs are given to others.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// A job whose workers died this often is not given to another one.
const MOST_DEATHS: u32 = 3;

/// A message in hand.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) raw: String,
    pub(crate) claim: Claim,
    pub(crate) kind: Kind,
}

/// What is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To be run; its start has been noted.
    Run,
    /// It has a time before which it must not be run.
    Wait,
    Revoked,
}

/// Who takes messages.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// Unique to this process; its lease and its hands are under this name.
    pub(crate) id: String,
    /// As Celery's tools show it.
    pub(crate) worker: String,
}

/// What a heartbeat found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tended {
    pub(crate) restored: u64,
    pub(crate) buried: u64,
}

/// Waits for messages on a connection of its own.
#[derive(Default)]
pub(crate) struct Waiter {
    connection: Option<MultiplexedConnection>,
}

impl Owner {
    pub(crate) fn new(worker: &str) -> Self {
        Self { id: format!("{worker}:{}", uuid::Uuid::new_v4().simple()), worker: worker.to_owned() }
    }

    fn held(&self) -> String {
        format!("{}{}", keys::HELD, self.id)
    }
}

impl Waiter {
    /// Waits until there may be a message. Takes none: the last element of the list is put where it was.
    pub(crate) async fn wait(&mut self, jobs: &Jobs) -> Result<(), JobsError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(Duration::from_secs(2)))
                    .set_response_timeout(None);
                empty.insert(jobs.inner.broker.connect_with(&config).await?)
            }
        };
        let queue = &jobs.inner.store.keys.queue;
        let mut command = redis::cmd("BLMOVE");
        command.arg(queue).arg(queue).arg("RIGHT").arg("RIGHT").arg(WAIT.as_secs_f64());
        // A partition shows as silence: no answer long after the wait should be over.
        let waited = tokio::time::timeout(WAIT * 3, command.query_async::<Value>(connection)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                self.connection = None;
                Err(error.into())
            }
            Err(_) => {
                self.connection = None;
                Err(JobsError::Timeout(WAIT * 3))
            }
        }
    }
}

impl Jobs {
    /// Takes up to `most` messages, most urgent first.
    pub(crate) async fn claim(&self, owner: &Owner, most: usize) -> Result<Vec<Claimed>, JobsError> {
        let store = &self.inner.store;
        let own = &store.keys;
        let held = owner.held();
        let mut script = store.scripts.claim.prepare_invoke();
        for step in STEPS {
            script.key(own.list(step));
        }
        script.key(&own.unacked).key(&own.unacked_index).key(&held).key(&own.dead);
        script.key(&own.claims).key(&own.leases);
        let (before, after) = result::around_id(&result::started("", &owner.worker, std::process::id()));
        let started = Progress::Started { worker: owner.worker.clone() }.to_text();
        script.arg(most).arg(keys::RESULT).arg(keys::PROGRESS).arg(keys::REVOKED).arg(before).arg(after);
        script.arg(started).arg(Timestamp::now().as_microsecond()).arg(RESULT_SECONDS).arg(PROGRESS_SECONDS);
        script.arg(MOST_DEAD).arg(&owner.id).arg(LEASE.as_millis() as u64);
        let rows: Vec<(String, String, i64, String)> = store.run_on(&store.claims, &script).await?;
        let claimed = rows.into_iter().map(|(raw, tag, number, kind)| Claimed {
            raw,
            claim: Claim { tag, number, held: held.clone() },
            kind: match kind.as_str() {
                "revoked" => Kind::Revoked,
                "wait" => Kind::Wait,
                _ => Kind::Run,
            },
        });
        Ok(claimed.collect())
    }

    /// Notes that a job has started that had to wait for its time; `false` when the lease was lost.
    pub(crate) async fn start(&self, owner: &Owner, claim: &Claim, job_id: &str) -> Result<bool, JobsError> {
        let started = Progress::Started { worker: owner.worker.clone() }.to_text();
        let mut script = self.inner.store.scripts.start.prepare_invoke();
        script.key(keys::result(job_id)).key(keys::progress(job_id)).key(&claim.held);
        script.arg(&claim.tag).arg(claim.number);
        script.arg(result::started(job_id, &owner.worker, std::process::id())).arg(RESULT_SECONDS);
        script.arg(Timestamp::now().as_microsecond()).arg(started).arg(PROGRESS_SECONDS);
        Ok(self.inner.store.run::<i64>(&script).await? > 0)
    }

    /// Renews the lease of a worker and does what others left undone. With `is_leaving` the lease ends, and what is
    /// still in hand goes back.
    pub(crate) async fn tend(&self, owner: &Owner, is_leaving: bool) -> Result<Tended, JobsError> {
        let store = &self.inner.store;
        let own = &store.keys;
        let mut script = store.scripts.tend.prepare_invoke();
        script.key(&own.leases).key(&own.unacked).key(&own.unacked_index).key(&own.parked);
        script.key(&own.queue).key(&own.dead).key(&own.deaths);
        let message = format!("{MOST_DEATHS} workers died while they ran it");
        let lost = crate::JobFailure::new("WorkerLostError", &message);
        let (before, after) = result::around_id(&result::failure("", &lost, Timestamp::now()));
        let failed = Progress::Failed { reason: lost.reason, message }.to_text();
        script.arg(&owner.id).arg(if is_leaving { 0 } else { LEASE.as_millis() as u64 }).arg(keys::HELD);
        script.arg(MOST_DEATHS).arg(keys::RESULT).arg(RESULT_SECONDS).arg(before).arg(after).arg(MOST_DEAD);
        script.arg(keys::PROGRESS).arg(failed).arg(PROGRESS_SECONDS);
        let (restored, buried, _moved): (u64, u64, u64) = store.run(&script).await?;
        Ok(Tended { restored, buried })
    }
}
