//! Keeps the clip store within its limits. tts alone does it; where there are several, each does, and none removes more
//! than is due.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use voice_clips::{Clips, Limits};

/// Between two sweeps.
const INTERVAL: Duration = Duration::from_mins(10);
/// Between two sweeps while there is more to remove than one of them does.
const SOON: Duration = Duration::from_secs(5);
/// The longest sweep; a store with a million clips is listed in a fraction of it.
const LONGEST: Duration = Duration::from_mins(5);

/// Sweeps at once, and again and again.
pub(crate) async fn run(clips: Clips, limits: Limits) {
    loop {
        let pause = match timeout(LONGEST, clips.sweep(limits, Timestamp::now())).await {
            Ok(Ok(swept)) => {
                metrics::gauge!("clip_store_clips").set(swept.clips as f64);
                metrics::gauge!("clip_store_bytes").set(swept.bytes as f64);
                metrics::counter!("clips_removed_total").increment(swept.removed);
                if swept.removed > 0 {
                    tracing::info!(removed = swept.removed, left = swept.clips, "clips were removed");
                }
                if swept.has_more { SOON } else { INTERVAL }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %voice_server::status::chain(&error), "the clip store could not be swept");
                INTERVAL
            }
            Err(_) => {
                tracing::warn!("the clip store could not be swept within {LONGEST:?}");
                INTERVAL
            }
        };
        sleep(pause).await;
    }
}
