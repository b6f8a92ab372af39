//! Many conversations at 50 frames a second each: how long a frame's way from the client to the relay is, and what it costs the
//! relay. The client stamps every frame; how long it took is noted where it arrives, on both sides in the same histogram
//! (`converse_way_seconds`), before anything is done with it.
//!
//! Callers know nothing of each other: their frames come evenly, one after the other. What it is when they come in bursts, as
//! from a client whose timer fires once in a millisecond, is told beside.
//!
//! The line is quiet, so that neither side has more to do than to listen: a call that hears a voice would have it understood.

use std::time::{Duration, Instant};

use ::tests::mesh::metrics_for;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use voice_audio::{FRAME_SAMPLES, mulaw};
use voice_proto::relay::v1::{
    CallerAudio, ConverseConfig, ConverseRequest, converse_request::Payload,
    relay_service_client::RelayServiceClient,
};

use super::{LIMIT, Side, channels, now};
use crate::{
    Better, Report,
    process::{bind, cpu_seconds},
    quantile,
};

/// One frame.
const FRAME: Duration = Duration::from_millis(20);
/// Between two conversations that begin: callers do not come all at once.
const STAGGER: Duration = Duration::from_millis(10);
/// Frames, of as many conversations, that come at the same time: first evenly, then as from a timer of a millisecond.
const AT_ONCE: [u32; 2] = [1, 25];
/// The last greeting is over by then.
const SETTLE: Duration = Duration::from_secs(4);
/// How long it is measured.
const LASTS: Duration = Duration::from_secs(10);
/// Turns that the two take.
const ROUNDS: usize = 3;
/// Where the clients run, and where those do who are asked, as on two machines. Left to the kernel they share a core for some seconds
/// and do not for others: the frames of a burst then wait for whoever sends them.
const CORES: [&str; 2] = ["0", "1"];
/// Where the way of a frame is counted.
const WAY: &str = "converse_way_seconds";

/// What a round came to.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Half of the frames were at least as fast, in microseconds.
    way_us: f64,
    /// CPU of the process, in milliseconds per stream and second.
    cpu_ms: f64,
}

/// Measures so many streams and reports.
///
/// # Errors
/// When a stream breaks.
pub async fn measure(relay: &Side, floor: &Side, streams: u32, report: &mut Report) -> anyhow::Result<()> {
    let [clients, asked] = CORES;
    bind(std::process::id(), clients).await?;
    for side in [relay, floor] {
        bind(side.pid, asked).await?;
    }
    let [evenly, in_bursts] = AT_ONCE;
    let [bare, ours] = compare(relay, floor, streams, evenly).await?;
    report.figure("hop_p50_over_floor", ours.way_us / bare.way_us, "", 1.5, Better::Lower);
    report.figure("hop_cpu_over_floor", ours.cpu_ms / bare.cpu_ms, "", 1.5, Better::Lower);
    report.peer("hop_streams", streams);
    tell(report, "evenly", &bare, &ours);
    let [bare, ours] = compare(relay, floor, streams, in_bursts).await?;
    tell(report, "in_bursts", &bare, &ours);
    Ok(())
}

fn tell(report: &mut Report, how: &str, bare: &Measured, ours: &Measured) {
    for (side, measured) in [("bare", bare), ("ours", ours)] {
        report.peer(&format!("hop_{side}_{how}_p50_us"), measured.way_us);
        report.peer(&format!("hop_{side}_{how}_cpu_ms_per_stream_second"), measured.cpu_ms);
    }
}

/// What the medians of the rounds come to, of the floor and of the relay.
async fn compare(relay: &Side, floor: &Side, streams: u32, at_once: u32) -> anyhow::Result<[Measured; 2]> {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (side, rounds) in [floor, relay].into_iter().zip(&mut rounds) {
            let measured = hold(side, streams, at_once).await?;
            println!("{streams} streams, {at_once} at once: {measured:?}");
            rounds.push(measured);
        }
    }
    let median = |rounds: &[Measured], value: fn(&Measured) -> f64| {
        quantile(&rounds.iter().map(value).collect::<Vec<_>>(), 0.5)
    };
    Ok(rounds.map(|rounds| Measured {
        way_us: median(&rounds, |measured| measured.way_us),
        cpu_ms: median(&rounds, |measured| measured.cpu_ms),
    }))
}

async fn hold(side: &Side, streams: u32, at_once: u32) -> anyhow::Result<Measured> {
    let channels = channels(&side.address).await?;
    let (mut held, mut lines) = (JoinSet::new(), Vec::new());
    for n in 0..streams {
        tokio::time::sleep(STAGGER).await;
        let (line, requests) = mpsc::channel(8);
        line.send(ConverseRequest { payload: Some(Payload::Config(ConverseConfig::default())) }).await?;
        lines.push(line);
        held.spawn(converse(channels[n as usize % channels.len()].clone(), requests));
    }
    held.spawn(speak(lines, at_once));
    tokio::time::sleep(SETTLE).await;
    let before = Reading::of(side).await?;
    tokio::time::sleep(LASTS).await;
    let after = Reading::of(side).await?;
    if let Some(ended) = held.try_join_next() {
        ended??;
    }
    held.shutdown().await;
    let seconds = after.at.duration_since(before.at).as_secs_f64() * f64::from(streams);
    let frames = after.way.last().map_or(0.0, |(_, count)| *count)
        - before.way.last().map_or(0.0, |(_, count)| *count);
    // What does not keep the pace is not measured, but waited for.
    ensure!(frames > 45.0 * seconds, "only {:.0} frames a second of each stream came", frames / seconds);
    Ok(Measured {
        way_us: median(&before.way, &after.way).context("no frame came")? * 1e6,
        cpu_ms: (after.cpu_seconds - before.cpu_seconds) * 1e3 / seconds,
    })
}

/// Holds a conversation, and takes whatever comes.
async fn converse(channel: Channel, requests: mpsc::Receiver<ConverseRequest>) -> anyhow::Result<()> {
    let mut relay = RelayServiceClient::new(channel);
    let answer = tokio::time::timeout(LIMIT, relay.converse(ReceiverStream::new(requests))).await??;
    let mut responses = answer.into_inner();
    loop {
        responses.message().await?.context("a conversation is over")?;
    }
}

/// Sends a frame on every line every 20 ms. It looks at the clock without rest: a timer would wake it once in a millisecond.
async fn speak(lines: Vec<mpsc::Sender<ConverseRequest>>, at_once: u32) -> anyhow::Result<()> {
    let quiet = quiet_line();
    let spacing = FRAME / lines.len() as u32 * at_once;
    let mut due = Instant::now();
    for burst in lines.chunks(at_once as usize).cycle() {
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        for line in burst {
            let audio = CallerAudio { audio: quiet.clone(), send_time: Some(now()) };
            line.send(ConverseRequest { payload: Some(Payload::Audio(audio)) }).await?;
        }
        due += spacing;
    }
    Ok(())
}

/// A frame of a line that is never quite silent.
fn quiet_line() -> Bytes {
    let mut noise = 0_u8;
    let frame = std::iter::from_fn(|| {
        noise = noise.wrapping_mul(5).wrapping_add(3);
        Some(if noise < 40 { 0xFE } else { mulaw::SILENCE })
    });
    frame.take(FRAME_SAMPLES).collect::<Vec<_>>().into()
}

/// What a process tells and costs up to a moment.
struct Reading {
    at: Instant,
    cpu_seconds: f64,
    /// How many frames took at most so many seconds.
    way: Vec<(f64, f64)>,
}

impl Reading {
    async fn of(side: &Side) -> anyhow::Result<Self> {
        let text = metrics_for(&side.metrics, side.token).await?;
        let way = text.lines().filter_map(bucket).collect();
        Ok(Self { at: Instant::now(), cpu_seconds: cpu_seconds(side.pid), way })
    }
}

/// A bucket of the histogram, if the line is one: its upper bound, and how many are within it.
fn bucket(line: &str) -> Option<(f64, f64)> {
    let rest = line.strip_prefix(WAY)?.strip_prefix("_bucket")?;
    let (labels, count) = rest.rsplit_once(' ')?;
    let bound = labels.split_once("le=\"")?.1.split_once('"')?.0;
    Some((bound.parse().ok()?, count.parse().ok()?))
}

/// The median of what came between two readings; within a bucket all are thought to lie evenly.
fn median(before: &[(f64, f64)], after: &[(f64, f64)]) -> Option<f64> {
    // Before the first frame there are no buckets at all; later they stay the same.
    let earlier = before.iter().map(|(_, count)| *count).chain(std::iter::repeat(0.0));
    let counts: Vec<(f64, f64)> =
        after.iter().zip(earlier).map(|((bound, count), earlier)| (*bound, count - earlier)).collect();
    let half = counts.last().filter(|(_, all)| *all > 0.0)?.1 / 2.0;
    let at = counts.iter().position(|(_, within)| *within >= half)?;
    let (low, below) = at.checked_sub(1).map_or((0.0, 0.0), |at| counts[at]);
    let (high, within) = counts[at];
    Some(low + (high - low) * (half - below) / (within - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_read_from_what_came_between_two_readings() {
        let text = "converse_way_seconds_bucket{service=\"relay\",le=\"0.0001\"} 30\n\
                    converse_way_seconds_bucket{service=\"relay\",le=\"0.0002\"} 130\n\
                    converse_way_seconds_bucket{service=\"relay\",le=\"+Inf\"} 150\n\
                    converse_way_seconds_sum{service=\"relay\"} 1";
        let after: Vec<_> = text.lines().filter_map(bucket).collect();
        assert_eq!(after[2], (f64::INFINITY, 150.0));
        let before = [(0.0001, 20.0), (0.0002, 20.0), (f64::INFINITY, 20.0)];
        let median = median(&before, &after).unwrap();
        assert!((median - 0.000_155).abs() < 1e-9, "{median}");
        assert!(super::median(&after, &after).is_none());
    }
}
