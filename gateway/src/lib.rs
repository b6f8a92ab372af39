//! The gateway is the public edge: clips for the telephony provider to fetch, speech for whoever has a token, health
//! and metrics.

mod config;
mod http;
mod problem;

use std::{
    future::{Future, IntoFuture as _},
    sync::Arc,
};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use tokio::{net::TcpListener, sync::OnceCell};
use tokio_util::sync::CancellationToken;
use voice_clips::Clips;
use voice_proto::tts::v1::tts_service_client::TtsServiceClient;
use voice_server::client::channel;

pub use crate::config::Config;
use crate::http::Edge;

/// The gateway, put together.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    listener: TcpListener,
    edge: Arc<Edge>,
}

impl Gateway {
    /// Puts the gateway together. Nothing is connected to yet.
    ///
    /// # Errors
    /// When an address or the clip store cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let listener = config.server.bind().await?;
        let mesh_token = config.server.mesh_token.as_ref();
        let tts = channel(&config.tts_addrs, mesh_token).context("TTS_ADDRS")?;
        let relay = channel(&config.relay_addrs, mesh_token).context("RELAY_ADDRS")?;
        let edge = Edge {
            clips: Clips::open(&config.clip_store_url, &config.secret_key)?,
            tts: TtsServiceClient::new(tts.clone()),
            dependencies: vec![("tts", tts), ("relay", relay)],
            tokens: config.server.tokens.clone(),
            welcome: OnceCell::new(),
            permits: Edge::permits(),
        };
        Ok(Self { config, listener, edge: Arc::new(edge) })
    }

    /// Serves until `shutdown` completes; then lets requests end within `DRAIN_SECONDS`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { config, listener, edge } = self;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "nodelay was refused");
            }
        });
        let draining = CancellationToken::new();
        let server = axum::serve(listener, http::router(edge))
            .with_graceful_shutdown(draining.clone().cancelled_owned());
        voice_server::announce("gateway", address);
        let server = server.into_future();
        tokio::pin!(server);
        tokio::select! {
            result = &mut server => return result.context("the server stopped by itself"),
            () = shutdown => draining.cancel(),
        }
        if let Ok(result) = tokio::time::timeout(config.server.drain_timeout, server).await {
            result.context("the server failed while draining")
        } else {
            tracing::warn!("drain timed out, requests were cut");
            Ok(())
        }
    }
}
