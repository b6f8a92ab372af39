//! Taking messages.

use std::time::Duration;

use deadpool_redis::redis::{self, AsyncConnectionConfig, Value, aio::MultiplexedConnection};

use crate::{Jobs, JobsError, connection::REVOKED_PREFIX, result::EXPIRY_SECONDS, wire};

/// How long one wait for a message lasts; also how soon a message of a lower priority is seen.
const WAIT: Duration = Duration::from_secs(1);

pub(crate) const UNACKED: &str = "unacked";
pub(crate) const UNACKED_INDEX: &str = "unacked_index";

/// A message in hand.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) raw: String,
    pub(crate) tag: String,
    pub(crate) is_revoked: bool,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    Message(Claimed),
    /// Something that is not a message; it is in the dead list now.
    Poison,
    Nothing,
}

/// Waits for messages on a connection of its own.
#[derive(Default)]
pub(crate) struct Waiter {
    connection: Option<MultiplexedConnection>,
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
                empty.insert(jobs.inner.client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        };
        let queue = &jobs.inner.queue;
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
    pub(crate) async fn claim(&self) -> Result<Found, JobsError> {
        let queue = &self.inner.queue;
        let row: Vec<Value> = self
            .with(async |connection| {
                let mut script = self.inner.scripts.claim.key(queue);
                for step in [3, 6, 9] {
                    script.key(format!("{queue}\u{6}\u{16}{step}"));
                }
                script.key(UNACKED).key(UNACKED_INDEX).key(self.dead_key()).arg(REVOKED_PREFIX);
                script.invoke_async(connection).await
            })
            .await?;
        let text =
            |at: usize| row.get(at).and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
        let number = |at: usize| row.get(at).and_then(|value| redis::from_redis_value_ref::<i64>(value).ok());
        Ok(match (number(0), text(1), text(2)) {
            (Some(1), Some(raw), Some(tag)) => {
                Found::Message(Claimed { raw, tag, is_revoked: number(3) == Some(1) })
            }
            (Some(1 | 2), _, _) => Found::Poison,
            _ => Found::Nothing,
        })
    }

    /// Stores a result, if there is one to store, and lets go of the message.
    pub(crate) async fn finish(&self, job_id: &str, tag: &str, result: &str) -> Result<(), JobsError> {
        self.with(async |connection| {
            let mut script = self.inner.scripts.finish.key(crate::result::key(job_id));
            script.key(UNACKED).key(UNACKED_INDEX).arg(result).arg(EXPIRY_SECONDS).arg(tag);
            script.invoke_async(connection).await
        })
        .await
    }

    /// Gives a message back to the queue, to be taken next.
    pub(crate) async fn hand_back(&self, claimed: &Claimed) -> Result<(), JobsError> {
        let message = wire::redelivered(&claimed.raw).unwrap_or_else(|| claimed.raw.clone());
        self.with(async |connection| {
            let mut script = self.inner.scripts.hand_back.key(UNACKED);
            script.key(UNACKED_INDEX).key(&self.inner.queue).arg(&claimed.tag).arg(&message);
            script.invoke_async(connection).await
        })
        .await
    }

    /// Moves a message that cannot be run to the dead list.
    pub(crate) async fn bury(&self, claimed: &Claimed, reason: &str) -> Result<(), JobsError> {
        self.with(async |connection| {
            let mut script = self.inner.scripts.bury.key(UNACKED);
            let entry = format!("{reason} {}", claimed.raw);
            script.key(UNACKED_INDEX).key(self.dead_key()).arg(&claimed.tag).arg(entry);
            script.invoke_async(connection).await
        })
        .await
    }

    /// Tells kombu's sweepers that these messages are still being worked on.
    pub(crate) async fn renew(&self, tags: &[String]) -> Result<(), JobsError> {
        if tags.is_empty() {
            return Ok(());
        }
        let now = jiff::Timestamp::now().as_microsecond() as f64 / 1e6;
        self.with(async |connection| {
            let mut command = redis::cmd("ZADD");
            command.arg(UNACKED_INDEX).arg("XX");
            for tag in tags {
                command.arg(now).arg(tag);
            }
            command.query_async(connection).await
        })
        .await
    }

    fn dead_key(&self) -> String {
        format!("voice:dead:{}", self.inner.queue)
    }
}
