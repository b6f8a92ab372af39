//! Taking messages, and keeping them.

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{self, AsyncConnectionConfig, Value, aio::MultiplexedConnection};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{Jobs, JobsError, Progress, keys, result, store::Claim, wire};

/// How long one wait for a message lasts; also how soon a message of a lower priority is seen.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(50);
pub(crate) const LONGEST_BACKOFF: Duration = Duration::from_millis(500);

/// A worker that is not heard of for this long is dead, and its jobs are given to others.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// A job that has seen so many of its workers die is a suspect: once it was the only one in a dead worker's hands, it
/// is not given to another.
const MOST_DEATHS: u32 = 3;

/// Number of the claim of a message that was handed over: it happens once at most, so that its tag tells it.
const HANDED: i64 = 0;

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
    /// Unique to this process; its lease, its hands and its channel are under this name.
    pub(crate) id: Arc<str>,
    /// As Celery's tools show it.
    pub(crate) worker: String,
}

/// What a heartbeat found to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tended {
    pub(crate) restored: u64,
    pub(crate) buried: u64,
    /// Tags of the messages in the worker's hands.
    pub(crate) hands: Vec<String>,
}

/// What a worker says of itself with a heartbeat.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat {
    /// Jobs that it runs at once; zero takes no more.
    pub(crate) slots: usize,
    /// Tags of messages that it holds without knowing them: they are given back.
    pub(crate) lost: Vec<String>,
}

/// Watches the list, on a connection of its own, for messages of producers that do not know our workers.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    armed: Notify,
    rung: Notify,
}

impl Owner {
    pub(crate) fn new(worker: &str) -> Self {
        Self { id: format!("{worker}:{}", uuid::Uuid::new_v4().simple()).into(), worker: worker.to_owned() }
    }

    /// Channel on which it is handed messages.
    pub(crate) fn inbox(&self) -> String {
        format!("{}{}", keys::INBOX, self.id)
    }

    /// Reads a message that was handed over by whoever enqueued it: its tag, and the message as it stands in `unacked`.
    pub(crate) fn read(&self, handed: &str, queue: &str) -> Option<Claimed> {
        let (tag, entry) = handed.split_once(' ')?;
        let raw = wire::from_entry(entry, queue)?.to_owned();
        Some(Claimed { raw, claim: self.claim(tag.to_owned(), HANDED), kind: Kind::Run })
    }

    fn claim(&self, tag: String, number: i64) -> Claim {
        Claim { tag, number, worker: self.id.clone() }
    }

    /// What is told of a job that it starts: event, beginning and end of the result.
    fn started(&self) -> [String; 3] {
        let (before, after) = result::around_id(&result::started("", &self.worker, std::process::id()));
        [Progress::Started { worker: self.worker.clone() }.to_text(), before, after]
    }
}

impl Doorbell {
    /// Has it ring once, when there may be a message.
    pub(crate) fn arm(&self) {
        self.armed.notify_one();
    }

    /// Completes when it rings.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Watches for as long as the worker lives.
    pub(crate) async fn watch(&self, jobs: &Jobs) {
        let mut connection = None;
        let mut backoff = FIRST_BACKOFF;
        loop {
            self.armed.notified().await;
            match wait(&mut connection, jobs).await {
                Ok(()) => backoff = FIRST_BACKOFF,
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be watched for now");
                    connection = None;
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
            }
            self.rung.notify_one();
        }
    }
}

/// Waits until there may be a message. Takes none: the last element of the list is put where it was.
async fn wait(connection: &mut Option<MultiplexedConnection>, jobs: &Jobs) -> Result<(), JobsError> {
    let connection = match connection {
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
    waited.map_err(|_| JobsError::Timeout(WAIT * 3))?.map(drop).map_err(JobsError::from)
}

impl Jobs {
    /// Takes up to `most` messages, most urgent first, for a worker that runs `slots` jobs at once.
    pub(crate) async fn claim(
        &self,
        owner: &Owner,
        slots: usize,
        most: usize,
    ) -> Result<Vec<Claimed>, JobsError> {
        let store = &self.inner.store;
        let mut script = store.scripts.claim.prepare_invoke();
        script.arg(&*owner.id).arg(slots).arg(&owner.started()[..]).arg(most);
        let rows: Vec<(String, String, i64, String)> = store.run_on(&store.claims, &script).await?;
        let claimed = rows.into_iter().map(|(raw, tag, number, kind)| Claimed {
            raw,
            claim: owner.claim(tag, number),
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
        let mut script = self.inner.store.scripts.start.prepare_invoke();
        script.arg(job_id).arg(&*claim.worker).arg(&claim.tag).arg(claim.number);
        script.arg(result::started(job_id, &owner.worker, std::process::id()));
        script.arg(Progress::Started { worker: owner.worker.clone() }.to_text());
        Ok(self.inner.store.run::<i64>(&script).await? > 0)
    }

    /// Renews the lease of a worker and does what others left undone.
    pub(crate) async fn tend(&self, owner: &Owner, heartbeat: &Heartbeat) -> Result<Tended, JobsError> {
        self.beat(owner, heartbeat, false).await
    }

    /// Ends the lease of a worker; what is still in its hands goes back.
    pub(crate) async fn leave(&self, owner: &Owner) -> Result<Tended, JobsError> {
        self.beat(owner, &Heartbeat::default(), true).await
    }

    async fn beat(
        &self,
        owner: &Owner,
        heartbeat: &Heartbeat,
        is_leaving: bool,
    ) -> Result<Tended, JobsError> {
        let store = &self.inner.store;
        let Heartbeat { slots, lost } = heartbeat;
        let message = format!("{MOST_DEATHS} workers died while they ran it");
        let killer = crate::JobFailure::new("WorkerLostError", &message);
        let (before, after) = result::around_id(&result::failure("", &killer, Timestamp::now()));
        let failed = Progress::Failed { reason: killer.reason, message }.to_text();
        let mut script = store.scripts.tend.prepare_invoke();
        script.arg(&*owner.id).arg(*slots).arg(&owner.started()[..]);
        script.arg(i32::from(is_leaving)).arg(MOST_DEATHS);
        script.arg(before).arg(after).arg(failed).arg(&lost[..]);
        let (restored, buried, _moved, hands): (u64, u64, u64, Vec<String>) = store.run(&script).await?;
        Ok(Tended { restored, buried, hands })
    }
}
