//! The public edge.

use gateway::{Config, Gateway};

fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("gateway")?;
    let config = Config::from_process_env()?;
    voice_server::runtime::run(async {
        Gateway::build(config).await?.serve(voice_server::shutdown::signal()).await
    })
}
