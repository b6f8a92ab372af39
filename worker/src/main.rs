//! Turns what callers said into what the assistant answers.

use worker::{Config, Worker};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    voice_server::telemetry::init("worker")?;
    let config = Config::from_process_env()?;
    Worker::build(config).await?.serve(voice_server::shutdown::signal()).await
}
