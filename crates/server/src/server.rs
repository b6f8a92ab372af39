//! One gRPC server process: layers, health, reflection, drain.

use std::{convert::Infallible, future::Future, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService, service::Routes, transport::server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

use crate::{
    auth::Tokens,
    client::ClientConfig,
    config::{Env, listen_addr},
    layers,
    tls::Tls,
};

/// Streams that one connection may carry at the same time.
const STREAMS_PER_CONNECTION: u32 = 4_096;

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
    /// How long live work may take to finish once the process is asked to stop (`DRAIN_SECONDS`).
    pub drain_timeout: Duration,
}

impl ServerConfig {
    /// Reads `<SERVICE>_LISTEN_ADDR`, `API_TOKENS`, `MESH_TOKEN`, the files of TLS and `DRAIN_SECONDS`.
    pub fn from_env(env: &mut Env, addr_name: &str, default_addr: SocketAddr) -> Self {
        let listen_addr = listen_addr(env, addr_name, default_addr);
        let mesh_token = env.optional_secret("MESH_TOKEN");
        let api_tokens: Vec<SecretString> =
            env.list("API_TOKENS").into_iter().map(SecretString::from).collect();
        if !listen_addr.ip().is_loopback() && api_tokens.is_empty() {
            env.problem(
                format!("{addr_name}, API_TOKENS"),
                format!("{listen_addr} is reachable from outside this machine: set API_TOKENS, or listen on 127.0.0.1"),
            );
        }
        // Without API_TOKENS a mesh token alone would lock out the operator's own tools on loopback.
        let tokens = if api_tokens.is_empty() && mesh_token.is_none() {
            Tokens::default()
        } else {
            Tokens::new(api_tokens.into_iter().chain(mesh_token.clone()))
        };
        let tls = Tls::from_env(env);
        Self {
            listen_addr,
            tokens,
            client: ClientConfig::new(mesh_token, tls.clone()),
            tls,
            drain_timeout: env.seconds_or("DRAIN_SECONDS", Duration::from_secs(30)),
        }
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
        let reflection = reflection.build_v1().context("the descriptors of the contracts")?;
        let routes = routes.add_service(reflection);
        // The reporter starts with the overall entry already SERVING.
        reporter.set_service_status("", ServingStatus::NotServing).await;
        let address = listener.local_addr()?;
        let draining = CancellationToken::new();
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = config.tls.server() {
            server = server.tls_config(tls).context("TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE")?;
        }
        let server = server
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .layer(layers::catch_panic())
            .layer(layers::GuardLayer::new(config.tokens))
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
        match tokio::time::timeout(config.drain_timeout, server).await {
            Ok(result) => {
                result?;
                tracing::info!("drained");
            }
            Err(_) => {
                tracing::warn!(seconds = config.drain_timeout.as_secs(), "drain timed out, streams were cut");
            }
        }
        Ok(())
    }
}

/// Says on stdout, in one line of JSON, that a service is SERVING and where: the harness and scripts read it.
pub fn announce(service: &str, address: SocketAddr) {
    tracing::info!(%address, "serving");
    println!("{}", serde_json::json!({ "service": service, "address": address.to_string() }));
}
