//! Downloading what callers said. The address comes from outside, so it is trusted with nothing: only allowed hosts,
//! only public addresses (checked after resolution, and connected to as checked), redirects followed by hand with
//! the same checks, credentials for the first host alone, bounds on size and time.

mod address;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use reqwest::{Client, Response, StatusCode, Url, header::LOCATION, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use self::address::is_public;

/// Connections to a host that are kept between recordings.
const IDLE: usize = 4;

/// Redirects that are followed.
const REDIRECTS: usize = 3;

/// The file appears a little after the event that announces it; the wait grows by this from try to try.
const MISSING_STEP: Duration = Duration::from_millis(20);

/// Hosts that are remembered, with the addresses they were checked to have.
const HOSTS: usize = 64;

/// Recordings of a host that are downloaded at the same time: each takes milliseconds, and buffers of its own.
const AT_ONCE: usize = 64;

/// What may be downloaded.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Hosts that recordings may be on: exact names, or `*.` and a domain.
    pub allowed_hosts: Vec<String>,
    /// Whether allowed hosts may be private and speak plain HTTP: for simulators.
    pub allow_private: bool,
    /// Project and token, for spaces that protect their recordings.
    pub credentials: Option<(String, SecretString)>,
    /// Largest recording.
    pub max_bytes: usize,
}

/// Why a recording could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The address is not one of the web, or not encrypted.
    #[error("the recording's address is not an https address")]
    BadUrl,
    /// The host is not allowed.
    #[error("recordings are not taken from {0}; RECORDING_ALLOWED_HOSTS names the hosts that are")]
    HostNotAllowed(String),
    /// The host is in a private network.
    #[error("{0} is not a public address")]
    PrivateAddress(String),
    /// It is always somewhere else.
    #[error("more than {REDIRECTS} redirects")]
    TooManyRedirects,
    /// It is not there, and did not appear in time.
    #[error("there is no recording at its address")]
    Missing,
    /// The host refuses us.
    #[error("the recording's host refuses access")]
    Forbidden,
    /// It is larger than allowed.
    #[error("the recording is larger than {0} bytes")]
    TooLarge(usize),
    /// It has no content.
    #[error("the recording is empty")]
    Empty,
    /// It did not arrive in time.
    #[error("the recording did not arrive in time")]
    Timeout,
    /// The host answered with something else.
    #[error("the recording's host answered {0}")]
    Status(u16),
    /// No connection, or it broke.
    #[error("the recording's host cannot be reached")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Downloads recordings.
#[derive(Debug)]
pub struct Recordings {
    policy: Policy,
    hosts: Mutex<HashMap<String, Host>>,
}

#[derive(Clone, Debug)]
struct Host {
    addresses: Vec<SocketAddr>,
    client: Client,
    slots: Arc<Semaphore>,
}

impl Recordings {
    /// Downloads under a policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, hosts: Mutex::default() }
    }

    /// Downloads one recording; waits for it while it does not exist yet.
    ///
    /// # Errors
    /// When it cannot be had before `deadline`, or must not be.
    pub async fn fetch(&self, url: &str, deadline: Instant) -> Result<Bytes, RecordingError> {
        let url = Url::parse(url).map_err(|_| RecordingError::BadUrl)?;
        let mut wait = MISSING_STEP;
        let mut last = RecordingError::Timeout;
        loop {
            match timeout_at(deadline, self.follow(url.clone())).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(error @ (RecordingError::Missing | RecordingError::Connection(_)))) => last = error,
                Ok(Err(RecordingError::Status(status))) if status >= 500 => {
                    last = RecordingError::Status(status);
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(last),
            }
            if Instant::now() + wait >= deadline {
                return Err(last);
            }
            sleep(wait).await;
            wait = (wait + MISSING_STEP).min(Duration::from_millis(500));
        }
    }

    async fn follow(&self, first: Url) -> Result<Bytes, RecordingError> {
        let first_host = first.host_str().unwrap_or_default().to_owned();
        let mut url = first;
        for hop in 0..=REDIRECTS {
            let Host { client, slots, .. } = self.host(&url, hop > 0).await?;
            let _slot = slots.acquire().await.expect("the semaphore is never closed");
            let is_first_host = url.host_str() == Some(&first_host);
            let response = self.get(&client, &url, is_first_host).await?;
            if !response.status().is_redirection() {
                return self.read(response).await;
            }
            let target = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            url = target.and_then(|target| url.join(target).ok()).ok_or(RecordingError::BadUrl)?;
        }
        Err(RecordingError::TooManyRedirects)
    }

    /// A host, and a client that can connect to nothing but the addresses that were checked.
    async fn host(&self, url: &Url, is_redirect: bool) -> Result<Host, RecordingError> {
        let host = url.host_str().ok_or(RecordingError::BadUrl)?.trim_matches(['[', ']']).to_owned();
        let is_allowed = self.is_allowed(&host);
        // A redirect may lead anywhere public: object stores have hosts of their own.
        if !is_allowed && !is_redirect {
            return Err(RecordingError::HostNotAllowed(host));
        }
        let may_be_private = is_allowed && self.policy.allow_private;
        if !(url.scheme() == "https" || url.scheme() == "http" && may_be_private) {
            return Err(RecordingError::BadUrl);
        }
        let port = url.port_or_known_default().ok_or(RecordingError::BadUrl)?;
        let resolved = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses: Vec<SocketAddr> =
            resolved.map_err(|error| RecordingError::Connection(error.into()))?.collect();
        if !may_be_private
            && (addresses.is_empty() || !addresses.iter().all(|address| is_public(address.ip())))
        {
            return Err(RecordingError::PrivateAddress(host));
        }
        let key = format!("{host}:{port}");
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(&key).filter(|known| known.addresses == addresses) {
            return Ok(known.clone());
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("voicemesh/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(2))
            // Each that waits for another recording holds its buffers.
            .pool_max_idle_per_host(IDLE)
            .resolve_to_addrs(&host, &addresses)
            .build()
            .map_err(|error| RecordingError::Connection(error.into()))?;
        if hosts.len() >= HOSTS {
            hosts.clear();
        }
        let known = Host { addresses, client, slots: Arc::new(Semaphore::new(AT_ONCE)) };
        hosts.insert(key, known.clone());
        Ok(known)
    }

    fn is_allowed(&self, host: &str) -> bool {
        self.policy.allowed_hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(domain) => {
                host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
            }
            None => pattern == host,
        })
    }

    /// Credentials are shown only to who asks for them, and only to the host that the recording was announced on.
    async fn get(&self, client: &Client, url: &Url, is_first_host: bool) -> Result<Response, RecordingError> {
        let failed = |error: reqwest::Error| RecordingError::Connection(error.into());
        let response = client.get(url.clone()).send().await.map_err(failed)?;
        let is_refused = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        match &self.policy.credentials {
            Some((project, token)) if is_refused && is_first_host => client
                .get(url.clone())
                .basic_auth(project, Some(token.expose_secret()))
                .send()
                .await
                .map_err(failed),
            Some(_) | None => Ok(response),
        }
    }

    async fn read(&self, response: Response) -> Result<Bytes, RecordingError> {
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => return Err(RecordingError::Missing),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(RecordingError::Forbidden),
            status => return Err(RecordingError::Status(status.as_u16())),
        }
        let most = self.policy.max_bytes;
        if response.content_length().is_some_and(|length| length > most as u64) {
            return Err(RecordingError::TooLarge(most));
        }
        let mut body = BytesMut::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| RecordingError::Connection(error.into()))?;
            if body.len() + piece.len() > most {
                return Err(RecordingError::TooLarge(most));
            }
            body.extend_from_slice(&piece);
        }
        if body.is_empty() { Err(RecordingError::Empty) } else { Ok(body.freeze()) }
    }
}

#[cfg(test)]
mod tests;
