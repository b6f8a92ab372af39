//! The `voice-sim` program: one subcommand per provider.

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Pretend providers for tests and demonstrations.
#[derive(Debug, Parser)]
#[command(name = "voice-sim", version)]
struct Cli {
    #[command(subcommand)]
    provider: Provider,
}

#[derive(Debug, Subcommand)]
enum Provider {
    /// `SignalWire` RELAY, with a telephone behind it.
    Signalwire(voice_sim::signalwire::Args),
    /// Groq: STT, LLM and TTS.
    Groq(voice_sim::groq::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().provider {
        Provider::Signalwire(args) => voice_sim::signalwire::run(args).await,
        Provider::Groq(args) => voice_sim::groq::run(args).await,
    }
}
