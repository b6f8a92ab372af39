//! One instance: how it is, as it says itself and as requests to it went.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use http::Uri;
use tokio::sync::Notify;
use tonic::{Code, Status, transport};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Peer, addrs::Place};
use crate::tls::Tls;

/// Pings go out so often, also on an idle connection...
const PING_EVERY: Duration = Duration::from_secs(1);
/// ...and one without an answer ends it: a silent partition is noticed within two seconds, and the connection is made
/// anew within another.
const PING_WAIT: Duration = Duration::from_secs(1);
const CONNECT_WAIT: Duration = Duration::from_secs(1);

/// What one answer may have on its way while nobody takes it: five seconds of the widest sound.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all answers of a connection: streams that nobody takes must not stand in the way of the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Requests in a row that fail until no more are sent for a while. A connection that breaks is enough by itself.
const FAILURES: u32 = 5;
const FIRST_EJECTION: Duration = Duration::from_millis(200);
const LONGEST_EJECTION: Duration = Duration::from_secs(10);

/// Between attempts to follow the health of an instance that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// One that has no health to follow is asked again after this.
const NO_HEALTH: Duration = Duration::from_secs(10);

/// How much an instance is to be preferred; the first ones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It says that it serves.
    Serving,
    /// It has not said anything yet.
    Unknown,
    /// It failed a short while ago.
    Ejected,
    /// It is away, or is being drained.
    Away,
}

/// How a request went, as far as its instance is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It answered.
    Answered,
    /// It answered that it cannot, or not in time.
    Failed,
    /// It could not be reached, or broke off.
    Broken,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) channel: transport::Channel,
    peer: Peer,
    in_flight: AtomicUsize,
    standing: Mutex<Standing>,
    /// Tells those who wait for any instance to be well.
    news: Arc<Notify>,
}

#[derive(Debug)]
struct Standing {
    health: Health,
    failures: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Unknown,
    Serving,
    Away,
}

/// A request that an instance has in hand.
#[derive(Debug)]
pub(super) struct Flight {
    member: Arc<Member>,
    deadline: Option<Instant>,
    outcome: Option<Outcome>,
}

impl Member {
    pub(super) fn new(peer: Peer, place: Place, tls: &Tls, news: Arc<Notify>) -> anyhow::Result<Self> {
        let mut endpoint = transport::Endpoint::from_shared(place.uri())?
            .origin(place.origin().parse::<Uri>().context("the origin of an address")?)
            .connect_timeout(CONNECT_WAIT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .keep_alive_while_idle(true);
        if place.is_tls {
            endpoint = endpoint.tls_config(tls.client(&place.host)).context("MESH_CA_FILE, TLS_CERT_FILE")?;
        }
        let standing = Standing { health: Health::Unknown, failures: 0, ejections: 0, ejected_until: None };
        Ok(Self {
            channel: endpoint.connect_lazy(),
            place,
            peer,
            in_flight: AtomicUsize::new(0),
            standing: Mutex::new(standing),
            news,
        })
    }

    pub(super) fn rank(&self, now: Instant) -> Rank {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ejected = standing.ejected_until.is_some_and(|until| now < until);
        match standing.health {
            Health::Away => Rank::Away,
            Health::Serving | Health::Unknown if is_ejected => Rank::Ejected,
            Health::Unknown => Rank::Unknown,
            Health::Serving => Rank::Serving,
        }
    }

    /// Requests in hand.
    pub(super) fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Follows what it says of itself, for ever.
    pub(super) async fn tend(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow_health().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(status) if status.code() == Code::Unimplemented => {
                    self.is_now(Health::Serving);
                    tokio::time::sleep(NO_HEALTH).await;
                    continue;
                }
                Err(status) => {
                    tracing::debug!(peer = self.peer.name(), addr = %self.place.addr, %status, "an instance is away");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            self.is_now(Health::Away);
            // Jitter, so that not all come back at the same instant.
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Ends when it serves no more.
    async fn follow_health(&self) -> Result<(), Status> {
        let mut client = HealthClient::new(self.channel.clone());
        let watching = async {
            let mut updates = client.watch(HealthCheckRequest::default()).await?.into_inner();
            let first = updates.message().await?;
            Ok::<_, Status>((updates, first))
        };
        let late = |_| Status::deadline_exceeded("no word of its health");
        let (mut updates, mut update) =
            tokio::time::timeout(CONNECT_WAIT + PING_WAIT, watching).await.map_err(late)??;
        let mut has_served = false;
        while let Some(current) = update
            && current.status() == ServingStatus::Serving
        {
            has_served = true;
            self.is_now(Health::Serving);
            update = match updates.message().await {
                Ok(update) => update,
                Err(status) => {
                    tracing::warn!(peer = self.peer.name(), addr = %self.place.addr, %status, "an instance was lost");
                    return Ok(());
                }
            };
        }
        if has_served { Ok(()) } else { Err(Status::unavailable("it does not serve")) }
    }

    fn is_now(&self, health: Health) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.health == health {
            return;
        }
        tracing::debug!(peer = self.peer.name(), addr = %self.place.addr, ?health, "health of an instance");
        // One that is back is another process.
        *standing = Standing { health, failures: 0, ejections: 0, ejected_until: None };
        drop(standing);
        self.news.notify_waiters();
    }

    fn note(&self, outcome: Outcome) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Answered => {
                (standing.failures, standing.ejections) = (0, 0);
                return;
            }
            Outcome::Failed => standing.failures += 1,
            Outcome::Broken => standing.failures = FAILURES,
        }
        if standing.failures < FAILURES {
            return;
        }
        let span = FIRST_EJECTION.saturating_mul(1 << standing.ejections.min(8)).min(LONGEST_EJECTION);
        standing.failures = 0;
        standing.ejections += 1;
        standing.ejected_until = Some(Instant::now() + span);
        drop(standing);
        metrics::counter!("mesh_ejections_total", "peer" => self.peer.name()).increment(1);
        tracing::info!(peer = self.peer.name(), addr = %self.place.addr, ?span, "an instance that fails is spared");
    }
}

impl Flight {
    /// Takes a request into a member's hands.
    pub(super) fn begin(member: Arc<Member>, deadline: Option<Instant>) -> Self {
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { member, deadline, outcome: None }
    }

    /// Says how it went; the first word counts.
    pub(super) fn went(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.member.note(outcome);
        }
    }

    /// Says that what had begun well broke off.
    pub(super) fn broke(&mut self) {
        self.outcome = Some(Outcome::Broken);
        self.member.note(Outcome::Broken);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Whoever asked has waited to the end, or has lost interest, which is nobody's fault.
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.went(Outcome::Failed);
        }
        self.member.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
