//! The queue from a producer's side: enqueue, revoke, look.

use std::sync::Arc;

use deadpool_redis::redis;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value};
use uuid::Uuid;
use voice_redis::Broker;

use crate::{
    JobsError, Progress, ProgressEvent,
    batch::Batch,
    control,
    hub::Hub,
    keys::{self, Keys},
    line::Line,
    result,
    store::{Claim, Emission, Enqueue, MOST_WAITING, Settlement, Store},
    wire,
};

/// A queue. Cheap to clone; connects when it is first used.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<Store>,
    /// For connections that cannot be shared: waiting, subscriptions.
    pub(crate) broker: Arc<Broker>,
    pub(crate) hub: Hub,
    process: String,
    enqueues: Batch<Enqueue>,
    emissions: Batch<Emission>,
    settlements: Batch<Settlement>,
    sender: wire::Sender,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("queue", &self.inner.store.keys.queue).finish_non_exhaustive()
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
    /// Further headers, none of Celery's own among them.
    pub headers: Map<String, Value>,
    /// The call that it belongs to. A call has one waiting job at most: a newer one takes the place of one that no
    /// worker has begun, which is revoked.
    pub call_id: Option<String>,
    /// Not to be started before this.
    pub eta: Option<Timestamp>,
    /// Not to be started after this.
    pub expires: Option<Timestamp>,
    /// From 0, the most urgent, to 9.
    pub priority: u8,
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
        Self::connect_as(&Uuid::new_v4().simple().to_string()[..8], redis_url, queue)
    }

    /// The same for a process with a name, unique, of letters and digits. Jobs whose ids begin with the name and a
    /// dash are followed without a subscription for each.
    ///
    /// # Errors
    /// When the URL is not one of Redis.
    pub fn connect_as(process: &str, redis_url: &SecretString, queue: &str) -> Result<Self, JobsError> {
        let broker = Arc::new(Broker::from_url(redis_url)?);
        let line = Arc::new(Line::default());
        let store = Arc::new(Store::new(broker.clone(), Keys::new(queue, broker.db()), line.clone())?);
        let inner = Inner {
            enqueues: Batch::new(&store),
            emissions: Batch::new(&store),
            settlements: Batch::new(&store),
            store,
            hub: Hub::new(broker.clone(), process, line),
            process: process.to_owned(),
            broker,
            sender: wire::Sender::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A job with an id of this process and nothing in it yet.
    pub fn job(&self, task: &str) -> NewJob {
        let id = format!("{}-{}", self.inner.process, Uuid::new_v4().simple());
        NewJob { id, ..NewJob::new(task) }
    }

    /// Adds a job to the queue.
    ///
    /// # Errors
    /// When Redis is away, too many jobs wait, or the id cannot be one.
    pub async fn enqueue(&self, job: &NewJob) -> Result<(), JobsError> {
        check_id(&job.id)?;
        let store = &self.inner.store;
        let tag = Uuid::new_v4().to_string();
        let message = wire::encode(job, &tag, &store.keys.queue, &self.inner.sender, Timestamp::now());
        let item = Enqueue {
            job_id: job.id.clone(),
            tag,
            list: store.keys.list_of(job.priority),
            message,
            is_due: job.eta.is_none(),
            call_id: job.call_id.clone().unwrap_or_default(),
        };
        let waiting = Box::pin(self.inner.enqueues.run(item)).await?;
        if waiting < 0 { Err(JobsError::QueueFull(MOST_WAITING)) } else { Ok(()) }
    }

    /// Stops a job, wherever it is: Celery's revoke with terminate.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn revoke(&self, job_id: &str) -> Result<(), JobsError> {
        check_id(job_id)?;
        self.note_revocation(job_id).await?;
        let (channel, message) = control::revocation(&self.inner.store.keys, job_id);
        self.publish(&[(channel, message)]).await
    }

    /// Notes a revocation where workers that start later find it.
    pub(crate) async fn note_revocation(&self, job_id: &str) -> Result<(), JobsError> {
        let store = &self.inner.store;
        let revoked = result::revoked(job_id, "revoked", Timestamp::now());
        let mut script = store.scripts.revoke.prepare_invoke();
        script.arg(job_id).arg(revoked);
        store.run::<i64>(&script).await.map(drop)
    }

    pub(crate) async fn publish(&self, messages: &[(String, String)]) -> Result<(), JobsError> {
        let mut pipe = redis::pipe();
        for (channel, message) in messages {
            pipe.publish(channel, message).ignore();
        }
        self.inner.store.with(async |connection| pipe.query_async(connection).await).await
    }

    /// Whether anything is known of a job.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn exists(&self, job_id: &str) -> Result<bool, JobsError> {
        check_id(job_id)?;
        let mut command = redis::cmd("EXISTS");
        command.arg(keys::known(job_id)).arg(keys::progress(job_id)).arg(keys::result(job_id));
        let known: i64 =
            self.inner.store.with(async |connection| command.query_async(connection).await).await?;
        Ok(known > 0)
    }

    /// Checks that Redis answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), JobsError> {
        self.inner.store.with(async |connection| redis::cmd("PING").query_async(connection).await).await
    }

    /// Adds an event to a job's stream; 0 when the lease was lost.
    pub(crate) async fn emit(&self, job_id: &str, claim: &Claim, event: &Progress) -> Result<u64, JobsError> {
        let key = Timestamp::now().as_microsecond();
        let item = Emission { job_id: job_id.to_owned(), claim: claim.clone(), event: event.to_text(), key };
        Box::pin(self.inner.emissions.run(item)).await
    }

    /// The text of a message in hand.
    pub(crate) async fn held(&self, claim: &Claim) -> Result<Option<String>, JobsError> {
        let mut command = redis::cmd("HGET");
        command.arg(&self.inner.store.keys.unacked).arg(&claim.tag);
        let entry: Option<String> =
            self.inner.store.with(async |connection| command.query_async(connection).await).await?;
        Ok(entry.as_deref().and_then(wire::message_in))
    }

    /// Lets go of a message; `false` when its lease was lost.
    pub(crate) async fn settle(&self, settlement: Settlement) -> Result<bool, JobsError> {
        Box::pin(self.inner.settlements.run(settlement)).await
    }

    /// Events of a job after `after`, and its stored result.
    pub(crate) async fn read(
        &self,
        job_id: &str,
        after: u64,
    ) -> Result<(Vec<ProgressEvent>, Option<String>), JobsError> {
        type Rows = Vec<(String, Vec<String>)>;
        let mut pipe = redis::pipe();
        pipe.xrange(keys::progress(job_id), format!("({after}-0"), "+").get(keys::result(job_id));
        let (rows, stored): (Rows, Option<String>) =
            self.inner.store.with(async |connection| pipe.query_async(connection).await).await?;
        let events = rows.into_iter().filter_map(|(id, fields)| {
            let sequence = id.split('-').next()?.parse().ok()?;
            ProgressEvent::from_parts(sequence, fields.get(1)?, fields.get(3)?)
        });
        Ok((events.collect(), stored))
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
            call_id: None,
            eta: None,
            expires: None,
            priority: 0,
        }
    }
}

/// An id becomes part of keys and channel names.
pub(crate) fn check_id(job_id: &str) -> Result<(), JobsError> {
    let is_good = (1..=200).contains(&job_id.len()) && job_id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(()) } else { Err(JobsError::BadJobId(job_id.chars().take(80).collect())) }
}
