//! Commands to Redis: a pool of connections, a line for what somebody waits for, and the scripts.

use std::{sync::Arc, time::Duration};

use deadpool::managed::Object;
use deadpool_redis::redis::{self, ScriptInvocation, aio::MultiplexedConnection};
use jiff::Timestamp;
use voice_redis::{Broker, Connection, Pool};

use crate::{
    JobsError,
    batch::Command,
    keys::Keys,
    line::{Connected, Line},
    result,
    scripts::Scripts,
    wire,
};

/// Connections for ordinary commands.
const POOL: usize = 32;

/// An ordinary command takes a fraction of a millisecond.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// Progress and revocations are of interest during a call, and a little longer for whoever debugs it.
pub(crate) const PROGRESS_SECONDS: u64 = 3_600;

/// Celery's default.
pub(crate) const RESULT_SECONDS: u64 = 86_400;

/// Dead messages that are kept.
pub(crate) const MOST_DEAD: u64 = 10_000;

/// More than this waiting is a fault that more waiting does not mend.
pub(crate) const MOST_WAITING: u64 = 10_000;

pub(crate) struct Store {
    pub(crate) scripts: Scripts,
    pub(crate) keys: Keys,
    pub(crate) claims: Link,
    line: Arc<Line>,
    pool: Pool,
}

/// A connection of the pool that one busy path keeps for itself: taking it from the pool for each command would cost
/// a round trip, in which the pool asks whether it still works.
#[derive(Default)]
pub(crate) struct Link(tokio::sync::Mutex<Option<Connection>>);

/// A message on its way into a list.
#[derive(Debug)]
pub(crate) struct Enqueue {
    pub(crate) job_id: String,
    pub(crate) tag: String,
    pub(crate) list: String,
    pub(crate) message: String,
    /// Whether it may be run now.
    pub(crate) is_due: bool,
    /// The call that it belongs to, if any.
    pub(crate) call_id: String,
}

/// An event on its way into a job's stream.
#[derive(Debug)]
pub(crate) struct Emission {
    pub(crate) job_id: String,
    pub(crate) claim: Claim,
    pub(crate) event: String,
    /// Tells it from other events of the job, so that one that is said again is told once.
    pub(crate) key: i64,
}

/// What a worker holds a message by.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) tag: String,
    pub(crate) number: i64,
    /// The worker that holds it, by its own name among workers.
    pub(crate) worker: Arc<str>,
}

/// How a message is let go.
#[derive(Clone, Debug)]
pub(crate) struct Settlement {
    pub(crate) job_id: String,
    pub(crate) claim: Claim,
    /// Result to be stored, if any.
    pub(crate) result: String,
    /// Last event, if any.
    pub(crate) event: String,
    pub(crate) message: Fate,
}

/// What becomes of a message that is let go.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Done,
    Dead {
        message: String,
        reason: &'static str,
    },
    /// Put aside until its time comes.
    Parked {
        message: String,
        due: Timestamp,
    },
}

impl Store {
    pub(crate) fn new(broker: Arc<Broker>, keys: Keys, line: Arc<Line>) -> Result<Self, JobsError> {
        let pool = broker.pool(POOL, COMMAND_TIMEOUT)?;
        Ok(Self { scripts: Scripts::new(&keys), keys, claims: Link::default(), line, pool })
    }

    /// Does something with a connection, within the time that a command may take.
    pub(crate) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, JobsError> {
        let all = async {
            let mut connection = self.pool.get().await?;
            let answer = work(&mut connection).await;
            if answer.as_ref().is_err_and(voice_redis::is_spent) {
                drop(Object::take(connection));
            }
            Ok(answer?)
        };
        tokio::time::timeout(COMMAND_TIMEOUT, all).await.map_err(|_| JobsError::Timeout(COMMAND_TIMEOUT))?
    }

    pub(crate) async fn run<T: redis::FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, JobsError> {
        self.with(async |connection| script.invoke_async(connection).await).await
    }

    /// Runs a script on a connection that is kept; one that failed is given back, and another one taken.
    pub(crate) async fn run_on<T: redis::FromRedisValue>(
        &self,
        link: &Link,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, JobsError> {
        let all = async {
            let mut link = link.0.lock().await;
            if let Some(mut connection) = link.take() {
                match script.invoke_async(&mut *connection).await {
                    // It was lost while nobody used it, or leads to who was the master once.
                    Err(error) if voice_redis::is_spent(&error) => drop(Object::take(connection)),
                    answer => {
                        *link = Some(connection);
                        return Ok(answer?);
                    }
                }
            }
            let mut connection = self.pool.get().await?;
            let answer = script.invoke_async(&mut *connection).await?;
            *link = Some(connection);
            Ok(answer)
        };
        tokio::time::timeout(COMMAND_TIMEOUT, all).await.map_err(|_| JobsError::Timeout(COMMAND_TIMEOUT))?
    }

    /// Runs a script on the line, if there is one: the way for what somebody waits for.
    async fn run_promptly<T: redis::FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, JobsError> {
        let Some(Connected { mut connection, lost }) = self.line.get() else {
            return self.run(script).await;
        };
        let answer = async {
            // Redis sends last what it has begun first. Its answer to this is begun before the script publishes
            // anything, so that whoever waits for the news gets them before this process gets the rest of its answers.
            redis::cmd("PING").set_no_response(true).query_async::<()>(&mut connection).await?;
            script.invoke_async(&mut connection).await
        };
        match tokio::time::timeout(COMMAND_TIMEOUT, answer).await {
            // It was lost while nobody used it, or leads to who was the master once.
            Ok(Err(error)) if voice_redis::is_spent(&error) => {
                lost.cancel();
                self.run(script).await
            }
            Ok(answer) => Ok(answer?),
            Err(_) => {
                lost.cancel();
                Err(JobsError::Timeout(COMMAND_TIMEOUT))
            }
        }
    }
}

/// Adds messages to their lists; gives for each how many waited before it, or -1 when too many did.
impl Command for Enqueue {
    type Answer = i64;

    async fn carry_out(store: Arc<Store>, messages: Vec<Self>) -> Result<Vec<i64>, JobsError> {
        let mut script = store.scripts.enqueue.prepare_invoke();
        let (before, after) = result::around_id(&result::revoked("", "superseded", Timestamp::now()));
        script.arg(before).arg(after);
        for Self { job_id, tag, list, message, is_due, call_id } in &messages {
            let entry = wire::entry(message, &store.keys.queue);
            script.arg(job_id).arg(tag).arg(list).arg(entry).arg(i32::from(*is_due)).arg(call_id);
        }
        store.run_promptly(&script).await
    }
}

/// Adds events; gives for each its number, or 0 when the lease was lost.
impl Command for Emission {
    type Answer = u64;

    async fn carry_out(store: Arc<Store>, events: Vec<Self>) -> Result<Vec<u64>, JobsError> {
        let mut script = store.scripts.emit.prepare_invoke();
        for Self { job_id, claim, event, key } in &events {
            script.arg(job_id).arg(&*claim.worker).arg(&claim.tag).arg(claim.number).arg(event).arg(*key);
        }
        store.run_promptly(&script).await
    }
}

/// Lets go of messages; gives for each whether its lease was still held.
impl Command for Settlement {
    type Answer = bool;

    async fn carry_out(store: Arc<Store>, settlements: Vec<Self>) -> Result<Vec<bool>, JobsError> {
        let mut script = store.scripts.settle.prepare_invoke();
        for Self { job_id, claim, result, event, message } in &settlements {
            script.arg(job_id).arg(&*claim.worker).arg(&claim.tag).arg(claim.number).arg(result).arg(event);
            match message {
                Fate::Done => script.arg("done").arg("").arg(""),
                Fate::Dead { message, reason } => script.arg("dead").arg(message).arg(*reason),
                Fate::Parked { message, due } => script.arg("park").arg(message).arg(due.as_millisecond()),
            };
        }
        store.run_promptly(&script).await
    }
}
