//! The one task that writes.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{AsyncCommands as _, Pipeline};
use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{Inner, Keys, book::Entries};

/// How often a relay says that it is there, and tries to reach a Redis that is away.
const PRESENCE: Duration = Duration::from_secs(1);

/// How long a session can be resumed, if anybody knew.
const SESSION_SECONDS: u64 = 86_400;

/// Calls are kept so much longer than the longest.
const GRACE: Duration = Duration::from_mins(1);

/// Writes what a relay's ledger is told.
#[derive(Debug)]
pub struct Scribe<T> {
    inner: Arc<Inner<T>>,
}

impl<T: Serialize> Scribe<T> {
    pub(crate) fn new(inner: Arc<Inner<T>>) -> Self {
        Self { inner }
    }

    /// Writes until `over`; then a last time, and says that the relay has left.
    pub async fn run(self, over: CancellationToken) {
        let mut presence = tokio::time::interval(PRESENCE);
        presence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_up = true;
        loop {
            tokio::select! {
                () = over.cancelled() => break,
                () = self.inner.book.changed.notified() => self.write().await,
                _ = presence.tick() => {
                    let there = self.inner.link.connected(async |redis| self.inner.attend(redis).await).await;
                    if let Err(error) = &there {
                        if was_up {
                            tracing::warn!(%error, "calls are not written down");
                        }
                        // It may come back empty, or be another one then.
                        self.inner.book.lost();
                    }
                    was_up = there.is_ok();
                    self.write().await;
                }
            }
        }
        self.write().await;
        let Keys { relays, .. } = &self.inner.keys;
        let addr = self.inner.relays.own_addr();
        let left = self.inner.link.ask(async |mut redis| redis.zrem::<_, _, ()>(relays, addr).await).await;
        if let Err(error) = left {
            tracing::debug!(%error, "nobody was told that this relay has left");
        }
    }

    async fn write(&self) {
        if !self.inner.link.is_up() {
            return;
        }
        let Some(entries) = self.inner.book.take() else { return };
        let pipeline = self.pipeline(entries);
        let written =
            self.inner.link.ask(async |mut redis| pipeline.query_async::<()>(&mut redis).await).await;
        if let Err(error) = written {
            tracing::debug!(%error, "what has changed was not written down");
            self.inner.book.lost();
        }
    }

    fn pipeline(&self, entries: Entries<T>) -> Pipeline {
        let Entries { is_everything, calls, over, session } = entries;
        let Keys { calls: key, session: session_key, .. } = &self.inner.keys;
        let mut pipeline = Pipeline::new();
        pipeline.atomic();
        if is_everything {
            pipeline.del(key).ignore();
        }
        for (call_id, kept) in &calls {
            let text = serde_json::to_string(&*kept.lock().unwrap_or_else(PoisonError::into_inner));
            match text {
                Ok(text) => drop(pipeline.hset(key, call_id, text).ignore()),
                Err(error) => tracing::error!(call.id = call_id, %error, "a call cannot be written down"),
            }
        }
        if !calls.is_empty() {
            pipeline.expire(key, (self.inner.longest_call + GRACE).as_secs() as i64).ignore();
        }
        if !over.is_empty() {
            pipeline.hdel(key, over).ignore();
        }
        if let Some(text) = session.and_then(|session| serde_json::to_string(&session).ok()) {
            pipeline.set_ex(session_key, text, SESSION_SECONDS).ignore();
        }
        pipeline
    }
}
