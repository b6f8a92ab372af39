//! `make bench-turn`: what the mesh adds to a turn of the recording door, the gap between two plays of one reply,
//! the extra silence of every provider fault, and how fast the services start.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use bench::{Better, Report, quantile};
use serde_json::{Value, json};
use tests::{
    mesh::{CONTEXT, Mesh, Options, SERVICES, Watch, eventually},
    phone::Caller,
    show::part_duration,
};
use voice_proto::relay::v1::{Activity, PlaybackKind, call_event::Event};

/// Turns that the medians are taken over.
const TURNS: usize = 25;
/// Starts of each service.
const STARTS: usize = 5;
const LIMIT: Duration = Duration::from_mins(1);
const QUESTION: &str = "yes";

/// Two plays: the first clause alone, the rest packed. Each reply is new, so that no clip is there already.
fn reply(n: usize) -> String {
    format!("Here is the first part of answer {n}. And this is the second part of it.")
}

const FAULTS: [(&str, &str); 5] = [
    ("429", r#"{"kind":"status","status":429,"retry_after":30}"#),
    ("500", r#"{"kind":"status","status":500}"#),
    ("hang", r#"{"kind":"hang"}"#),
    ("cut", r#"{"kind":"cut"}"#),
    ("nonsense", r#"{"kind":"nonsense"}"#),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut report = Report::default();
    added(&mut report).await?;
    extra_silence(&mut report).await?;
    starts(&mut report).await?;
    report.finish("turn")
}

/// Canned providers answer at once; the recording is tiny and there.
async fn instant() -> anyhow::Result<Mesh> {
    let groq_args = ["--stt", "canned=yes", "--tts", "canned", "--first-token-ms", "0", "--token-ms", "0"];
    let signalwire_args = ["--recording-delay-ms", "0"];
    let options = Options {
        groq_args: groq_args.map(str::to_owned).to_vec(),
        signalwire_args: signalwire_args.map(str::to_owned).to_vec(),
        ..Options::default()
    };
    // Requests are counted, as with the provider itself.
    let mesh = Mesh::start(options.with("GROQ_PLAN", "developer")).await?;
    mesh.groq.script(&[(QUESTION, &reply(0))]).await?;
    Ok(mesh)
}

async fn added(report: &mut Report) -> anyhow::Result<()> {
    let mesh = instant().await?;
    let (caller, mut watch) = call(&mesh).await?;
    for n in 0..TURNS {
        mesh.groq.script(&[(QUESTION, &reply(n))]).await?;
        turn(&caller, &mut watch).await?;
        print!("\rturn {} of {TURNS}", n + 1);
        std::io::Write::flush(&mut std::io::stdout())?;
    }
    println!();
    caller.hang_up().await?;
    let events = mesh.phone.events().await?;
    let (added, gaps) = measure(&events);
    ensure!(added.len() >= TURNS - 1, "only {} turns were measured", added.len());
    report.figure("added_p50_ms", quantile(&added, 0.5), "ms", 25.0, Better::Lower);
    report.figure("clause_gap_p50_ms", quantile(&gaps, 0.5), "ms", 30.0, Better::Lower);
    report.peer("added_p95_ms", quantile(&added, 0.95));
    report.peer("clause_gap_p95_ms", quantile(&gaps, 0.95));
    report.peer("turns", added.len());
    let mut parts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for event in &watch.seen {
        let Some(Event::TurnTimings(timings)) = &event.event else { continue };
        for part in &timings.parts {
            parts.entry(part.name.clone()).or_default().push(part_duration(part).as_secs_f64() * 1_000.0);
        }
    }
    for (name, samples) in parts {
        report.peer(&format!("part_{name}_p50_ms"), quantile(&samples, 0.5));
    }
    Ok(())
}

/// From each `record finished` to the next play that was asked for, and from the end of each play to the beginning
/// of the next one of the same reply.
fn measure(events: &[Value]) -> (Vec<f64>, Vec<f64>) {
    let (mut added, mut gaps) = (Vec::new(), Vec::new());
    let (mut finished_at, mut play_ended_at) = (None, None);
    for event in events {
        let at = event["at_ms"].as_f64().unwrap_or_default();
        match event["event"].as_str().unwrap_or_default() {
            "event_sent" if event["event_type"] == "calling.call.record" && event["state"] == "finished" => {
                finished_at = Some(at);
                play_ended_at = None;
            }
            "play_requested" => added.extend(finished_at.take().map(|from| at - from)),
            "play_started" => gaps.extend(play_ended_at.take().map(|from| at - from)),
            "play_finished" => play_ended_at = Some(at),
            _ => {}
        }
    }
    (added, gaps)
}

async fn call(mesh: &Mesh) -> anyhow::Result<(Caller, Watch)> {
    let caller = mesh.phone.ring(CONTEXT).await?;
    let mut watch = mesh.watch(&mesh.newest_call().await?).await?;
    watch
        .until(LIMIT, |event| match event {
            Event::PlaybackFinished(done) if done.kind() == PlaybackKind::Greeting => Some(()),
            _ => None,
        })
        .await?;
    Ok((caller, watch))
}

async fn turn(caller: &Caller, watch: &mut Watch) -> anyhow::Result<()> {
    caller.say(QUESTION).await?;
    watch
        .until(LIMIT, |event| match event {
            Event::StateChanged(change) if change.activity() == Activity::Thinking => Some(()),
            _ => None,
        })
        .await?;
    watch
        .until(LIMIT, |event| match event {
            Event::StateChanged(change) if change.activity() == Activity::Listening => Some(()),
            _ => None,
        })
        .await
}

/// One call for each fault, and one without; in each the longest silence while the turn was open.
async fn extra_silence(report: &mut Report) -> anyhow::Result<()> {
    let mut worst = (String::new(), 0.0_f64);
    let mesh = instant().await?;
    let base = silence_in_turn(&mesh, None).await?;
    drop(mesh);
    report.peer("silence_without_fault_ms", base);
    for endpoint in ["stt", "llm", "tts"] {
        for (name, fault) in FAULTS {
            // A mesh of its own for each: breakers and caches must not help the next one.
            let mesh = instant().await?;
            warm_up(&mesh).await?;
            let fault: Value = serde_json::from_str(fault)?;
            let extra = silence_in_turn(&mesh, Some((endpoint, fault))).await? - base;
            println!("{endpoint} {name}: {extra:.0} ms of extra silence");
            report.peer(&format!("extra_silence_{endpoint}_{name}_ms"), extra);
            if extra > worst.1 {
                worst = (format!("{endpoint} {name}"), extra);
            }
        }
    }
    report.peer("extra_silence_worst", worst.0);
    report.figure("extra_silence_max_ms", worst.1, "ms", 1_500.0, Better::Lower);
    Ok(())
}

/// Waits until the phrases of the assistant have been made.
async fn warm_up(mesh: &Mesh) -> anyhow::Result<()> {
    eventually(LIMIT, "phrases", async || {
        let clips = std::fs::read_dir(mesh.folder.join("clips")).ok()?.count();
        (clips >= 8).then_some(())
    })
    .await
}

/// The longest silence of the second turn of a call; the first one goes well.
async fn silence_in_turn(mesh: &Mesh, fault: Option<(&str, Value)>) -> anyhow::Result<f64> {
    let (caller, mut watch) = call(mesh).await?;
    turn(&caller, &mut watch).await?;
    if let Some((endpoint, fault)) = fault {
        mesh.groq.script(&[(QUESTION, &reply(1))]).await?;
        mesh.groq.faults(json!({ endpoint: fault })).await?;
    }
    turn(&caller, &mut watch).await?;
    let view = caller.view().await?;
    let spoken =
        view["caller_speech"].as_array().and_then(|spans| spans.last()).context("the caller said nothing")?;
    let from = spoken["end_ms"].as_f64().context("no end of speech")?;
    let playbacks = view["playbacks"].as_array().context("no playbacks")?;
    let items = playbacks.iter().filter_map(|playback| playback["items"].as_array()).flatten();
    let to = items.filter_map(|item| item["ended_at_ms"].as_f64()).fold(0.0, f64::max);
    ensure!(to > from, "the turn had no sound: {:?}", watch.seen);
    let silence = caller.longest_silence(from, to).await?;
    caller.hang_up().await?;
    Ok(silence.as_secs_f64() * 1_000.0)
}

/// From the start of each process to SERVING, with Redis away.
async fn starts(report: &mut Report) -> anyhow::Result<()> {
    let mut mesh = instant().await?;
    let mut slowest = 0.0_f64;
    for service in SERVICES {
        let mut samples = Vec::new();
        for _ in 0..STARTS {
            mesh.restart(service).await?;
            samples.push(mesh.child(service).start_duration.as_secs_f64() * 1_000.0);
        }
        let median = quantile(&samples, 0.5);
        report.peer(&format!("start_{service}_ms"), median);
        slowest = slowest.max(median);
    }
    report.figure("start_max_ms", slowest, "ms", 200.0, Better::Lower);
    Ok(())
}
