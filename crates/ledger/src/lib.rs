//! What relays write down in Redis so that it outlives them: which relays there are, what resumes each one's session
//! with the platform, its live calls, and which calls were placed at whose request.
//!
//! No call waits for it. A change is noted in memory; one task, the [`Scribe`], writes all that has changed in one
//! pipeline. While Redis is away a relay goes on with what it knows, and once Redis is back its live calls are written
//! anew.
//!
//! | key | holds | lives |
//! |---|---|---|
//! | `voice:relays:{mesh}` | sorted set: addresses of relays by when they were last there, in ms of Redis' clock | – |
//! | `voice:session:{mesh}:{relay}` | JSON of a [`Session`] | a day after the last change |
//! | `voice:calls:{mesh}:{relay}` | hash: call id → JSON of what is kept of the call | as long as the longest call, after the last change |
//! | `voice:placed:{mesh}:{request}` | hash: the id of the call that a request places, a digest of the request, and whether the call was dialled | a day |
//! | `voice:dialled:{mesh}:{day}` | numbers that were called on this day since 1970 | two days |
//!
//! `{mesh}` is a name that tells meshes apart which share a Redis; `{relay}` is the relay's id, which is made from its
//! address: started again there, it finds what it had.

mod book;
mod dial;
mod link;
mod relays;
mod scribe;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use deadpool_redis::redis::{AsyncCommands as _, RedisResult};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use voice_redis::InvalidUrl;

use self::{book::Book, link::Link, relays::Relays};
pub use self::{
    book::Page,
    dial::{Claim, Dialled, Request, scripts},
    relays::{Owner, RelayId},
    scribe::Scribe,
};

/// The ledger of one relay, whose calls it keeps as `T`. Cheap to clone.
#[derive(Debug)]
pub struct Ledger<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    link: Link,
    keys: Keys,
    book: Arc<Book<T>>,
    relays: Relays,
    longest_call: Duration,
}

#[derive(Debug)]
struct Keys {
    mesh: String,
    relays: String,
    session: String,
    calls: String,
}

/// What resumes a relay's session with the platform.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The session's name.
    pub protocol: Option<String>,
    /// The newest opaque state.
    pub authorization_state: Option<String>,
}

/// What was written down before this process was started.
#[derive(Debug)]
pub struct Kept<T> {
    /// The session.
    pub session: Session,
    /// Calls by their ids.
    pub calls: Vec<(String, T)>,
}

/// Redis is away or slow: what was asked is not known, and what was to be done has not been, as far as is known.
#[derive(Debug, thiserror::Error)]
#[error("redis does not answer: {0}")]
pub struct Away(String);

impl<T> Clone for Ledger<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> Ledger<T> {
    /// The ledger of the relay that others reach at `addr`, in a mesh of this name; nothing is connected to yet. What
    /// it is told is written as long as the scribe runs.
    ///
    /// # Errors
    /// When the URL is not one of Redis.
    pub fn open(
        redis_url: &SecretString,
        mesh: &str,
        addr: &str,
        longest_call: Duration,
    ) -> Result<(Self, Scribe<T>), InvalidUrl> {
        let relays = Relays::new(addr);
        let id = relays.own_id();
        let keys = Keys {
            relays: format!("voice:relays:{mesh}"),
            session: format!("voice:session:{mesh}:{id}"),
            calls: format!("voice:calls:{mesh}:{id}"),
            mesh: mesh.to_owned(),
        };
        let link = Link::new(redis_url)?;
        let inner = Arc::new(Inner { link, keys, book: Arc::default(), relays, longest_call });
        Ok((Self { inner: inner.clone() }, Scribe::new(inner)))
    }

    /// Who this relay is: the first part of its call ids.
    pub fn relay_id(&self) -> &RelayId {
        self.inner.relays.own_id()
    }

    /// What this relay had when it last ran. A call that cannot be read any more is left out.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn read(&self) -> Result<Kept<T>, Away> {
        let Keys { session, calls, .. } = &self.inner.keys;
        let read = self.inner.link.connected(async |mut redis| {
            let session: Option<String> = redis.get(session).await?;
            let calls: Vec<(String, String)> = redis.hgetall(calls).await?;
            RedisResult::Ok((session, calls))
        });
        let (session, calls) = read.await?;
        let calls = calls.into_iter().filter_map(|(call_id, text)| match serde_json::from_str(&text) {
            Ok(kept) => Some((call_id, kept)),
            Err(error) => {
                tracing::warn!(call.id = call_id, %error, "what was kept of a call cannot be read");
                self.forget(call_id);
                None
            }
        });
        let session = session.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Ok(Kept { session, calls: calls.collect() })
    }

    /// Keeps the session.
    pub fn keep_session(&self, session: Session) {
        self.inner.book.keep_session(session);
    }

    /// Begins a page for a live call; the call is forgotten when the page is dropped.
    pub fn page(&self, call_id: &str, kept: T) -> Page<T> {
        Book::page(&self.inner.book, call_id, kept)
    }

    /// Forgets a call that was kept and is not taken back.
    pub fn forget(&self, call_id: String) {
        self.inner.book.forget(call_id);
    }
}

/// SHA-256 in hexadecimal digits.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes everything");
        digits
    })
}
