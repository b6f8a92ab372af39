//! The relay conducts live calls: telephony in, conversation out. It is the only service that talks to `SignalWire`'s
//! Relay WebSocket, and it owns its calls: their state is in the pure core of `voice-call`, driven by one session
//! each.

mod adapters;
mod assistants;
mod config;
mod doors;
mod error;
mod greeting;
mod grpc;
mod journal;
mod leg;
mod media;
mod outbound;
mod phrases;
mod ports;
pub mod reason;
mod registry;
mod session;
mod sound;
mod switchboard;

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use voice_jobs::Jobs;
use voice_proto::relay::v1::relay_service_server::RelayServiceServer;
use voice_server::{
    Server, ServerConfig,
    client::{Peer, channel},
};
use voice_transcode::Transcoder;

pub use crate::config::Config;
use crate::{
    adapters::{jobs::JobTurns, recording_line, tts::Tts, worker::Worker},
    doors::StreamDoor,
    media::MediaDesk,
    outbound::DialPlan,
    phrases::{Keeper, PhraseBook},
    registry::Registry,
    session::Tools,
    switchboard::Switchboard,
};

/// Calls that wait to be placed; one more is refused.
const ORDERS: usize = 64;

/// For watchers to take in the end of their calls.
const LAST_WATCHERS: Duration = Duration::from_secs(2);

/// The relay, put together.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    listener: TcpListener,
    api: grpc::Api,
    switchboard: Switchboard,
    connection: voice_signalwire::Connection,
    events: mpsc::Receiver<voice_signalwire::Event>,
    phrases: Arc<PhraseBook>,
    keeper: Keeper,
}

impl Relay {
    /// Puts the relay together. Nothing is connected to yet, so that a broker or a service that is away delays no
    /// start.
    ///
    /// # Errors
    /// When an address cannot be used, or an operator's greeting cannot be made playable.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let listener = config.server.bind().await?;
        let mut assistants = config.assistants.clone();
        let clips = config.clip_store.open(&config.secret_key)?;
        let transcoder = Transcoder::new(config.transcoder).await.context("TRANSCODER")?;
        let recorded =
            greeting::prepare(&mut assistants, &clips, &transcoder, &config.public_base_url).await?;
        // First part of call ids, and so of the ids of their jobs.
        let relay_id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        let jobs = Jobs::connect_as(&relay_id, &config.redis_url, &config.job_queue).context("REDIS_URL")?;
        let channel = channel(Peer::Tts, &config.tts_addrs, &config.server.client).context("TTS_ADDRS")?;
        let speech = Arc::new(Tts::new(channel));
        let workers =
            voice_server::client::channel(Peer::Worker, &config.worker_addrs, &config.server.client)
                .context("WORKER_ADDRS")?;
        let worker = Arc::new(Worker::new(workers));
        let desk = Arc::new(MediaDesk::new(config.secret_key.clone(), advertised(&config, &listener)?));
        let phrases = Arc::new(PhraseBook::default());
        let registry = Arc::new(Registry::default());
        let (client, events, connection) = voice_signalwire::connect(voice_signalwire::Config::new(
            &config.relay_url,
            &config.project,
            config.token.clone(),
            config.contexts.clone(),
        ));
        let plan = Arc::new(DialPlan::new(config.dial_allowed_prefixes.clone(), config.dial_daily_cap));
        let (orders_sender, orders) = mpsc::channel(ORDERS);
        let api = grpc::Api::new(registry.clone(), orders_sender, plan.clone(), desk.clone());
        let tools = Tools {
            turns: Arc::new(JobTurns::new(jobs)),
            ears: worker.clone(),
            speech: speech.clone(),
            phrases: phrases.clone(),
            fallback_number: config.fallback_number.clone(),
            is_voice_sticky: config.is_voice_sticky,
        };
        let stream = StreamDoor {
            tools: Tools { turns: worker, ..tools.clone() },
            settings: config.stream,
            desk,
            media_url: doors::media_url(&config.public_base_url),
            origin: session::now(),
        };
        let switchboard = Switchboard {
            orders,
            plan,
            relay_id,
            client,
            assistants: assistants.clone(),
            max_calls: config.max_calls,
            tools,
            stream,
            registry,
            door: recording_line::Settings { end_silence: config.end_silence, language: String::new() },
        };
        let keeper = Keeper { assistants, speech, pace: config.phrase_pace, recorded, clips };
        Ok(Self { config, listener, api, switchboard, connection, events, phrases, keeper })
    }

    /// Conducts calls until `shutdown` completes; then live calls finish their turn and say goodbye.
    ///
    /// # Errors
    /// When the credentials are refused, or the server fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { config, listener, api, switchboard, connection, events, phrases, keeper } = self;
        let (drain, calls_over) = (CancellationToken::new(), CancellationToken::new());
        // Watchers of calls that are over end by themselves; others have had their time.
        let last = ServerConfig { drain_timeout: LAST_WATCHERS, ..config.server.clone() };
        let server = Server::new("relay", last, voice_proto::DESCRIPTORS).with(RelayServiceServer::new(api));
        let mut background = JoinSet::new();
        background.spawn(phrases.keep(keeper));
        let calls = switchboard.run(events, drain.clone());
        let serving = server.serve(listener, calls_over.clone().cancelled_owned());
        let mut connecting = JoinSet::new();
        connecting.spawn(connection.run());
        tokio::pin!(calls, serving, shutdown);
        tokio::select! {
            () = &mut calls => {}
            result = &mut serving => return result,
            Some(over) = connecting.join_next() => {
                over?.context("the connection to SignalWire cannot be made")?;
            }
            () = &mut shutdown => {
                drain.cancel();
                let drained = async { tokio::join!(tokio::time::timeout(config.server.drain_timeout, &mut calls)) };
                tokio::select! {
                    (drained,) = drained => if drained.is_err() {
                        tracing::warn!("calls did not end within DRAIN_SECONDS and were cut");
                    },
                    result = &mut serving => return result,
                }
            }
        }
        calls_over.cancel();
        serving.await
    }
}

/// Where other services reach this relay. A port that the system chose is known only now.
fn advertised(config: &Config, listener: &TcpListener) -> anyhow::Result<String> {
    let chosen = format!("http://{}", config.server.listen_addr);
    if config.advertise_addr == chosen && config.server.listen_addr.port() == 0 {
        return Ok(format!("http://{}", listener.local_addr()?));
    }
    Ok(config.advertise_addr.clone())
}
