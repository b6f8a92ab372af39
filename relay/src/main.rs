//! Conducts live calls.

use relay::{Config, Relay};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("relay")?;
    let config = Config::from_process_env()?;
    Relay::build(config).await?.serve(voice_server::shutdown::signal()).await
}
