//! Turns text into speech.

use tts::{Config, Tts};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("tts")?;
    let config = Config::from_process_env()?;
    Tts::build(config).await?.serve(voice_server::shutdown::signal()).await
}
