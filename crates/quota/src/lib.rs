//! One budget of requests for all processes, so that a provider's refusals are avoided and not discovered. What a
//! plan allows is reserved in Redis before a request is sent. Redis is a help here, not a need: while it is away or
//! slow, requests go out unreserved, and hardly later.

mod plan;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{RedisError, Script, aio::MultiplexedConnection};
use secrecy::SecretString;
use tokio::{task::JoinSet, time::Instant};
use voice_redis::{Broker, InvalidUrl};

use crate::plan::Limit;
pub use crate::plan::Plan;

/// The longest that a request is held up: a hundred times what Redis takes.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long Redis is left alone once it has failed.
const REST: Duration = Duration::from_secs(1);
/// All that a plan allows, in percent.
const WHOLE: u64 = 100;
/// Answers in a row that came too late before a connection is given up.
const LATE: u32 = 3;

/// The shared budget. Cheap to clone; connects when it is first used.
#[derive(Clone)]
pub struct Quota {
    inner: Arc<Inner>,
}

/// What a request takes, besides being one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tokens, or an estimate of them.
    pub tokens: u64,
    /// Seconds of audio.
    pub audio_seconds: u64,
}

/// The budget is used up for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan's budget for {model} is used up for the next {retry_after:?}")]
pub struct Exhausted {
    /// The model.
    pub model: String,
    /// When there is room again.
    pub retry_after: Duration,
}

struct Inner {
    plan: Plan,
    broker: Broker,
    script: Script,
    state: Mutex<State>,
    /// Tells that a connection has been made, or could not be.
    changed: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    link: Option<MultiplexedConnection>,
    late: u32,
    rest_until: Option<Instant>,
    connecting: JoinSet<()>,
}

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota").field("plan", &self.inner.plan).finish_non_exhaustive()
    }
}

impl Quota {
    /// Describes the budget of a plan; nothing is connected to yet.
    ///
    /// # Errors
    /// When the URL is not one of Redis.
    pub fn new(redis_url: &SecretString, plan: Plan) -> Result<Self, InvalidUrl> {
        let inner = Inner {
            plan,
            broker: Broker::from_url(redis_url)?,
            script: Script::new(include_str!("reserve.lua")),
            state: Mutex::default(),
            changed: tokio::sync::Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Begins to connect, so that the first request need not wait for it.
    pub fn warm(&self) {
        self.link();
    }

    /// Reserves a request to a model.
    ///
    /// # Errors
    /// When the plan does not allow it now.
    pub async fn reserve(&self, model: &str, cost: Cost) -> Result<(), Exhausted> {
        self.reserve_within(model, cost, WHOLE).await
    }

    /// Reserves a request that is only nice to have: no more than `percent` of what the plan allows is taken in all,
    /// so that the rest is there for those that are needed.
    ///
    /// # Errors
    /// When that much is taken.
    pub async fn reserve_within(&self, model: &str, cost: Cost, percent: u64) -> Result<(), Exhausted> {
        let mut limits = self.inner.plan.limits(model, cost);
        limits.iter_mut().for_each(|limit| limit.most = limit.most * percent / WHOLE);
        if limits.is_empty() {
            return Ok(());
        }
        let result = match tokio::time::timeout(PATIENCE, self.ask(model, &limits)).await {
            Ok(Some(Ok(0))) => {
                self.state().late = 0;
                "granted"
            }
            Ok(Some(Ok(wait))) => {
                count(model, "refused");
                return Err(Exhausted { model: model.to_owned(), retry_after: Duration::from_millis(wait) });
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(%error, "requests are not reserved: redis fails");
                self.rest();
                "unreserved"
            }
            Ok(None) => "unreserved",
            Err(_) => {
                let late = {
                    let mut state = self.state();
                    state.late += 1;
                    state.late
                };
                if late >= LATE {
                    tracing::warn!("requests are not reserved: redis is slow");
                    self.rest();
                }
                "unreserved"
            }
        };
        count(model, result);
        Ok(())
    }

    /// Milliseconds to wait; `None` while there is no connection.
    async fn ask(&self, model: &str, limits: &[Limit]) -> Option<Result<u64, RedisError>> {
        let mut link = self.connected().await?;
        let mut script = self.inner.script.prepare_invoke();
        for limit in limits {
            script.key(format!("voice:quota:{model}:{}", limit.name));
            limit.arguments().into_iter().for_each(|argument| {
                script.arg(argument);
            });
        }
        Some(script.invoke_async(&mut link).await)
    }

    /// The connection; a first one is worth waiting for, one that has failed is not.
    async fn connected(&self) -> Option<MultiplexedConnection> {
        loop {
            let changed = self.inner.changed.notified();
            if let Some(link) = self.link() {
                return Some(link);
            }
            if self.state().rest_until.is_some() {
                return None;
            }
            changed.await;
        }
    }

    /// The connection, if there is one; else one is being made, unless Redis is left alone.
    fn link(&self) -> Option<MultiplexedConnection> {
        let mut state = self.state();
        if state.link.is_none() && state.connecting.try_join_next().is_none() && !state.connecting.is_empty()
        {
            return None;
        }
        if state.link.is_none() && state.rest_until.is_none_or(|until| until <= Instant::now()) {
            let quota = self.clone();
            state.connecting.spawn(async move { quota.connect().await });
        }
        state.link.clone()
    }

    async fn connect(&self) {
        match self.inner.broker.connect().await {
            Ok(link) => {
                let mut state = self.state();
                (state.link, state.rest_until, state.late) = (Some(link), None, 0);
            }
            Err(error) => {
                tracing::debug!(%error, "requests are not reserved: redis is away");
                self.rest();
            }
        }
        self.inner.changed.notify_waiters();
    }

    fn rest(&self) {
        let mut state = self.state();
        (state.link, state.rest_until) = (None, Some(Instant::now() + REST));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(model: &str, result: &'static str) {
    metrics::counter!("quota_reservations_total", "model" => model.to_owned(), "result" => result)
        .increment(1);
}

#[cfg(test)]
mod tests;
