//! Calls that are placed: each request once, and so many numbers a day, whichever relay is asked.

use std::sync::LazyLock;

use deadpool_redis::redis::{Pipeline, Script};

use crate::{Away, Inner, Ledger, digest};

/// How long a request is remembered, in seconds.
const REMEMBERED: u64 = 86_400;

static DIAL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("dial.lua")));

/// A request to place a call.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Chosen by whoever asks.
    pub id: &'a str,
    /// All that is asked for. A digest of it is kept.
    pub content: &'a str,
    /// The call that it will be, if it is a new one.
    pub call_id: &'a str,
}

/// Whether a number may be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// It may, and is counted.
    New,
    /// The same was asked before, and is this call.
    Again(String),
    /// Something else was asked before under this id.
    Reused,
    /// As many as may be called today were.
    Capped,
}

impl<T> Ledger<T> {
    /// Takes one of the `cap` calls of a day, counted in days since 1970, for a request unless it was carried out
    /// before.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn dial(&self, day: i64, cap: u64, request: Option<Request<'_>>) -> Result<Dialled, Away> {
        let Inner { link, keys, .. } = &*self.inner;
        let mut script = DIAL.key(format!("voice:dialled:{}:{day}", keys.mesh));
        script.arg(cap).arg(REMEMBERED);
        if let Some(Request { id, content, call_id }) = request {
            script.key(self.placed(id)).arg(digest(content)).arg(call_id);
        }
        let (what, call_id): (String, String) =
            link.ask(async |mut redis| script.invoke_async(&mut redis).await).await?;
        Ok(match what.as_str() {
            "again" => Dialled::Again(call_id),
            "reused" => Dialled::Reused,
            "capped" => Dialled::Capped,
            _ => Dialled::New,
        })
    }

    /// Gives back what was taken for a request that could not be carried out: it may be made again.
    pub async fn give_back(&self, day: i64, request_id: &str) {
        let Inner { link, keys, .. } = &*self.inner;
        let mut pipeline = Pipeline::new();
        pipeline
            .decr(format!("voice:dialled:{}:{day}", keys.mesh), 1)
            .ignore()
            .del(self.placed(request_id))
            .ignore();
        let given = link.ask(async |mut redis| pipeline.query_async::<()>(&mut redis).await).await;
        if let Err(error) = given {
            tracing::warn!(%error, "a call that was not placed stays counted");
        }
    }

    fn placed(&self, request_id: &str) -> String {
        format!("voice:placed:{}:{request_id}", self.inner.keys.mesh)
    }
}
