//! The worker, live: it listens while the caller speaks, and writes the reply to what he said.

mod hearing;
mod replies;

use std::time::Duration;

use tonic::{Code, Status};
use voice_proto::worker::v1::worker_service_client::WorkerServiceClient;
use voice_server::{
    client::Channel,
    status::{reason::SERVICE_UNAVAILABLE, reason_of},
};

/// Attempts before something is given up.
const ATTEMPTS: u32 = 4;

/// The workers.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    client: WorkerServiceClient<Channel>,
}

impl Worker {
    /// Uses the workers behind a channel.
    pub(crate) fn new(channel: Channel) -> Self {
        Self { client: WorkerServiceClient::new(channel) }
    }
}

/// How long to wait before the next attempt; `None` if another one is of no use.
fn retry_after(status: &Status, attempt: u32) -> Option<Duration> {
    let is_broken =
        matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal);
    // Whoever gives another reason has tried already.
    let is_away = reason_of(status).is_none_or(|reason| reason == SERVICE_UNAVAILABLE.name);
    (is_broken && is_away && attempt < ATTEMPTS).then(|| Duration::from_millis(100) * attempt)
}

/// The stable reason of a failure.
fn reason(status: &Status) -> String {
    reason_of(status).unwrap_or_else(|| match status.code() {
        Code::DeadlineExceeded => "WORKER_TIMEOUT".to_owned(),
        _ => "WORKER_UNAVAILABLE".to_owned(),
    })
}
