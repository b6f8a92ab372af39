//! `make bench-speech`: the speech service beside ffmpeg, nginx, piper-tts and espeak-ng, in the same run.

use bench::{Report, speech};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut report = Report::default();
    speech::transcode::measure(&mut report).await?;
    speech::clips::measure(&mut report).await?;
    speech::piper::measure(&mut report).await?;
    speech::synthesis::measure(&mut report).await?;
    report.finish("speech")
}
