//! What a worker does beside its jobs: keeps its lease, watches the list, tells that it lives.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::hands::Shared;
use crate::{
    claim::{Heartbeat, LEASE, Tended},
    events::HEARTBEAT,
};

/// A lease survives two heartbeats that are lost.
const TEND: Duration = Duration::from_millis(250);

/// Keeps the lease, and does what dead workers left undone. A message that Redis says is in this worker's hands, and
/// that it has not heard of by the next heartbeat, is given back: the answer that told of it was lost.
pub(super) async fn tend(shared: Arc<Shared>, leaving: CancellationToken) {
    let mut ticks = tokio::time::interval(TEND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heartbeat = Heartbeat { slots: shared.config.concurrency, lost: Vec::new() };
    let mut unheard_of = HashSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // After the last heartbeat, or that would sign it in again.
            () = leaving.cancelled() => {
                if let Err(error) = shared.jobs.leave(&shared.owner).await {
                    tracing::warn!(%error, "the lease runs out by itself");
                }
                return;
            }
            // At once, so that nothing more is handed to a worker that stops.
            () = shared.shutdown.cancelled(), if heartbeat.slots > 0 => heartbeat.slots = 0,
        }
        match tokio::time::timeout(LEASE, shared.jobs.tend(&shared.owner, &heartbeat)).await {
            Ok(Ok(Tended { restored, buried, hands })) => {
                if restored + buried > 0 {
                    tracing::warn!(restored, buried, "jobs that a worker had lost are given to others");
                }
                let unknown = shared.unknown(hands);
                heartbeat.lost = unknown.intersection(&unheard_of).cloned().collect();
                unheard_of = unknown;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the lease could not be renewed"),
            Err(_) => tracing::debug!("the lease could not be renewed in time"),
        }
    }
}

/// Watches the list.
pub(super) async fn ring(shared: Arc<Shared>) {
    shared.doorbell.watch(&shared.jobs).await;
}

/// Tells Celery's tools that the worker lives.
pub(super) async fn beat(shared: Arc<Shared>) {
    shared.beat("worker-online");
    loop {
        tokio::time::sleep(Duration::from_secs_f64(HEARTBEAT)).await;
        shared.beat("worker-heartbeat");
    }
}
