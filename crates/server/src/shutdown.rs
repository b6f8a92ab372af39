//! When to stop: SIGTERM or SIGINT asks, the second one insists.

use tokio::signal::unix::{SignalKind, signal as unix_signal};

/// Completes at the first SIGTERM or SIGINT. A second one ends the process at once.
pub async fn signal() {
    first().await;
    tracing::info!("draining; a second signal stops at once");
    let mut guard = tokio::task::JoinSet::new();
    guard.spawn(async {
        first().await;
        std::process::exit(130);
    });
    guard.detach_all();
}

async fn first() {
    let mut terminate = unix_signal(SignalKind::terminate()).expect("signal handlers can be installed");
    let mut interrupt = unix_signal(SignalKind::interrupt()).expect("signal handlers can be installed");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
