//! Conducts live calls.

use relay::{Config, Relay};

fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("relay")?;
    let config = Config::from_process_env()?;
    voice_server::runtime::run(async {
        Relay::build(config).await?.serve(voice_server::shutdown::signal()).await
    })
}
