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

fn main() -> anyhow::Result<()> {
    let Cli { command } = Cli::parse();
    voice_server::telemetry::init("tts")?;
    match command {
        None => {
            let config = Config::from_process_env()?;
            voice_server::runtime::run(async {
                Tts::build(config).await?.serve(voice_server::shutdown::signal()).await
            })
        }
        Some(Command::Say(command)) => voice_server::runtime::run(say(command)),
    }
}

async fn say(command: Say) -> anyhow::Result<()> {
    let said = tts::say::say(command, &EngineConfig::from_process_env()?).await?;
    println!(
        "first audio after {} ms, {:.1} s by {}",
        said.first_audio.as_millis(),
        said.duration.as_secs_f64(),
        said.engines.join(", then ")
    );
    Ok(())
}
