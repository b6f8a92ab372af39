//! Groq's STT, LLM and TTS on one port: `/openai/v1/*` (and `/v1/*`) as Groq serves it, `/sim/*` to steer it.
//!
//! It really listens (pocketsphinx, told which sentences may come) and really speaks (flite); its language model is
//! a script. Or it answers canned things after set delays, for benchmarks. It misbehaves on demand.
//!
//! | control | what it does |
//! | --- | --- |
//! | `GET`, `PUT /sim/settings` | modes and delays; a `PUT` changes the keys it names ([`Settings`]) |
//! | `PUT /sim/grammar` | the sentences callers may say: one a line, or a JSON list |
//! | `PUT /sim/script` | what the language model answers ([`Line`]), first match first |
//! | `PUT /sim/faults` | `{"stt"\|"llm"\|"tts": fault or null}` ([`Fault`]) |
//! | `GET /sim/requests?after=N` | what was asked, and how each request ended |
//! | `DELETE /sim/requests`, `/sim/faults` | forgets it |

mod answer;
mod chat;
mod control;
mod ear;
mod envelope;
mod faults;
mod frames;
mod grammar;
mod journal;
mod models;
mod mouth;
mod script;
mod settings;
mod speech;
mod state;
mod transcription;
mod upload;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use tokio::{net::TcpListener, task::JoinSet};

pub use self::{
    faults::{Fault, Kind, Nonsense},
    script::Line,
    settings::{Settings, SttMode, TtsMode},
};
use self::{grammar::Grammar, state::Sim};
use crate::tls;

/// How the pretend Groq starts. All but the address, the key and the models can be changed while it runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The only key that is accepted.
    #[arg(long, default_value = "gsk_test")]
    pub api_key: String,
    /// A model that exists besides Groq's own; may be given several times.
    #[arg(long = "model")]
    pub models: Vec<String>,
    /// File with the sentences that callers may say, one a line.
    #[arg(long)]
    pub grammar: Option<PathBuf>,
    /// JSON file with what the language model answers.
    #[arg(long)]
    pub script: Option<PathBuf>,
    /// `real` listens with pocketsphinx, `canned=TEXT` always hears TEXT.
    #[arg(long, default_value = "real")]
    pub stt: SttMode,
    /// `real` speaks with flite, `canned` gives a tone of 60 ms per character.
    #[arg(long, default_value = "real")]
    pub tts: TtsMode,
    /// How long a transcription takes at least.
    #[arg(long, default_value_t = 0)]
    pub stt_delay_ms: u64,
    /// How long the first token of a reply takes.
    #[arg(long, default_value_t = 30)]
    pub first_token_ms: u64,
    /// How long each further token takes.
    #[arg(long, default_value_t = 2)]
    pub token_ms: u64,
    /// How long the first byte of speech takes at least.
    #[arg(long, default_value_t = 0)]
    pub tts_first_byte_ms: u64,
    /// Serve https with HTTP/2, as Groq does, with a certificate for 127.0.0.1 that is written to `cert.pem` in this folder.
    #[arg(long)]
    pub tls_self_signed: Option<PathBuf>,
}

/// A running pretend Groq. Dropping it closes the port.
#[derive(Debug)]
pub struct Simulator {
    base_url: String,
    server: JoinSet<std::io::Result<()>>,
}

/// Serves until the process is told to end. Prints one line of JSON when it is ready: `{"base_url":"http://…"}`.
///
/// # Errors
/// When a file cannot be read, a program is missing, or the address is taken.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut simulator = Simulator::start(args).await?;
    println!("{}", serde_json::json!({ "base_url": simulator.base_url() }));
    match simulator.server.join_next().await {
        Some(ended) => ended?.context("serving"),
        None => Ok(()),
    }
}

impl Simulator {
    /// Starts one in this process.
    ///
    /// # Errors
    /// When a file cannot be read, a program is missing, or the address is taken.
    pub async fn start(args: Args) -> anyhow::Result<Self> {
        let grammar = match &args.grammar {
            Some(path) => {
                tokio::fs::read_to_string(path).await.with_context(|| path.display().to_string())?
            }
            None => String::new(),
        };
        let script = match &args.script {
            Some(path) => {
                let text = tokio::fs::read(path).await.with_context(|| path.display().to_string())?;
                serde_json::from_slice(&text).with_context(|| path.display().to_string())?
            }
            None => Vec::new(),
        };
        let settings = Settings {
            stt: args.stt,
            stt_delay_ms: args.stt_delay_ms,
            first_token_ms: args.first_token_ms,
            token_ms: args.token_ms,
            tts: args.tts,
            tts_first_byte_ms: args.tts_first_byte_ms,
            ..Settings::default()
        };
        let grammar = Grammar::from_lines(&grammar);
        let sim = Sim::new(args.api_key, args.models, settings, grammar, script);
        sim.check_programs().await?;
        let listener = TcpListener::bind(args.listen).await.with_context(|| args.listen.to_string())?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::warn!(error = %error, "cannot disable Nagle's algorithm");
            }
        });
        let mut server = JoinSet::new();
        let router = envelope::router(sim);
        let scheme = match &args.tls_self_signed {
            None => {
                server.spawn(async move { axum::serve(listener, router).await });
                "http"
            }
            Some(folder) => {
                let acceptor = tls::self_signed(folder, &["h2", "http/1.1"])?;
                let listener = tls::Listener::new(listener, acceptor);
                server.spawn(async move { axum::serve(listener, router).await });
                "https"
            }
        };
        Ok(Self { base_url: format!("{scheme}://{address}"), server })
    }

    /// Where it is, as clients want it: without `/openai/v1`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

#[cfg(test)]
mod tests;
