//! The relay conducts live calls: telephony in, conversation out. It is the only service that talks to `SignalWire`'s
//! Relay WebSocket, and it owns its calls: their state is in the pure core of `voice-call`, driven by one session
//! each.

mod adapters;
mod assistants;
mod callers;
mod config;
mod doors;
mod error;
mod greeting;
mod grpc;
mod journal;
mod kept;
mod leg;
mod media;
mod messages;
mod outbound;
mod phrases;
mod ports;
pub mod reason;
mod registry;
mod session;
mod sound;
mod switchboard;
mod toolbox;

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use voice_jobs::Jobs;
use voice_ledger::{Kept, Scribe, Session};
use voice_proto::relay::v1::relay_service_server::RelayServiceServer;
use voice_server::{
    Server, ServerConfig,
    client::{Peer, channel},
};
use voice_signalwire::SessionState;
use voice_transcode::Transcoder;

pub use crate::config::Config;
use crate::{
    adapters::{jobs::JobTurns, recording_line, tool_servers::Servers, tts::Tts, worker::Worker},
    doors::StreamDoor,
    grpc::Peers,
    kept::{KeptCall, Ledger},
    media::MediaDesk,
    messages::Postman,
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
    resumption: Resumption,
    scribe: Scribe<KeptCall>,
    events: mpsc::Receiver<voice_signalwire::Event>,
    phrases: Arc<PhraseBook>,
    keeper: Keeper,
    servers: Arc<Servers>,
    postman: Postman,
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
        let address = advertised(&config, &listener)?;
        let (ledger, scribe) =
            Ledger::open(&config.redis_url, &config.job_queue, &address, assistants.longest_call())
                .context("REDIS_URL")?;
        // First part of call ids, and so of the ids of their jobs.
        let relay_id = ledger.relay_id().to_string();
        let jobs = Jobs::connect_as(&relay_id, &config.redis_url, &config.job_queue).context("REDIS_URL")?;
        let channel = channel(Peer::Tts, &config.tts_addrs, &config.server.client).context("TTS_ADDRS")?;
        let speech = Arc::new(Tts::new(channel));
        let workers =
            voice_server::client::channel(Peer::Worker, &config.worker_addrs, &config.server.client)
                .context("WORKER_ADDRS")?;
        let worker = Arc::new(Worker::new(workers));
        let desk = Arc::new(MediaDesk::new(config.secret_key.clone(), address));
        let phrases = Arc::new(PhraseBook::default());
        let registry = Arc::new(Registry::default());
        let (client, events, connection) = voice_signalwire::connect(voice_signalwire::Config::new(
            &config.relay_url,
            &config.project,
            config.token.clone(),
            config.contexts.clone(),
        ));
        let prefixes = config.dial_allowed_prefixes.clone();
        let plan = Arc::new(DialPlan::new(prefixes, config.dial_daily_cap, ledger.clone()));
        let peers = Arc::new(Peers::new(ledger.clone(), config.server.client.clone()));
        let (orders_sender, orders) = mpsc::channel(ORDERS);
        let (kept_sender, kept) = oneshot::channel();
        let servers = Arc::new(Servers::connect(&config.tool_servers, &config.server.client)?);
        let api = grpc::Api::new(registry.clone(), orders_sender, plan.clone(), desk.clone(), peers);
        let (messages, postman) =
            messages::open(clips.clone(), config.public_base_url.clone(), config.message_webhook.clone());
        let tools = Tools {
            turns: Arc::new(JobTurns::new(jobs)),
            ears: worker.clone(),
            speech: speech.clone(),
            phrases: phrases.clone(),
            servers: servers.clone(),
            messages,
            plan: plan.clone(),
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
            ledger: ledger.clone(),
            kept: Some(kept),
            client,
            assistants: assistants.clone(),
            max_calls: config.max_calls,
            token_calls: config.token_calls,
            tools,
            stream,
            registry,
            door: recording_line::Settings { end_silence: config.end_silence, language: String::new() },
        };
        let keeper = Keeper { assistants, speech, pace: config.phrase_pace, recorded, clips };
        let resumption = Resumption { ledger, connection, kept: kept_sender };
        Ok(Self {
            config,
            listener,
            api,
            switchboard,
            resumption,
            scribe,
            events,
            phrases,
            keeper,
            servers,
            postman,
        })
    }

    /// Conducts calls until `shutdown` completes; then live calls finish their turn and say goodbye.
    ///
    /// # Errors
    /// When the credentials are refused, or the server fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self {
            config,
            listener,
            api,
            switchboard,
            resumption,
            scribe,
            events,
            phrases,
            keeper,
            servers,
            postman,
        } = self;
        let (drain, calls_over) = (CancellationToken::new(), CancellationToken::new());
        // Watchers of calls that are over end by themselves; others have had their time.
        let last = ServerConfig { drain_timeout: LAST_WATCHERS, ..config.server.clone() };
        let server = Server::new("relay", last, voice_proto::DESCRIPTORS).with(RelayServiceServer::new(api));
        let mut background = JoinSet::new();
        background.spawn(phrases.keep(keeper));
        let written = CancellationToken::new();
        let mut writing = JoinSet::new();
        writing.spawn(scribe.run(written.clone()));
        background.spawn(async move { servers.keep().await });
        background.spawn(postman.run());
        let mut calls = Box::pin(switchboard.run(events, drain.clone()));
        let serving = server.serve(listener, calls_over.clone().cancelled_owned());
        let mut connecting = JoinSet::new();
        connecting.spawn(resumption.run());
        tokio::pin!(serving, shutdown);
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
                        // From here on the platform is told nothing: calls stay there as they are written down.
                        connecting.shutdown().await;
                    },
                    result = &mut serving => return result,
                }
            }
        }
        written.cancel();
        let last_words = async { while writing.join_next().await.is_some() {} };
        let is_written = tokio::time::timeout(LAST_WATCHERS, last_words).await.is_ok();
        if !is_written {
            tracing::warn!("what has changed last was not written down");
        }
        drop(calls);
        calls_over.cancel();
        serving.await
    }
}

/// The connection to the platform, before it is made.
#[derive(Debug)]
struct Resumption {
    ledger: Ledger,
    connection: voice_signalwire::Connection,
    /// Takes the calls of a process that was here before.
    kept: oneshot::Sender<Vec<(String, KeptCall)>>,
}

impl Resumption {
    /// Connects to the platform in the session that this relay had before, if any is known.
    async fn run(self) -> Result<(), voice_signalwire::Error> {
        let Self { ledger, connection, kept } = self;
        match ledger.read().await {
            Ok(Kept { session, calls }) => {
                tracing::info!(calls = calls.len(), "read what this relay had before");
                let _ = kept.send(calls);
                let Session { protocol, authorization_state } = session;
                connection.resuming(SessionState { protocol, authorization_state }).run().await
            }
            Err(error) => {
                tracing::warn!(%error, "what this relay had before is not known");
                connection.run().await
            }
        }
    }
}

/// Where other services reach this relay. A port that the system chose is known only now.
fn advertised(config: &Config, listener: &TcpListener) -> anyhow::Result<String> {
    let (told, chosen) = (&config.advertise_addr, config.server.listen_addr);
    match told.strip_suffix(&chosen.to_string()).filter(|_| chosen.port() == 0) {
        Some(scheme) => Ok(format!("{scheme}{}", listener.local_addr()?)),
        None => Ok(told.clone()),
    }
}
