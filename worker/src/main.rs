//! Turns what callers said into what the assistant answers.

use worker::{Config, Worker};

fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("worker")?;
    let config = Config::from_process_env()?;
    voice_server::runtime::run(async {
        Worker::build(config).await?.serve(voice_server::shutdown::signal()).await
    })
}
