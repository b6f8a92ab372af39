//! Whole clips and streams, beside an ffmpeg child.

use crate::Report;

/// Measures and reports.
///
/// # Errors
/// When something that is measured fails.
#[expect(clippy::unused_async, reason = "all parts have one shape")]
pub async fn measure(_report: &mut Report) -> anyhow::Result<()> {
    Ok(())
}
