//! Turns text into speech.

use clap::{Parser, Subcommand};
use tts::{Config, EngineConfig, Tts, say::Say};

/// Turns text into speech: serves it over gRPC, or says one text.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says a text on the loudspeaker or into a file, with the engines that the environment configures.
    Say(Say),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { command } = Cli::parse();
    voice_server::telemetry::init("tts")?;
    let Some(Command::Say(say)) = command else {
        let config = Config::from_process_env()?;
        return Tts::build(config).await?.serve(voice_server::shutdown::signal()).await;
    };
    let said = tts::say::say(say, &EngineConfig::from_process_env()?).await?;
    println!(
        "first audio after {} ms, {:.1} s by {}",
        said.first_audio.as_millis(),
        said.duration.as_secs_f64(),
        said.engines.join(", then ")
    );
    Ok(())
}
