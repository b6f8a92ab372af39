//! One gRPC server process: layers, health, reflection, drain.

use std::{convert::Infallible, future::Future, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService, service::Routes, transport::server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

use crate::{
    auth::Tokens,
    client::ClientConfig,
    config::{Env, listen_addr},
    layers::{self, GuardLayer, Limits},
    tls::Tls,
};

/// Streams beyond the limit that HTTP/2 lets a client open, so that they can be refused with a reason.
const STREAMS_TO_REFUSE: u32 = 64;

/// Once time is up, what still goes on is told so, and has this long to take it in.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What every server process is configured with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen_addr: SocketAddr,
    /// Tokens that callers may show.
    pub tokens: Tokens,
    /// Who this process says it is, and whom it believes.
    pub tls: Tls,
    /// How other services are called.
    pub client: ClientConfig,
    /// Whether reflection is served.
    pub has_reflection: bool,
    /// Streams that one connection may have at a time.
    pub streams_per_connection: u32,
    /// The largest message that is taken, in bytes.
    pub message_bytes: usize,
    /// How long live work may take to finish once the process is asked to stop (`DRAIN_SECONDS`).
    pub drain_timeout: Duration,
}

impl ServerConfig {
    /// Reads `<SERVICE>_LISTEN_ADDR`, who may call, the files of TLS, limits and `DRAIN_SECONDS`.
    pub fn from_env(env: &mut Env, addr_name: &str, default_addr: SocketAddr) -> Self {
        let listen_addr = listen_addr(env, addr_name, default_addr);
        let mesh_token = env.optional_secret("MESH_TOKEN");
        if !listen_addr.ip().is_loopback() && env.list("API_TOKENS").is_empty() {
            env.problem(
                format!("{addr_name}, API_TOKENS"),
                format!("{listen_addr} is reachable from outside this machine: set API_TOKENS, or listen on 127.0.0.1"),
            );
        }
        // With a mesh token alone, nobody but the other services may call.
        let tokens = Tokens::from_env(env, mesh_token.as_ref());
        let tls = Tls::from_env(env);
        Self {
            listen_addr,
            tokens,
            client: ClientConfig::new(mesh_token, tls.clone()),
            tls,
            has_reflection: env.choice_or("REFLECTION", &[("on", true), ("off", false)], true),
            streams_per_connection: env.number_or("MAX_STREAMS_PER_CONNECTION", 2_048, 1..=100_000) as u32,
            message_bytes: env.number_or("MAX_MESSAGE_KB", 4_096, 64..=4_096) as usize * 1_024,
            drain_timeout: env.seconds_or("DRAIN_SECONDS", Duration::from_secs(30)),
        }
    }

    /// The same of a service that calls others of the mesh. Where outsiders need a token, so does it.
    pub fn from_env_of_caller(env: &mut Env, addr_name: &str, default_addr: SocketAddr) -> Self {
        let config = Self::from_env(env, addr_name, default_addr);
        if !env.list("API_TOKENS").is_empty() && env.optional("MESH_TOKEN").is_none() {
            env.problem(
                "API_TOKENS, MESH_TOKEN",
                "the other services want a token of this one as well, and would refuse it: set MESH_TOKEN, the same \
                 for all of them, for example to what `openssl rand -hex 32` prints",
            );
        }
        config
    }

    /// Binds the listening address.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(&self) -> anyhow::Result<TcpListener> {
        TcpListener::bind(self.listen_addr)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen_addr))
    }
}

/// Tells load balancers and `/readyz` how a service and what it depends on are.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Says whether something that the service depends on answers; `name` becomes a health entry.
    pub async fn set(&self, name: &str, is_up: bool) {
        let status = if is_up { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(name, status).await;
    }
}

/// A gRPC server under construction.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    config: ServerConfig,
    routes: Routes,
    reflection: tonic_reflection::server::Builder<'static>,
    names: Vec<&'static str>,
    reporter: HealthReporter,
}

impl Server {
    /// Begins a server with health and reflection of what `descriptors`, an encoded `FileDescriptorSet`, describe.
    pub fn new(name: &'static str, config: ServerConfig, descriptors: &'static [u8]) -> Self {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that tools can show what the details of an error say.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        Self { name, config, routes: Routes::new(health), reflection, names: Vec::new(), reporter }
    }

    /// Adds a service; its health entry comes with it.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        // Only what is served here is listed, though the descriptors know all of the mesh.
        self.reflection = self.reflection.with_service_name(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// A handle for health entries of dependencies.
    pub fn health(&self) -> Health {
        Health { reporter: self.reporter.clone() }
    }

    /// Serves until `shutdown` completes, then drains: `NOT_SERVING`, no new connections, live requests get
    /// `DRAIN_SECONDS`, what is left is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> anyhow::Result<()> {
        let Self { name, config, routes, reflection, names, reporter } = self;
        let routes = if config.has_reflection {
            routes.add_service(reflection.build_v1().context("the descriptors of the contracts")?)
        } else {
            routes
        };
        let limits = Limits {
            tokens: config.tokens,
            streams_per_connection: config.streams_per_connection,
            message_bytes: config.message_bytes,
        };
        // The reporter starts with the overall entry already SERVING.
        reporter.set_service_status("", ServingStatus::NotServing).await;
        let address = listener.local_addr()?;
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = config.tls.server() {
            server = server.tls_config(tls).context("TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE")?;
        }
        let server = server
            .max_concurrent_streams(config.streams_per_connection + STREAMS_TO_REFUSE)
            // For what collects metrics.
            .accept_http1(true)
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .layer(layers::catch_panic())
            .layer(GuardLayer::new(limits, stop.clone()))
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                draining.clone().cancelled_owned(),
            );
        for entry in std::iter::once("").chain(names.iter().copied()) {
            reporter.set_service_status(entry, ServingStatus::Serving).await;
        }
        announce(name, address);
        tokio::pin!(server);
        tokio::select! {
            result = &mut server => return result.context("the server stopped by itself"),
            () = shutdown => {}
        }
        for entry in std::iter::once("").chain(names.iter().copied()) {
            reporter.set_service_status(entry, ServingStatus::NotServing).await;
        }
        draining.cancel();
        if let Ok(result) = tokio::time::timeout(config.drain_timeout, &mut server).await {
            result?;
            tracing::info!("drained");
            return Ok(());
        }
        tracing::warn!(seconds = config.drain_timeout.as_secs(), "drain timed out, streams were cut");
        stop.cancel();
        if let Ok(result) = tokio::time::timeout(LAST_WORDS, server).await {
            result?;
        }
        Ok(())
    }
}

/// Says on stdout, in one line of JSON, that a service is SERVING and where: the harness and scripts read it.
pub fn announce(service: &str, address: SocketAddr) {
    tracing::info!(%address, "serving");
    println!("{}", serde_json::json!({ "service": service, "address": address.to_string() }));
}
