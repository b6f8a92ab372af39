//! The gateway is the public edge: clips for the telephony provider to fetch, speech for whoever has a token, health
//! and metrics.

mod config;
mod hot;
mod http;
mod problem;
pub mod reason;

use std::{
    future::{Future, IntoFuture as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use voice_clips::{Clips, ClipsError};
use voice_proto::tts::v1::tts_service_client::TtsServiceClient;
use voice_server::client::{Peer, channel};

pub use crate::config::Config;
use crate::{hot::Hot, http::Edge};

/// Uses of clips that wait to be written down; a clip whose use is left out is asked for again within minutes.
const USE_QUEUE: usize = 1_024;

/// Writing one down.
const USE_DEADLINE: Duration = Duration::from_secs(5);

/// The gateway, put together.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    listener: TcpListener,
    edge: Arc<Edge>,
    uses: mpsc::Receiver<String>,
}

impl Gateway {
    /// Puts the gateway together. Nothing is connected to yet.
    ///
    /// # Errors
    /// When an address or the clip store cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let listener = config.server.bind().await?;
        let client = &config.server.client;
        let tts = channel(Peer::Tts, &config.tts_addrs, client).context("TTS_ADDRS")?;
        let relay = channel(Peer::Relay, &config.relay_addrs, client).context("RELAY_ADDRS")?;
        let (used, uses) = mpsc::channel(USE_QUEUE);
        let edge = Edge {
            clips: config.clip_store.open(&config.secret_key)?,
            hot: Hot::default(),
            used,
            tts: TtsServiceClient::new(tts.clone()),
            dependencies: vec![("tts", tts), ("relay", relay)],
            tokens: config.server.tokens.clone(),
            welcome: Mutex::default(),
            permits: Edge::permits(),
        };
        Ok(Self { config, listener, edge: Arc::new(edge), uses })
    }

    /// Serves until `shutdown` completes; then lets requests end within `DRAIN_SECONDS`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { config, listener, edge, uses } = self;
        let mut background = JoinSet::new();
        background.spawn(note_uses(edge.clips.clone(), uses));
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

/// Writes down which clips are in use, so that serving one waits for nothing.
async fn note_uses(clips: Clips, mut uses: mpsc::Receiver<String>) {
    while let Some(name) = uses.recv().await {
        match tokio::time::timeout(USE_DEADLINE, clips.touch(&name)).await {
            Ok(Ok(()) | Err(ClipsError::Gone)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the use of a clip could not be written down"),
            Err(_) => tracing::warn!("the use of a clip could not be written down within {USE_DEADLINE:?}"),
        }
    }
}
