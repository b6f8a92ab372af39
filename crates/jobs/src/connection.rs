//! The queue from a producer's side: enqueue, revoke, report.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{
    Config, Connection, PoolConfig, Runtime, Timeouts,
    redis::{self, Client, IntoConnectionInfo as _},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    JobsError, Progress, ProgressEvent, control,
    hub::Hub,
    result::{self, EXPIRY_SECONDS},
    scripts::Scripts,
    wire,
};

/// Connections for ordinary commands.
const POOL: usize = 32;

/// An ordinary command takes a fraction of a millisecond.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// Progress and revocations are of interest during a call, and a little longer for whoever debugs it.
const PROGRESS_SECONDS: u64 = 3_600;

/// More than this waiting is a fault that more waiting does not mend.
const MOST_WAITING: usize = 10_000;

/// A queue. Cheap to clone; connects when it is first used.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) queue: String,
    pub(crate) client: Client,
    pub(crate) db: i64,
    pub(crate) scripts: Scripts,
    pub(crate) hub: Hub,
    pool: deadpool_redis::Pool,
    origin: String,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("queue", &self.inner.queue).finish_non_exhaustive()
    }
}

/// A job to be enqueued.
#[derive(Clone, PartialEq)]
pub struct NewJob {
    /// Celery's task id; chosen by the producer.
    pub id: String,
    /// Registered name of the task.
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// Further headers.
    pub headers: Map<String, Value>,
    /// Not to be started after this.
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for NewJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewJob").field("id", &self.id).field("task", &self.task).finish_non_exhaustive()
    }
}

impl Jobs {
    /// Describes a queue; nothing is connected to yet.
    ///
    /// # Errors
    /// When the URL is not one of Redis.
    pub fn connect(redis_url: &SecretString, queue: &str) -> Result<Self, JobsError> {
        let bad = |error: &dyn std::fmt::Display| JobsError::Url(error.to_string());
        let info = redis_url.expose_secret().into_connection_info().map_err(|error| bad(&error))?;
        let db = info.redis_settings().db();
        let client = Client::open(info).map_err(|error| bad(&error))?;
        let mut config = Config::from_url(redis_url.expose_secret());
        config.pool = Some(PoolConfig {
            max_size: POOL,
            timeouts: Timeouts {
                wait: Some(COMMAND_TIMEOUT),
                create: Some(COMMAND_TIMEOUT),
                recycle: Some(COMMAND_TIMEOUT),
            },
            ..PoolConfig::default()
        });
        let pool = config.create_pool(Some(Runtime::Tokio1)).map_err(|error| bad(&error))?;
        let hub = Hub::new(client.clone());
        let origin = format!("gen{}@voicemesh", std::process::id());
        let inner = Inner { queue: queue.to_owned(), client, db, scripts: Scripts::new(), hub, pool, origin };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Adds a job to the queue.
    ///
    /// # Errors
    /// When Redis is away, too many jobs wait, or the id cannot be one.
    pub async fn enqueue(&self, job: &NewJob) -> Result<(), JobsError> {
        check_id(&job.id)?;
        let message = wire::encode(job, &self.inner.queue, &self.inner.origin);
        let waiting: i64 = self
            .with(async |connection| {
                let mut script = self.inner.scripts.enqueue.key(&self.inner.queue);
                script.arg(&message).arg(MOST_WAITING).invoke_async(connection).await
            })
            .await?;
        if waiting < 0 { Err(JobsError::QueueFull(MOST_WAITING)) } else { Ok(()) }
    }

    /// Stops a job, wherever it is: Celery's revoke with terminate.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn revoke(&self, job_id: &str) -> Result<(), JobsError> {
        check_id(job_id)?;
        let (channel, message) = control::revocation(self.inner.db, job_id);
        self.with(async |connection| {
            redis::pipe()
                .set_ex(revoked_key(job_id), 1, PROGRESS_SECONDS)
                .ignore()
                .publish(&channel, &message)
                .ignore()
                .query_async(connection)
                .await
        })
        .await
    }

    /// Whether anything is known of a job.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn exists(&self, job_id: &str) -> Result<bool, JobsError> {
        check_id(job_id)?;
        let known: i64 = self
            .with(async |connection| {
                let mut command = redis::cmd("EXISTS");
                command.arg(progress_key(job_id)).arg(result::key(job_id)).query_async(connection).await
            })
            .await?;
        Ok(known > 0)
    }

    /// Checks that Redis answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), JobsError> {
        self.with(async |connection| redis::cmd("PING").query_async(connection).await).await
    }

    pub(crate) async fn emit(&self, job_id: &str, event: &Progress) -> Result<u64, JobsError> {
        let text = serde_json::to_string(event).expect("an event is plain data");
        self.with(async |connection| {
            let mut script = self.inner.scripts.emit.key(progress_key(job_id));
            script
                .arg(Timestamp::now().as_microsecond())
                .arg(&text)
                .arg(PROGRESS_SECONDS)
                .invoke_async(connection)
                .await
        })
        .await
    }

    /// Events of a job after `after`, and its stored result.
    pub(crate) async fn read(
        &self,
        job_id: &str,
        after: u64,
    ) -> Result<(Vec<ProgressEvent>, Option<String>), JobsError> {
        type Rows = Vec<(String, Vec<String>)>;
        let (rows, stored): (Rows, Option<String>) = self
            .with(async |connection| {
                redis::pipe()
                    .xrange(progress_key(job_id), format!("({after}-0"), "+")
                    .get(result::key(job_id))
                    .query_async(connection)
                    .await
            })
            .await?;
        let events = rows.into_iter().filter_map(|(id, fields)| {
            let sequence = id.split('-').next()?.parse().ok()?;
            ProgressEvent::from_parts(sequence, fields.get(1)?, fields.get(3)?)
        });
        Ok((events.collect(), stored))
    }

    /// Stores a result that is not final.
    pub(crate) async fn store(&self, job_id: &str, text: &str) -> Result<(), JobsError> {
        let key = result::key(job_id);
        self.with(async |connection| {
            redis::pipe()
                .atomic()
                .set_ex(&key, text, EXPIRY_SECONDS)
                .ignore()
                .publish(&key, text)
                .ignore()
                .query_async(connection)
                .await
        })
        .await
    }

    /// Does something with a connection, within the time that a command may take.
    pub(crate) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> redis::RedisResult<T>,
    ) -> Result<T, JobsError> {
        let all = async {
            let mut connection = self.inner.pool.get().await?;
            Ok(work(&mut connection).await?)
        };
        tokio::time::timeout(COMMAND_TIMEOUT, all).await.map_err(|_| JobsError::Timeout(COMMAND_TIMEOUT))?
    }
}

impl NewJob {
    /// A job with an id of its own and nothing in it yet.
    pub fn new(task: &str) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            task: task.to_owned(),
            args: Vec::new(),
            kwargs: Map::new(),
            headers: Map::new(),
            expires: None,
        }
    }
}

pub(crate) fn progress_key(job_id: &str) -> String {
    format!("voice:progress:{job_id}")
}

pub(crate) const REVOKED_PREFIX: &str = "voice:revoked:";

fn revoked_key(job_id: &str) -> String {
    format!("{REVOKED_PREFIX}{job_id}")
}

/// An id becomes part of keys and channel names.
fn check_id(job_id: &str) -> Result<(), JobsError> {
    let is_good = (1..=200).contains(&job_id.len()) && job_id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(()) } else { Err(JobsError::BadJobId(job_id.chars().take(80).collect())) }
}
