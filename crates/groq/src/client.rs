//! The client: three endpoints, the connections to them, and what every request has in common.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, header};
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use crate::{
    Endpoint, Error, InvalidEndpoint, ORPHEUS_MAX_INPUT_CHARS, RateLimits, Stage, body,
    connections::{Connections, Place},
};

/// Cloudflare, in front of Groq, answers 403 to requests without one, and reqwest sends none by itself.
const USER_AGENT: &str = concat!("voice-groq/", env!("CARGO_PKG_VERSION"));

/// A client of one to three servers. Cloning is cheap; clones share connections.
#[derive(Clone, Debug)]
pub struct Groq {
    connections: Connections,
    stt: Endpoint,
    llm: Endpoint,
    tts: Endpoint,
    pub(crate) max_input_chars: usize,
}

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Speech to text.
    Stt,
    /// Chat completions.
    Llm,
    /// Text to speech.
    Tts,
}

/// How patient a stream is. Both are waits for something that can be used: reasoning and comments do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamDeadlines {
    /// From the request to the first words or audio.
    pub first: Duration,
    /// From one piece to the next, and to the end.
    pub between: Duration,
}

/// A request that is about to be sent.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) request: RequestBuilder,
    /// Kept until its answer is complete.
    pub(crate) place: Place,
}

// === impl Groq ===

impl Groq {
    /// Makes a client of one server that offers everything. For the forms of `base_url` see [`Endpoint::new`].
    ///
    /// # Errors
    /// When the URL is not http(s), or the key cannot be put into a header.
    pub fn new(
        base_url: &str,
        api_key: Option<SecretString>,
        connections: Connections,
    ) -> Result<Self, InvalidEndpoint> {
        let endpoint = Endpoint::new(base_url, api_key)?;
        Ok(Self {
            connections,
            stt: endpoint.clone(),
            llm: endpoint.clone(),
            tts: endpoint,
            max_input_chars: ORPHEUS_MAX_INPUT_CHARS,
        })
    }

    /// Asks another server for one of the services.
    #[must_use]
    pub fn with_endpoint(mut self, service: Service, endpoint: Endpoint) -> Self {
        match service {
            Service::Stt => self.stt = endpoint,
            Service::Llm => self.llm = endpoint,
            Service::Tts => self.tts = endpoint,
        }
        self
    }

    /// Sets how many characters a text to speak may have; [`ORPHEUS_MAX_INPUT_CHARS`] if never called.
    #[must_use]
    pub fn with_max_input_chars(mut self, max_input_chars: usize) -> Self {
        self.max_input_chars = max_input_chars;
        self
    }

    /// Opens a connection to every server that the next requests will need, so that the first turn of a call does
    /// not pay for TLS. A cheap request is sent for it; any answer to that will do.
    ///
    /// # Errors
    /// When a server cannot be reached within `timeout`.
    pub async fn warm(&self, timeout: Duration) -> Result<(), Error> {
        let mut endpoints = vec![&self.stt];
        for endpoint in [&self.llm, &self.tts] {
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        let deadline = Instant::now() + timeout;
        let opened = endpoints.into_iter().map(|endpoint| async move {
            let (client, _place) = self.connections.take();
            let request = prepare(client.get(endpoint.url("models")), endpoint);
            match answer(request, deadline, Stage::Answer).await {
                Ok(response) => timeout_at(deadline, body::read(response))
                    .await
                    .map_err(|_| Error::Timeout(Stage::Answer))?
                    .map(drop),
                Err(error) if error.refusal().is_some() => Ok(()),
                Err(error) => Err(error),
            }
        });
        futures::future::try_join_all(opened).await.map(drop)
    }

    /// Begins a POST to one operation of a service.
    pub(crate) fn post(&self, service: Service, operation: &str) -> Post {
        let endpoint = self.endpoint(service);
        let (client, place) = self.connections.take();
        Post { request: prepare(client.post(endpoint.url(operation)), endpoint), place }
    }

    fn endpoint(&self, service: Service) -> &Endpoint {
        match service {
            Service::Stt => &self.stt,
            Service::Llm => &self.llm,
            Service::Tts => &self.tts,
        }
    }
}

fn prepare(request: RequestBuilder, endpoint: &Endpoint) -> RequestBuilder {
    let request = request.header(header::USER_AGENT, USER_AGENT);
    match endpoint.authorization() {
        Some(authorization) => request.header(header::AUTHORIZATION, authorization),
        None => request,
    }
}

/// Sends a request and waits for the head of a good answer.
pub(crate) async fn answer(
    request: RequestBuilder,
    deadline: Instant,
    stage: Stage,
) -> Result<Response, Error> {
    let asked = Instant::now();
    let response = timeout_at(deadline, request.send())
        .await
        .map_err(|_| Error::Timeout(stage))?
        .map_err(Error::from_transport)?;
    tracing::debug!(
        path = response.url().path(),
        status = response.status().as_u16(),
        duration_ms = asked.elapsed().as_millis() as u64,
        request.id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()),
        region = response.headers().get("x-groq-region").and_then(|region| region.to_str().ok()),
        rate_limits = ?RateLimits::from_headers(response.headers()),
        "provider answered"
    );
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = response.headers().clone();
    // The status alone is worth more than a deadline error if its body does not come.
    let body = timeout_at(deadline, body::read_beginning(response)).await.unwrap_or_default();
    Err(Error::from_answer(status, &headers, &body))
}

// === impl StreamDeadlines ===

impl StreamDeadlines {
    /// Sets both in seconds.
    ///
    /// # Panics
    /// When a number is negative or not finite.
    pub fn seconds(first: f64, between: f64) -> Self {
        Self { first: Duration::from_secs_f64(first), between: Duration::from_secs_f64(between) }
    }
}
