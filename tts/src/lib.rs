//! The tts service: text → audio stream or playable clip. The preferred engine is asked first; when it fails, the
//! next one speaks, so that no failure leaves silence.

mod adapters;
mod breaker;
mod config;
mod engines;
mod error;
mod grpc;
mod level;
mod ports;
pub mod reason;
pub mod say;
#[cfg(test)]
mod scripted;
mod synthesis;
mod upkeep;

use std::{future::Future, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinSet};
use voice_clips::Clips;
use voice_groq::{Connections, Groq, Proxy};
use voice_proto::tts::v1::tts_service_server::TtsServiceServer;
use voice_quota::Quota;
use voice_server::{Server, config::is_loopback_url};
use voice_transcode::Transcoder;

pub use crate::config::{Config, EngineConfig};
use crate::{
    adapters::{espeak::Espeak, groq::GroqEngine, piper::Piper},
    engines::Engines,
    ports::Engine,
    synthesis::Synthesis,
};

/// The service, put together.
#[derive(Debug)]
pub struct Tts {
    config: Config,
    listener: TcpListener,
    clips: Clips,
    synthesis: Synthesis,
    start: Start,
}

/// The engines, and what is to be done once they are wanted.
#[derive(Debug)]
struct Start {
    groq: Option<Groq>,
    quota: Option<Quota>,
    piper: Option<Piper>,
    espeak: Espeak,
}

impl Tts {
    /// Puts the service together. Nothing is connected to yet.
    ///
    /// # Errors
    /// When an address, a key or the clip store cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let listener = config.server.bind().await?;
        let clips = config.clip_store.open(&config.secret_key)?;
        let transcoder = Transcoder::new(config.transcoder).await.context("TRANSCODER")?;
        let (engines, start) = engines(&config.engines)?;
        let synthesis = Synthesis::new(engines, clips.clone(), transcoder);
        Ok(Self { config, listener, clips, synthesis, start })
    }

    /// Speaks until `shutdown` completes; then finishes what is being said within `DRAIN_SECONDS`.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { config, listener, clips, synthesis, start } = self;
        let mut background = JoinSet::new();
        background.spawn(upkeep::run(clips, config.clip_limits));
        start.run(&mut background);
        let api = grpc::Api::new(synthesis, config.public_base_url.clone());
        Server::new("tts", config.server, voice_proto::DESCRIPTORS)
            .with(TtsServiceServer::new(api))
            .serve(listener, shutdown)
            .await
    }
}

impl Start {
    fn run(self, background: &mut JoinSet<()>) {
        let Self { groq, quota, piper, espeak } = self;
        background.spawn(espeak.look_up());
        if let Some(piper) = piper {
            // A network takes up to a second to load and try.
            background.spawn(piper.load());
        }
        if let Some(quota) = quota {
            quota.warm();
        }
        let Some(groq) = groq else {
            tracing::warn!("GROQ_API_KEY is not set: the next engine speaks");
            return;
        };
        // A cold connection costs the first clause most of a second.
        background.spawn(async move {
            if let Err(error) = groq.warm(Duration::from_secs(5)).await {
                tracing::warn!(%error, "the provider does not answer yet");
            }
        });
    }
}

/// All engines in order of preference.
fn engines(config: &EngineConfig) -> anyhow::Result<(Engines, Start)> {
    let groq = groq(config)?;
    let quota =
        config.plan.map(|plan| Quota::new(&config.redis_url, plan)).transpose().context("REDIS_URL")?;
    let piper =
        (!config.piper_voices.is_empty()).then(|| Piper::open(&config.piper_voices, config.piper_threads));
    let espeak = Espeak::default();
    let mut all: Vec<Box<dyn Engine>> = vec![Box::new(GroqEngine {
        groq: groq.clone(),
        quota: quota.clone(),
        model: config.model.clone(),
        voice: config.voice.clone(),
    })];
    if let Some(piper) = piper.clone() {
        all.push(Box::new(piper));
    }
    all.push(Box::new(espeak.clone()));
    Ok((Engines::new(all), Start { groq, quota, piper, espeak }))
}

fn groq(config: &EngineConfig) -> anyhow::Result<Option<Groq>> {
    let is_local = is_loopback_url(&config.groq_base_url);
    if config.groq_api_key.is_none() && config.groq_base_url.contains("api.groq.com") {
        return Ok(None);
    }
    let connections = Connections::new(if is_local { Proxy::None } else { Proxy::FromEnvironment })?;
    let groq = Groq::new(&config.groq_base_url, config.groq_api_key.clone(), connections)
        .context("GROQ_BASE_URL")?;
    Ok(Some(groq))
}
