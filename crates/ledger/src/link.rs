//! The connection to Redis. The scribe makes it; everybody else uses it while it is there.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{RedisError, RedisResult, aio::MultiplexedConnection};
use secrecy::SecretString;
use voice_redis::{Broker, InvalidUrl, is_spent};

use crate::Away;

/// The longest that anybody waits for Redis.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Link {
    broker: Broker,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    pub(crate) fn new(redis_url: &SecretString) -> Result<Self, InvalidUrl> {
        Ok(Self { broker: Broker::from_url(redis_url)?, connection: Mutex::default() })
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.connection().is_some()
    }

    /// Asks Redis, over a new connection if there is none.
    pub(crate) async fn connected<A>(
        &self,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<A>,
    ) -> Result<A, Away> {
        if !self.is_up() {
            let made = self.broker.connect().await.map_err(|error| Away(error.to_string()))?;
            *self.connection() = Some(made);
        }
        self.ask(ask).await
    }

    /// Asks Redis, if there is a connection.
    pub(crate) async fn ask<A>(
        &self,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<A>,
    ) -> Result<A, Away> {
        let connection = self.connection().clone();
        let connection = connection.ok_or_else(|| Away("there is no connection".to_owned()))?;
        match tokio::time::timeout(PATIENCE, ask(connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.failed(&error);
                Err(Away(error.to_string()))
            }
            Err(_) => {
                *self.connection() = None;
                Err(Away(format!("no answer within {PATIENCE:?}")))
            }
        }
    }

    fn failed(&self, error: &RedisError) {
        if is_spent(error) {
            *self.connection() = None;
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
