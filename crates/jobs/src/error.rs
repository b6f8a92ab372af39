//! What can go wrong with the queue itself.

use std::time::Duration;

use deadpool_redis::{PoolError, redis::RedisError};
use voice_redis::InvalidUrl;

/// Why the queue did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// `REDIS_URL` is not an address of Redis.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// Redis is away, or refuses.
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    /// No connection to Redis could be had.
    #[error("no connection to redis: {0}")]
    Pool(#[from] PoolError),
    /// What went wrong with commands that went out together.
    #[error("{0}")]
    Unavailable(String),
    /// Redis gave no answer in time.
    #[error("redis gave no answer within {0:?}")]
    Timeout(Duration),
    /// Celery's keys carry no hash tags, so scripts over several of them need one node.
    #[error("REDIS_URL names a Redis Cluster, on which Celery's keys cannot work; name a single Redis")]
    Cluster,
    /// It lacks commands that are needed.
    #[error("REDIS_URL names Redis {0}; 6.2 or later is needed")]
    TooOld(String),
    /// Too many jobs wait already.
    #[error("{0} jobs wait already")]
    QueueFull(u64),
    /// A job id that cannot be part of a key.
    #[error("\"{0}\" cannot be a job id: 1 to 200 printable characters without spaces")]
    BadJobId(String),
}

impl JobsError {
    /// Whether this Redis will never do, however long one waits.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Cluster | Self::TooOld(_) | Self::Url(_))
    }
}
