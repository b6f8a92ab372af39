//! Looking at the queue, and mending it.

use std::time::Duration;

use deadpool_redis::redis;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Jobs, JobsError,
    connection::check_id,
    keys::{self, STEPS},
    wire::{ENQUEUED_AT, Envelope},
};

/// A worker whose lease ran out longer ago than this is not missed.
const LATELY: Duration = Duration::from_secs(20);

/// How full the queue is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Jobs that wait to be taken.
    pub waiting: u64,
    /// Jobs whose time has not come.
    pub parked: u64,
    /// Messages in the hands of workers, of all queues of this database.
    pub in_hand: u64,
    /// Messages that nobody could run.
    pub dead: u64,
    /// Workers whose lease holds.
    pub workers: u64,
    /// When the job was enqueued that is taken next, if its message says so.
    pub oldest: Option<Timestamp>,
}

/// A message that nobody could run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadJob {
    /// Its id in the dead list.
    pub dead_id: String,
    /// Stable reason: `NOT_A_MESSAGE`, `UNREADABLE`, `REFUSED` or `KILLS_WORKERS`.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
    /// Celery's task id, if it has one.
    pub job_id: String,
    /// The task's name, if it has one.
    pub task: String,
    /// How many in the list are older; stays true when newer ones are added.
    pub older: usize,
}

/// What is known of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// Celery's word: `PENDING`, `STARTED`, `RETRY`, `SUCCESS`, `FAILURE` or `REVOKED`.
    pub status: String,
    /// The last event of a job that has ended.
    pub outcome: Option<crate::Progress>,
}

#[derive(Debug, Deserialize)]
struct DeadEntry {
    id: String,
    reason: String,
    at: String,
    message: String,
}

impl Jobs {
    /// How full the queue is now.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn stats(&self) -> Result<QueueStats, JobsError> {
        let own = &self.inner.store.keys;
        let now = Timestamp::now().as_millisecond();
        let mut pipe = redis::pipe();
        for step in STEPS {
            pipe.llen(own.list(step));
        }
        pipe.llen(&own.suspects).zcard(&own.parked).hlen(&own.unacked).llen(&own.dead);
        pipe.zcount(&own.leases, now, "+inf");
        let counts: [u64; 9] =
            self.inner.store.with(async |connection| pipe.query_async(connection).await).await?;
        let mut pipe = redis::pipe();
        for step in STEPS {
            pipe.lindex(own.list(step), -1);
        }
        let next: Vec<Option<String>> =
            self.inner.store.with(async |connection| pipe.query_async(connection).await).await?;
        let [zero, three, six, nine, suspects, parked, in_hand, dead, workers] = counts;
        Ok(QueueStats {
            waiting: zero + three + six + nine + suspects,
            parked,
            in_hand,
            dead,
            workers,
            oldest: next.iter().flatten().filter_map(|message| enqueued_at(message)).min(),
        })
    }

    /// Whether somebody can be expected to run jobs. Where no worker of ours has been lately, stock Celery workers may.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn is_tended(&self) -> Result<bool, JobsError> {
        let mut pipe = redis::pipe();
        // By the clock that leases are written by.
        pipe.cmd("TIME").zrevrange_withscores(&self.inner.store.keys.leases, 0, 0);
        let ((seconds, micros), newest): ((i64, i64), Vec<(String, i64)>) =
            self.inner.store.with(async |connection| pipe.query_async(connection).await).await?;
        let late_by = newest.first().map(|(_, until)| seconds * 1_000 + micros / 1_000 - until);
        Ok(late_by.is_none_or(|millis| millis < 0 || millis > LATELY.as_millis() as i64))
    }

    /// The queue's scripts, by name, with the hashes by which `MONITOR` and `SLOWLOG` show them.
    pub fn scripts(&self) -> Vec<(&'static str, String)> {
        self.inner.store.scripts.hashes()
    }

    /// Looks at how Redis is set up; gives what may cost jobs, naming the setting.
    ///
    /// # Errors
    /// When Redis is away, is a cluster, or is too old.
    pub async fn inspect(&self) -> Result<Vec<String>, JobsError> {
        let mut pipe = redis::pipe();
        pipe.cmd("INFO").arg("server").cmd("INFO").arg("memory").cmd("INFO").arg("persistence");
        let parts: [String; 3] =
            self.inner.store.with(async |connection| pipe.query_async(connection).await).await?;
        let text = parts.concat();
        let setting = |name: &str| {
            let mut pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
            pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
        };
        if setting("redis_mode") == "cluster" {
            return Err(JobsError::Cluster);
        }
        let version = setting("redis_version");
        let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (6, 2) {
            return Err(JobsError::TooOld(version.to_owned()));
        }
        let mut warnings = Vec::new();
        let policy = setting("maxmemory_policy");
        if setting("maxmemory") != "0" && policy != "noeviction" {
            warnings.push(format!(
                "maxmemory-policy is {policy}: Redis throws waiting jobs away when memory is short; set it to noeviction"
            ));
        }
        // Not every Redis lets itself be asked.
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("save");
        let save: Result<Vec<String>, _> =
            self.inner.store.with(async |connection| command.query_async(connection).await).await;
        if setting("aof_enabled") == "0" && save.is_ok_and(|save| save.get(1).is_some_and(String::is_empty)) {
            warnings.push(
                "neither appendonly nor save is set: a restart of Redis loses waiting jobs; set appendonly to yes"
                    .to_owned(),
            );
        }
        Ok(warnings)
    }

    /// A page of the dead list, newest first: of the `oldest` oldest ones, or of all when that is 0. Pages counted
    /// from that end stay where they are while others die.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn dead(&self, oldest: usize, count: usize) -> Result<Vec<DeadJob>, JobsError> {
        let key = &self.inner.store.keys.dead;
        let first = -isize::try_from(oldest).unwrap_or(isize::MAX);
        let last = first.saturating_add_unsigned(count.max(1) - 1);
        let last = if oldest > 0 { last.min(-1) } else { last };
        let mut pipe = redis::pipe();
        pipe.atomic().llen(key).lrange(key, first, last);
        let (length, entries): (usize, Vec<Vec<u8>>) =
            self.inner.store.with(async |connection| pipe.query_async(connection).await).await?;
        let span = if oldest > 0 { oldest.min(length) } else { length };
        let numbered = entries.iter().enumerate();
        let read = |(n, entry): (usize, &Vec<u8>)| {
            to_dead_job(&String::from_utf8_lossy(entry), span.saturating_sub(n + 1))
        };
        Ok(numbered.filter_map(read).collect())
    }

    /// Puts a dead message back on the queue, and forgets how its job ended; `false` if it is not in the list.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn requeue(&self, dead_id: &str) -> Result<bool, JobsError> {
        let store = &self.inner.store;
        let mut script = store.scripts.requeue.prepare_invoke();
        script.arg(dead_id);
        Ok(store.run::<i64>(&script).await? > 0)
    }

    /// What is known of a job; `None` when nothing is, as for a job that waits and has never been begun.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn status(&self, job_id: &str) -> Result<Option<JobStatus>, JobsError> {
        check_id(job_id)?;
        let mut command = redis::cmd("GET");
        command.arg(keys::result(job_id));
        let stored: Option<String> =
            self.inner.store.with(async |connection| command.query_async(connection).await).await?;
        Ok(stored.and_then(|text| {
            let value: Value = serde_json::from_str(&text).ok()?;
            let status = value["status"].as_str()?.to_owned();
            Some(JobStatus { status, outcome: crate::result::outcome(&text) })
        }))
    }
}

fn enqueued_at(message: &str) -> Option<Timestamp> {
    let envelope = Envelope::parse(message).ok()?;
    Timestamp::from_millisecond(envelope.headers.get(ENQUEUED_AT)?.as_i64()?).ok()
}

fn to_dead_job(entry: &str, older: usize) -> Option<DeadJob> {
    let DeadEntry { id, reason, at, message } = serde_json::from_str(entry).ok()?;
    let envelope = Envelope::parse(&message).ok();
    let header = |name: &str| {
        let envelope = envelope.as_ref()?;
        envelope.header(name).map(str::to_owned)
    };
    Some(DeadJob {
        dead_id: id,
        reason,
        at: Timestamp::from_microsecond(at.parse().ok()?).ok()?,
        job_id: header("id").unwrap_or_default(),
        task: header("task").unwrap_or_default(),
        older,
    })
}
