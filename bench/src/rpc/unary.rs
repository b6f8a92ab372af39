//! What the layers that every RPC of the mesh passes (catching panics, trace, metrics, authentication, limits, deadline, size)
//! add to a unary call: the same service in one process, bare and behind them, asked in turn.

use std::time::Instant;

use tonic::{Request, transport::Channel};
use voice_proto::relay::v1::{EndCallRequest, relay_service_client::RelayServiceClient};

use super::{Floor, LIMIT, bare::TOKEN, channels};
use crate::{Better, Report, quantile};

/// Round trips of each, and how many are made before the other one's turn.
const TRIPS: usize = 8_000;
const IN_A_ROW: usize = 100;

type Relay = RelayServiceClient<Channel>;

/// Measures and reports.
///
/// # Errors
/// When a call fails.
pub async fn measure(floor: &Floor, report: &mut Report) -> anyhow::Result<()> {
    let mut sides = Vec::new();
    for address in [&floor.side.address, &floor.guarded] {
        let channel = channels(address).await?.remove(0);
        sides.push((Relay::new(channel), Vec::with_capacity(TRIPS)));
    }
    // The first ones open what stays open.
    for n in 0..=TRIPS / IN_A_ROW {
        for (relay, trips) in &mut sides {
            for _ in 0..IN_A_ROW {
                let trip = round_trip(relay).await?;
                if n > 0 {
                    trips.push(trip);
                }
            }
        }
    }
    let [bare, guarded] = [0, 1].map(|side| quantile(&sides[side].1, 0.5));
    report.figure("interceptors_added_us", guarded - bare, "us", 30.0, Better::Lower);
    report.peer("unary_bare_p50_us", bare);
    report.peer("unary_guarded_p50_us", guarded);
    Ok(())
}

/// Microseconds of one call, as services of the mesh make it: with a token, a trace and a deadline.
async fn round_trip(relay: &mut Relay) -> anyhow::Result<f64> {
    let mut request = Request::new(EndCallRequest { call_id: "nobody".to_owned() });
    request.set_timeout(LIMIT);
    let metadata = request.metadata_mut();
    metadata.insert("authorization", format!("Bearer {TOKEN}").parse()?);
    metadata.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?);
    let begun = Instant::now();
    relay.end_call(request).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}
