//! The media WebSocket: a leg of a call as `SignalWire` and Twilio stream it, bridged to the relay that owns the call.
//!
//! What is here is carrying: no sound is looked at, nothing is decided about the call. Whoever sends nonsense is told by a
//! close code what it was; the relay is told that the leg broke, so that the call can be connected again.

mod bridge;
mod close;
mod messages;
mod order;
mod relays;

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use voice_server::media_token::{MediaToken, TokenRefused};

pub use self::close::{CLOSES, CloseReason};
pub(crate) use self::relays::Relays;

/// Sockets at once; one more is refused.
const MOST_SOCKETS: usize = 4_096;
/// What is read of a socket at a time: a few frames.
const READ_BUFFER: usize = 4 * 1024;
/// What may wait to be written to a socket: a second and more of the widest format.
const LARGEST_BACKLOG: usize = 128 * 1024;
/// Where the library stops reading; what is too large is refused long before that.
const LARGEST_FRAME: usize = 256 * 1024;
/// Time for goodbyes, once all that live has to end.
const GOODBYES: Duration = Duration::from_secs(1);

/// All media sockets.
#[derive(Debug)]
pub(crate) struct Media {
    key: SecretString,
    pub(crate) relays: Arc<Relays>,
    places: Arc<Semaphore>,
    sessions: TaskTracker,
    ending: CancellationToken,
}

impl Media {
    pub(crate) fn new(key: SecretString, relays: Arc<Relays>) -> Self {
        Self {
            key,
            relays,
            places: Arc::new(Semaphore::new(MOST_SOCKETS)),
            sessions: TaskTracker::new(),
            ending: CancellationToken::new(),
        }
    }

    /// Reads a token that is good now.
    pub(crate) fn verify(&self, token: &str) -> Result<MediaToken, TokenRefused> {
        MediaToken::verify(token, &self.key, Timestamp::now())
    }

    /// Makes a token for a call at a relay.
    pub(crate) fn token(&self, call_id: &str, relay_addr: &str) -> String {
        MediaToken::new(call_id, relay_addr, Timestamp::now()).sign(&self.key)
    }

    /// A place for one more socket, while there is one.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Upgrades a request and carries what comes then.
    pub(crate) fn begin(
        &self,
        upgrade: WebSocketUpgrade,
        place: OwnedSemaphorePermit,
        token: String,
        relay_addr: String,
    ) -> Response {
        let (relays, ending, sessions) = (self.relays.clone(), self.ending.clone(), self.sessions.clone());
        upgrade
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(READ_BUFFER)
            .max_write_buffer_size(LARGEST_BACKLOG)
            .max_message_size(LARGEST_FRAME)
            .max_frame_size(LARGEST_FRAME)
            .on_upgrade(move |socket: WebSocket| {
                sessions.track_future(async move {
                    bridge::carry(socket, token, &relay_addr, &relays, ending).await;
                    drop(place);
                })
            })
    }

    /// Lets calls go on for a while; then ends what is left, so that they can be connected elsewhere.
    pub(crate) async fn drain(&self, patience: Duration) {
        self.sessions.close();
        let patience = patience.saturating_sub(GOODBYES);
        if tokio::time::timeout(patience, self.sessions.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(sockets = self.sessions.len(), "drain timed out, media sockets are closed");
        self.ending.cancel();
        // Whoever does not take his goodbye in time goes without.
        let _ = tokio::time::timeout(GOODBYES, self.sessions.wait()).await;
    }
}
