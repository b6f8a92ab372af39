//! Many watchers of one call: from the moment that an event carries to the watcher that has it, in the mesh and with a bare
//! fan-out of the same messages.

use std::time::Duration;

use anyhow::Context as _;
use tests::leg::AudioCaller;
use tokio::task::JoinSet;
use tonic::Streaming;
use voice_proto::relay::v1::{
    CallEvent, ConverseConfig, WatchCallRequest, WatchCallResponse, call_event::Event,
    relay_service_client::RelayServiceClient,
};

use super::{LIMIT, Side, channels, since};
use crate::{Better, Report, quantile};

/// Watchers of the call.
const WATCHERS: usize = 200;
/// Keys that are pressed, of which each watcher is told, and between two of them.
const KEYS: usize = 200;
const PAUSE: Duration = Duration::from_millis(40);
/// Turns that the two take.
const ROUNDS: usize = 3;

/// Measures and reports.
///
/// # Errors
/// When a watcher misses something.
pub async fn measure(relay: &Side, floor: &Side, report: &mut Report) -> anyhow::Result<()> {
    let mut late = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (side, late) in [floor, relay].into_iter().zip(&mut late) {
            late.extend(told(side).await?);
        }
    }
    let [bare, ours] = [0, 1].map(|side| quantile(&late[side], 0.99));
    report.figure("watch_call_p99_over_floor", ours / bare, "", 2.0, Better::Lower);
    for (name, side) in [("bare", 0), ("ours", 1)] {
        report.peer(&format!("watch_call_{name}_p50_ms"), quantile(&late[side], 0.5));
        report.peer(&format!("watch_call_{name}_p99_ms"), quantile(&late[side], 0.99));
    }
    Ok(())
}

/// Milliseconds from each event to each watcher.
async fn told(side: &Side) -> anyhow::Result<Vec<f64>> {
    let channels = channels(&side.address).await?;
    let speaker = RelayServiceClient::new(channels[0].clone());
    let caller = AudioCaller::begin(speaker, ConverseConfig::default()).await?;
    let mut watchers = JoinSet::new();
    for n in 0..WATCHERS {
        let mut relay = RelayServiceClient::new(channels[n % channels.len()].clone());
        let request = WatchCallRequest { call_id: caller.call_id(), after_sequence: 0 };
        watchers.spawn(watch(relay.watch_call(request).await?.into_inner()));
    }
    for _ in 0..KEYS {
        tokio::time::sleep(PAUSE).await;
        caller.press('5').await?;
    }
    let mut late = Vec::with_capacity(WATCHERS * KEYS);
    while let Some(watched) =
        tokio::time::timeout(LIMIT, watchers.join_next()).await.context("a key is missing")?
    {
        late.extend(watched??);
    }
    Ok(late)
}

/// Milliseconds from each key to here.
async fn watch(mut events: Streaming<WatchCallResponse>) -> anyhow::Result<Vec<f64>> {
    let mut late = Vec::with_capacity(KEYS);
    while late.len() < KEYS {
        let response = events.message().await?.context("the call is over")?;
        if let Some(CallEvent { event_time: Some(at), event: Some(Event::DigitPressed(_)), .. }) =
            response.event
        {
            late.push(since(at) * 1e3);
        }
    }
    Ok(late)
}
