//! Calls that are placed: each request once, and so many numbers a day, whichever relay is asked.

use std::sync::LazyLock;

use deadpool_redis::redis::Script;

use crate::{Away, Inner, Ledger, digest};

/// How long a request is remembered, in seconds.
const REMEMBERED: u64 = 86_400;

static DIAL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("dial.lua")));
static DIALLING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("dialling.lua")));
static REPLACE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("replace.lua")));
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("give_back.lua")));

/// The scripts about calls that are placed, by name, with the hashes by which `MONITOR` and `SLOWLOG` show them.
pub fn scripts() -> [(&'static str, String); 4] {
    [("dial", &DIAL), ("dialling", &DIALLING), ("replace", &REPLACE), ("give_back", &GIVE_BACK)]
        .map(|(name, script)| (name, script.get_hash().to_owned()))
}

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

/// The right to dial for a request, of which one call at a time may make use.
#[derive(Clone, Debug)]
pub struct Claim<T> {
    ledger: Ledger<T>,
    request_id: String,
    call_id: String,
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

    /// What the call of a request that is written down has to do before it is dialled.
    pub fn claim(&self, request_id: &str, call_id: &str) -> Claim<T> {
        Claim { ledger: self.clone(), request_id: request_id.to_owned(), call_id: call_id.to_owned() }
    }

    /// Has another call take the place of one that was admitted for a request and never dialled: its relay has died.
    /// Gives whether it does.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn replace(&self, request_id: &str, undialled: &str, call_id: &str) -> Result<bool, Away> {
        let mut script = REPLACE.key(self.placed(request_id));
        script.arg(undialled).arg(call_id);
        self.inner.link.ask(async |mut redis| script.invoke_async(&mut redis).await).await
    }

    /// Gives back one of a day's calls that was not made. If it was taken for a request, the id of that and of its call
    /// are known; the request may be made again.
    pub async fn give_back(&self, day: i64, request: Option<(&str, &str)>) {
        let Inner { link, keys, .. } = &*self.inner;
        let mut script = GIVE_BACK.key(format!("voice:dialled:{}:{day}", keys.mesh));
        if let Some((request_id, call_id)) = request {
            script.key(self.placed(request_id)).arg(call_id);
        }
        let given: Result<(), Away> = link.ask(async |mut redis| script.invoke_async(&mut redis).await).await;
        if let Err(error) = given {
            tracing::warn!(%error, "a call that was not made stays counted");
        }
    }

    fn placed(&self, request_id: &str) -> String {
        format!("voice:placed:{}:{request_id}", self.inner.keys.mesh)
    }
}

impl<T> Claim<T> {
    /// Notes that the call is dialled now; gives whether it may be. From here on no other one takes its place.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn take(&self) -> Result<bool, Away> {
        let Self { ledger, request_id, call_id } = self;
        let mut script = DIALLING.key(ledger.placed(request_id));
        script.arg(call_id);
        ledger.inner.link.ask(async |mut redis| script.invoke_async(&mut redis).await).await
    }
}
