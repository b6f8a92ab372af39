//! Logs to stderr, metrics in memory.

use std::{io::IsTerminal as _, sync::OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Upper bounds in seconds: from a hop within the mesh to a whole turn.
const LATENCY_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0];

/// The same for a frame's way from one service to another, which is counted in tens of microseconds: two in an octave.
const WAY_BUCKETS: [f64; 19] = [
    25e-6, 35e-6, 50e-6, 70e-6, 100e-6, 140e-6, 200e-6, 280e-6, 400e-6, 560e-6, 800e-6, 1.1e-3, 1.6e-3,
    2.2e-3, 3.2e-3, 4.5e-3, 6.4e-3, 12.8e-3, 51.2e-3,
];

/// Starts logging (filtered by `RUST_LOG`, `info` by default) and metrics for this process.
///
/// # Errors
/// When called twice, or when `RUST_LOG` cannot be read.
pub fn init(service: &'static str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env()?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging was started already: {error}"))?;
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full("converse_way_seconds".into()), &WAY_BUCKETS)?
        .add_global_label("service", service)
        .install_recorder()?;
    METRICS.set(handle).map_err(|_| anyhow::anyhow!("metrics were started already"))
}

/// All metrics of this process in Prometheus' text form.
///
/// # Panics
/// Outside of a runtime.
pub fn render_metrics() -> String {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    metrics::gauge!("tokio_tasks").set(tasks as f64);
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}
