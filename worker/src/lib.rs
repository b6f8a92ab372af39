//! The worker runs turns for whoever asks: recording → words → reply. It takes them out of the Celery-compatible queue and
//! serves their progress, or runs them on audio that is being spoken; it keeps no state between them.

mod adapters;
mod config;
mod consumer;
mod error;
mod grpc;
mod live;
mod phantoms;
mod ports;
pub mod reason;
mod recogniser;
mod request;
mod turn;

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use voice_groq::{Connections, Endpoint, Groq, Proxy, Service};
use voice_jobs::{Consumer, ConsumerConfig, Jobs, JobsError};
use voice_proto::worker::v1::worker_service_server::WorkerServiceServer;
use voice_quota::{Plan, Quota};
use voice_server::{Health, Server, config::is_loopback_url};
use voice_signalwire::recordings::Recordings;
use voice_transcode::Transcoder;

pub use crate::config::{Config, ProviderConfig};
use crate::{adapters::groq::Provider, consumer::Turns, live::Partials, recogniser::Recogniser, turn::Ports};

/// How often the broker is asked whether it is there.
const CHECK: Duration = Duration::from_secs(2);

/// The worker, put together.
#[derive(Debug)]
pub struct Worker {
    config: Config,
    listener: TcpListener,
    jobs: Jobs,
    provider: Provider,
    turns: Turns,
}

impl Worker {
    /// Puts the worker together. Nothing is connected to yet.
    ///
    /// # Errors
    /// When an address or a key cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let listener = config.server.bind().await?;
        let jobs = Jobs::connect(&config.redis_url, &config.job_queue).context("REDIS_URL")?;
        let provider = provider(&config)?;
        let ports = Ports {
            recordings: Arc::new(Recordings::new(config.recordings.clone())),
            transcoder: Transcoder::new(config.transcoder).await.context("TRANSCODER")?,
            recogniser: Recogniser::new(Arc::new(provider.clone()), config.stt_hedge),
            reply: Arc::new(provider.clone()),
        };
        let turns = Turns { ports, budget: config.turn_budget };
        Ok(Self { config, listener, jobs, provider, turns })
    }

    /// Works until `shutdown` completes; then finishes what runs within `DRAIN_SECONDS` and hands back the rest.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { config, listener, jobs, provider, turns } = self;
        let live = grpc::Live {
            ports: turns.ports.clone(),
            partials: Partials::new(config.stt_partials_per_minute),
            budget: config.turn_budget,
        };
        let server = Server::new("worker", config.server.clone(), voice_proto::DESCRIPTORS)
            .with(WorkerServiceServer::new(grpc::Api::new(jobs.clone(), live)));
        let mut background = JoinSet::new();
        let refusal: Arc<OnceLock<JobsError>> = Arc::default();
        let (refused, checking) = (refusal.clone(), check(jobs.clone(), server.health()));
        let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
        let stopping = stop.clone();
        background.spawn(async move {
            let _ = refused.set(checking.await);
            stopping.cancel();
        });
        background.spawn(warm(provider));
        let consumer = Consumer::new(
            jobs,
            ConsumerConfig {
                worker_name: format!("voice-{}@{}", std::process::id(), hostname()),
                concurrency: config.concurrency,
                tasks: vec![consumer::TASK],
            },
        );
        let drain = config.server.drain_timeout;
        let mut consuming = JoinSet::new();
        let (token, done) = (stop.clone(), stopped.clone());
        consuming.spawn(async move {
            consumer.run(Arc::new(turns), token, drain).await;
            done.cancel();
        });
        // The server outlives the consumer, so that whoever watches a job sees its end.
        let until = async {
            tokio::select! {
                () = shutdown => {}
                () = stopped.cancelled() => {}
            }
            stop.cancel();
            stopped.cancelled().await;
        };
        server.serve(listener, until).await?;
        match refusal.get() {
            Some(error) => anyhow::bail!("{error}"),
            None => Ok(()),
        }
    }
}

fn provider(config: &Config) -> anyhow::Result<Provider> {
    let is_local = is_loopback_url(&config.stt.base_url) && is_loopback_url(&config.llm.base_url);
    let connections = Connections::new(if is_local { Proxy::None } else { Proxy::FromEnvironment })?;
    let ProviderConfig { base_url, api_key, model, plan: _ } = &config.llm;
    let stt = Endpoint::new(&config.stt.base_url, config.stt.api_key.clone()).context("GROQ_STT_BASE_URL")?;
    let groq = Groq::new(base_url, api_key.clone(), connections)
        .context("GROQ_BASE_URL")?
        .with_endpoint(Service::Stt, stt);
    let quota = |plan: Option<Plan>| plan.map(|plan| Quota::new(&config.redis_url, plan)).transpose();
    Ok(Provider {
        groq,
        stt_model: config.stt.model.clone(),
        llm_model: model.clone(),
        stt_quota: quota(config.stt.plan).context("REDIS_URL")?,
        llm_quota: quota(config.llm.plan).context("REDIS_URL")?,
    })
}

/// A cold connection costs the first caller most of a second.
async fn warm(provider: Provider) {
    [&provider.stt_quota, &provider.llm_quota].into_iter().flatten().for_each(Quota::warm);
    if let Err(error) = provider.groq.warm(Duration::from_secs(5)).await {
        tracing::warn!(%error, "the provider does not answer yet");
    }
}

/// Tells health how the broker is. Ends when the broker is one that will never do.
async fn check(jobs: Jobs, health: Health) -> JobsError {
    let mut is_inspected = false;
    loop {
        if !is_inspected {
            match jobs.inspect().await {
                Ok(warnings) => {
                    is_inspected = true;
                    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                }
                Err(error) if error.is_refusal() => return error,
                Err(error) => tracing::debug!(%error, "redis cannot be inspected yet"),
            }
        }
        health.set("redis", jobs.ping().await.is_ok()).await;
        tokio::time::sleep(CHECK).await;
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".into(), |name| name.trim().into())
}
