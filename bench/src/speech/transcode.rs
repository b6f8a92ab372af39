//! Whole clips and streams, beside an ffmpeg child.

use std::{
    hint::black_box,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::{io::AsyncWriteExt as _, process::Command};
use voice_audio::{
    Audio, TELEPHONE_HERTZ,
    decode::decode,
    mulaw,
    resample::{StreamResampler, resample},
    wav,
};

use crate::{Better, Report, quantile};

/// Rounds of ours and theirs, taking turns.
const ROUNDS: usize = 25;
/// What engines speak at, and what operators record at.
const RATES: [u32; 5] = [16_000, 22_050, 24_000, 44_100, 48_000];

/// Measures and reports.
///
/// # Errors
/// When something that is measured fails.
pub async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let clip = Audio { samples: tone(440.0, 24_000, 3.0), sample_rate_hertz: 24_000 };
    let file = wav::write_pcm16(&clip);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let made = black_box(by_us(black_box(&file))?);
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let same = by_ffmpeg(&file).await?;
        theirs.push(begun.elapsed().as_secs_f64() * 1e3);
        let apart = wav::read(&made)?.samples.len().abs_diff(wav::read(&same)?.samples.len());
        ensure!(apart <= 2, "the clips differ by {apart} samples");
    }
    let (ours, theirs) = (quantile(&ours, 0.5), quantile(&theirs, 0.5));
    report.figure("transcode_ffmpeg_over_ours", theirs / ours, "x", 50.0, Better::Higher);
    report.peer("transcode_ours_p50_ms", ours);
    report.peer("transcode_ffmpeg_p50_ms", theirs);
    quality(report);
    let begun = Instant::now();
    black_box(by_stream(&clip.samples, 24_000));
    report.peer("transcode_stream_3_s_ms", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn by_us(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let audio = decode(file, Duration::from_mins(1))?;
    let samples = resample(&audio.samples, audio.sample_rate_hertz, TELEPHONE_HERTZ);
    Ok(wav::write_mulaw(&mulaw::encode(&samples)))
}

async fn by_ffmpeg(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "wav", "-i", "pipe:0", "-ac", "1", "-ar", "8000"])
        .args(["-c:a", "pcm_mulaw", "-f", "wav", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("ffmpeg; tests/setup.sh bench installs it")?;
    let mut stdin = child.stdin.take().context("its stdin was piped")?;
    let feed = async move { stdin.write_all(file).await };
    let both = async { tokio::join!(feed, child.wait_with_output()) };
    let (fed, output) = tokio::time::timeout(Duration::from_secs(30), both).await?;
    fed?;
    let output = output?;
    ensure!(output.status.success(), "ffmpeg: {}", output.status);
    Ok(output.stdout)
}

/// Before mu-law, whose own noise hides what resamplers do; the worse of both ways, over all rates.
fn quality(report: &mut Report) {
    let (mut alias, mut ripple): (f64, f64) = (f64::NEG_INFINITY, 0.0);
    for rate in RATES {
        let half = f64::from(rate) / 2.0;
        let above = (0..8).map(|n| 4_600.0 + (half * 0.98 - 4_600.0) * f64::from(n) / 7.0);
        for hertz in above {
            let tone = tone(hertz, rate, 1.0);
            for out in [resample(&tone, rate, TELEPHONE_HERTZ), by_stream(&tone, rate)] {
                alias = alias.max(level_db(&out));
            }
        }
        for step in 0..63 {
            let tone = tone(300.0 + 50.0 * f64::from(step), rate, 1.0);
            for out in [resample(&tone, rate, TELEPHONE_HERTZ), by_stream(&tone, rate)] {
                ripple = ripple.max(level_db(&out).abs());
            }
        }
    }
    report.figure("alias_rejection_db", -alias, "dB", 80.0, Better::Higher);
    report.figure("passband_ripple_db", ripple, "dB", 0.5, Better::Lower);
}

fn by_stream(samples: &[f32], rate: u32) -> Vec<f32> {
    let mut resampler = StreamResampler::new(rate, TELEPHONE_HERTZ);
    let mut out = Vec::new();
    for piece in samples.chunks(rate as usize / 50) {
        resampler.push(piece, &mut out);
    }
    resampler.finish(&mut out);
    out
}

/// A sine of amplitude 0.5.
fn tone(hertz: f64, rate: u32, seconds: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    (0..(f64::from(rate) * seconds) as usize).map(|n| 0.5 * (n as f64 * step).sin() as f32).collect()
}

/// The level of the middle of a signal, beside that of such a tone.
fn level_db(samples: &[f32]) -> f64 {
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let energy: f64 = middle.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    10.0 * (energy / middle.len() as f64 / 0.125).log10()
}
