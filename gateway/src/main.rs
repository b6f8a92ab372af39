//! The public edge.

use gateway::{Config, Gateway};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("gateway")?;
    let config = Config::from_process_env()?;
    Gateway::build(config).await?.serve(voice_server::shutdown::signal()).await
}
