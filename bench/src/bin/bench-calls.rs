//! `make bench-calls`: the stream door under load. Callers speak the media WebSocket in real time, interrupt every answer, and are
//! one, eight, … and then ever more, until the mesh breaks. Providers take fixed times. Given parts (`load`, `speculation`,
//! `heard`) it measures only those; given numbers, it holds those many calls and shows what they cost.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use bench::{
    Better, Report,
    calls::{
        heard,
        load::{Measured, Step, hold},
        utterance::Utterance,
    },
    parts, quantile,
};
use serde_json::json;
use tests::{
    mesh::{Mesh, Options},
    speech::{spoken, target_folder},
};
use tokio::process::Command;

/// How long the providers take, in milliseconds.
const STT_MS: u64 = 100;
const FIRST_TOKEN_MS: u64 = 100;
const TOKEN_MS: u64 = 10;
const TTS_MS: u64 = 100;
/// Silence that ends an utterance: always the same here, whatever was said.
const ENDPOINT: Duration = Duration::from_millis(500);
/// One stretch of voice.
const QUESTION: &str = "Could you tell me more about it";
/// The first clause, which alone is waited for, and what makes the answer long enough to be interrupted.
const FIRST_CLAUSE: &str = "Here is what I know of it.";
const REST: &str = "There is more to be told about this than fits into one sentence, so here is another one.";
/// Steps until the mesh breaks.
const STEPS: [u32; 6] = [1, 8, 32, 100, 200, 300];
const FURTHER: u32 = 50;
const MOST: u32 = 800;
/// A step beyond these is the one that breaks.
const LIMIT_MS: f64 = 100.0;
const LASTS: Duration = Duration::from_secs(25);
/// How often the providers are asked alone.
const FLOOR_TRIPS: usize = 15;
const QUIET_LASTS: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let utterance = Arc::new(Utterance::of(&spoken(QUESTION).await?)?);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let counts: Result<Vec<u32>, _> = args.iter().map(|arg| arg.parse()).collect();
    if let (Ok(counts), false) = (counts, args.is_empty()) {
        let mut mesh = mesh("off").await?;
        let floor = floor_ms(&mesh).await?;
        println!("the providers alone take {floor:.1} ms");
        for calls in counts {
            show(&hold(&mut mesh, talking(calls, &utterance)).await?, floor);
        }
        return Ok(());
    }
    let wants = parts(&args, &["load", "speculation", "heard"])?;
    let mut report = Report::default();
    if wants("load") {
        loaded(&utterance, &mut report).await?;
    }
    if wants("speculation") {
        speculating(&utterance, &mut report).await?;
    }
    if !wants("heard") {
        return report.finish("calls");
    }
    let heard = heard::within_one_word_percent().await;
    if let Ok(percent) = heard {
        report.figure("heard_within_one_word_percent", percent, "%", 95.0, Better::Higher);
    }
    // What was measured before is kept, whatever became of the last part.
    report.finish("calls")?;
    heard.map(drop)
}

async fn mesh(speculation: &str) -> anyhow::Result<Mesh> {
    let stt = format!("canned={QUESTION}");
    let times = [STT_MS, FIRST_TOKEN_MS, TOKEN_MS, TTS_MS].map(|time| time.to_string());
    let groq_args = [
        ["--stt", &stt],
        ["--tts", "canned"],
        ["--stt-delay-ms", &times[0]],
        ["--first-token-ms", &times[1]],
        ["--token-ms", &times[2]],
        ["--tts-first-byte-ms", &times[3]],
    ];
    let options = Options {
        groq_args: groq_args.as_flattened().iter().map(|arg| (*arg).to_owned()).collect(),
        ..Options::default()
    };
    let options = options
        .with("CALL_AUDIO", "stream")
        .with("SPECULATION", speculation)
        .with("ENDPOINT_SILENCE_MS", ENDPOINT.as_millis())
        .with("ENDPOINT_LONG_SILENCE_MS", ENDPOINT.as_millis())
        .with("STT_PARTIALS", speculation)
        .with("STT_HEDGE", "off")
        // Four services share two cores: one thread each is all that can run.
        .with("TOKIO_WORKER_THREADS", 1)
        .with("MAX_CALLS", 2_000);
    let mesh = Mesh::start(options).await?;
    mesh.groq.script(&[("", &format!("{FIRST_CLAUSE} {REST}"))]).await?;
    Ok(mesh)
}

/// The providers' own time up to the first audio of an answer: what somebody waits who asks them one after the other with
/// nothing in between, on this machine.
async fn floor_ms(mesh: &Mesh) -> anyhow::Result<f64> {
    let question = spoken(QUESTION).await?;
    let mut samples = Vec::new();
    for _ in 0..FLOOR_TRIPS {
        let heard = mesh.groq.transcription(&question).await?;
        let clause = mesh.groq.reply_until(QUESTION, FIRST_CLAUSE).await?;
        let audio = mesh.groq.first_audio(FIRST_CLAUSE).await?;
        samples.push((heard + clause + audio).as_secs_f64() * 1_000.0);
    }
    Ok(quantile(&samples, 0.5))
}

fn talking(calls: u32, utterance: &Arc<Utterance>) -> Step {
    Step { calls, utterance: Some(utterance.clone()), endpoint: ENDPOINT, lasts: LASTS }
}

async fn loaded(utterance: &Arc<Utterance>, report: &mut Report) -> anyhow::Result<()> {
    let mut mesh = mesh("off").await?;
    let floor = floor_ms(&mesh).await?;
    let silent = |calls| Step { calls, utterance: None, endpoint: ENDPOINT, lasts: QUIET_LASTS };
    let idle_100 = hold(&mut mesh, silent(100)).await?;
    let idle_300 = hold(&mut mesh, silent(300)).await?;
    let mut rows: Vec<Measured> = Vec::new();
    let mut at_limit = 0;
    let further = (1..).map(|n| STEPS[STEPS.len() - 1] + n * FURTHER).take_while(|calls| *calls <= MOST);
    for calls in STEPS.into_iter().chain(further) {
        let measured = hold(&mut mesh, talking(calls, utterance)).await?;
        show(&measured, floor);
        let holds = measured.added(floor, 0.95) <= LIMIT_MS
            && measured.missed + measured.unanswered + measured.broken == 0
            && !measured.answers.is_empty();
        rows.push(measured);
        if holds {
            at_limit = calls;
        } else if calls >= STEPS[STEPS.len() - 1] {
            break;
        }
    }
    let of = |calls: u32| rows.iter().find(|row| row.calls == calls).context("a step is missing");
    let (one, hundred, many) = (of(1)?, of(100)?, of(300)?);
    report.figure("added_p50_ms_1", one.added(floor, 0.5), "ms", 10.0, Better::Lower);
    report.figure("added_p95_ms_1", one.added(floor, 0.95), "ms", 25.0, Better::Lower);
    report.figure("added_p95_ms_300", many.added(floor, 0.95), "ms", 50.0, Better::Lower);
    report.figure("barge_p50_ms_300", quantile(&many.barges, 0.5), "ms", 5.0, Better::Lower);
    report.figure("barge_p99_ms_300", quantile(&many.barges, 0.99), "ms", 20.0, Better::Lower);
    report.figure("barge_missed_300", f64::from(many.missed), "", 0.0, Better::Lower);
    report.figure("underruns_300", f64::from(many.underruns), "", 0.0, Better::Lower);
    report.figure("cpu_ms_per_call_second", many.cpu_ms, "ms", 3.0, Better::Lower);
    let slope = |low: &Measured, high: &Measured| {
        (high.memory_mb - low.memory_mb) / f64::from(high.calls - low.calls)
    };
    report.figure("mb_per_talking_call", slope(hundred, many), "MB", 1.0, Better::Lower);
    report.figure("mb_per_idle_call", slope(&idle_100, &idle_300), "MB", 0.5, Better::Lower);
    report.figure("calls_at_limit", f64::from(at_limit), "calls", 300.0, Better::Higher);
    report.peer("providers_alone_ms", floor);
    report.peer("most_ahead_ms_300", many.most_ahead_ms);
    report.peer("idle_cpu_ms_per_call_second", idle_300.cpu_ms);
    let table: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "step": row,
                "added_p50_ms": row.added(floor, 0.5),
                "added_p95_ms": row.added(floor, 0.95),
                "barge_p50_ms": quantile(&row.barges, 0.5),
                "barge_p99_ms": quantile(&row.barges, 0.99),
            })
        })
        .collect();
    draw(&json!({ "steps": table, "limit_ms": LIMIT_MS })).await?;
    report.peer("steps", table);
    Ok(())
}

fn show(row: &Measured, floor: f64) {
    println!(
        "{:>4} calls: added p50 {:>6.1} p95 {:>6.1} ms, clear p50 {:>5.1} p99 {:>5.1} ms, missed {}, unanswered {}, broken {}, \
         underruns {}, ahead {:.0} ms, CPU {:.2} ms ({:.2} beside), {:.0} MB, {} answers",
        row.calls,
        row.added(floor, 0.5),
        row.added(floor, 0.95),
        quantile(&row.barges, 0.5),
        quantile(&row.barges, 0.99),
        row.missed,
        row.unanswered,
        row.broken,
        row.underruns,
        row.most_ahead_ms,
        row.cpu_ms,
        row.cpu_ms_beside,
        row.memory_mb,
        row.answered,
    );
    let each = row.cpu_ms_each.iter().map(|(name, cpu)| format!("{name} {cpu:.2}"));
    println!("            {}", each.collect::<Vec<_>>().join(", "));
}

/// The wait that speculation hides, and what it costs in requests.
async fn speculating(utterance: &Arc<Utterance>, report: &mut Report) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for speculation in ["off", "on"] {
        let mut mesh = mesh(speculation).await?;
        let floor = floor_ms(&mesh).await?;
        let before = mesh.groq.requests().await?.len();
        let measured = hold(&mut mesh, talking(8, utterance)).await?;
        ensure!(measured.answered > 0, "nobody was answered with speculation {speculation}");
        let requests = mesh.groq.requests().await?.len() - before;
        ratios.push(requests as f64 / measured.answered as f64);
        let gap = quantile(&measured.gaps, 0.5) - floor;
        if speculation == "on" {
            report.figure("gap_over_chain_p50_ms", gap, "ms", 150.0, Better::Lower);
        } else {
            report.peer("gap_over_chain_p50_ms_without_speculation", gap);
        }
    }
    report.figure("speculation_requests_ratio", ratios[1] / ratios[0], "", 1.5, Better::Lower);
    Ok(())
}

/// Draws `target/bench/calls.png`.
async fn draw(data: &serde_json::Value) -> anyhow::Result<()> {
    let folder = target_folder().join("bench");
    std::fs::create_dir_all(&folder)?;
    let (input, output) = (folder.join("calls-plot.json"), folder.join("calls.png"));
    std::fs::write(&input, data.to_string())?;
    let mut drawing = Command::new(".venv/bin/python");
    drawing.arg(Path::new("bench/calls/plot.py")).args([&input, &output]);
    drawing.stdin(Stdio::null()).kill_on_drop(true);
    let status = tokio::time::timeout(Duration::from_mins(1), drawing.status()).await??;
    ensure!(status.success(), "the plot could not be drawn");
    println!("drawn in {}", output.display());
    Ok(())
}
