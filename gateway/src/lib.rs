//! The gateway is the public edge: clips for the telephony provider to fetch, its webhooks and media streams, speech for
//! whoever has a token, health and metrics.

mod config;
mod hot;
mod http;
mod media;
mod problem;
pub mod reason;
mod tls;
mod web;
mod webhooks;

use std::{
    future::{Future, IntoFuture as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use futures::FutureExt as _;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use voice_clips::{Clips, ClipsError};
use voice_proto::{
    relay::v1::relay_service_server::SERVICE_NAME as RELAY,
    tts::v1::{tts_service_client::TtsServiceClient, tts_service_server::SERVICE_NAME as TTS},
    worker::v1::worker_service_server::SERVICE_NAME as WORKER,
};
use voice_server::client::{Peer, channel};

pub use crate::config::Config;
pub use crate::media::{CLOSES, CloseReason};
use crate::{
    hot::Hot,
    http::Edge,
    media::{Media, Relays},
    tls::TlsListener,
    webhooks::{Legs, Webhooks},
};

/// Uses of clips that wait to be written down; a clip whose use is left out is asked for again within minutes.
const USE_QUEUE: usize = 1_024;

/// Writing one down.
const USE_DEADLINE: Duration = Duration::from_secs(5);

/// The gateway, put together.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    listener: TcpListener,
    acceptor: Option<tls::Acceptor>,
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
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose();
        let acceptor = acceptor.context("GATEWAY_TLS_CERT_FILE, GATEWAY_TLS_KEY_FILE")?;
        let client = &config.server.client;
        let tts = channel(Peer::Tts, &config.tts_addrs, client).context("TTS_ADDRS")?;
        let relay = channel(Peer::Relay, &config.relay_addrs, client).context("RELAY_ADDRS")?;
        let worker = channel(Peer::Worker, &config.worker_addrs, client).context("WORKER_ADDRS")?;
        let (used, uses) = mpsc::channel(USE_QUEUE);
        let relays = Arc::new(Relays::new(client.clone()));
        let media = Arc::new(Media::new(config.secret_key.clone(), relays));
        let edge = Edge {
            clips: config.clip_store.open(&config.secret_key)?,
            hot: Hot::default(),
            used,
            tts: TtsServiceClient::new(tts.clone()),
            dependencies: vec![("tts", tts.clone()), ("relay", relay.clone())],
            services: [(RELAY, relay), (WORKER, worker), (TTS, tts)],
            allowed_origins: config.allowed_origins.clone(),
            tokens: config.server.tokens.clone(),
            welcome: Mutex::default(),
            permits: Edge::permits(),
            legs: Legs::new(media.clone(), &config.relay_addrs, &config.public_base_url),
            media,
            webhooks: Webhooks::new(config.signing_key.clone(), &config.public_base_url),
        };
        Ok(Self { config, listener, acceptor, edge: Arc::new(edge), uses })
    }

    /// Serves until `shutdown` completes; then lets requests end within `DRAIN_SECONDS`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { config, listener, acceptor, edge, uses } = self;
        let mut background = JoinSet::new();
        background.spawn(note_uses(edge.clips.clone(), uses));
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "nodelay was refused");
            }
        });
        let draining = CancellationToken::new();
        let media = edge.media.clone();
        let (router, over) = (http::router(edge), draining.clone().cancelled_owned());
        let mut server = match acceptor {
            None => axum::serve(listener, router).with_graceful_shutdown(over).into_future().boxed(),
            Some(acceptor) => {
                let listener = TlsListener::new(listener, acceptor)?;
                axum::serve(listener, router).with_graceful_shutdown(over).into_future().boxed()
            }
        };
        voice_server::announce("gateway", address);
        tokio::select! {
            result = &mut server => return result.context("the server stopped by itself"),
            () = shutdown => draining.cancel(),
        }
        let patience = config.server.drain_timeout;
        let (requests, ()) = tokio::join!(tokio::time::timeout(patience, server), media.drain(patience));
        if let Ok(result) = requests {
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

#[cfg(test)]
mod tests;
