//! `make demo`: a real conversation through the whole mesh by each door, shown as they happen, recorded and checked.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::{
    mesh::{CONTEXT, Mesh, Options, Watch},
    phone::Caller,
    python_tools::PythonTools,
    show::{Screen, part_duration},
    speech::{recognised, target_folder, words},
};
use voice_audio::{TELEPHONE_HERTZ, wav};
use voice_proto::relay::v1::{
    Activity, CallEvent, PlaybackKind, PlaybackStarted, PlayedClip, ToolOutcome, TranscriptSource,
    call_event::Event,
};

/// A turn takes a fraction of this on a machine that is not overloaded.
const LIMIT: Duration = Duration::from_mins(1);

/// Caller and assistant, turn by turn. The second reply is interrupted by the third question.
const SCRIPT: [(&str, &str); 5] = [
    (
        "what are your opening hours",
        "We are open from nine in the morning until six in the evening. On sunday we are closed.",
    ),
    (
        "please tell me about the house",
        "The house was built by a family of bakers many years ago. They came from a small village near the sea, \
         and they brought nothing with them but an old oven. Every morning the whole street could smell the bread. \
         Today the grandchildren run the house, and the oven still works.",
    ),
    ("i want to book a table for two", "Gladly. Your table for two is booked for eight in the evening."),
    ("where is my order", "Please enter the number of your order."),
    ("thank you very much and goodbye", "You are welcome. Have a good day."),
];

const INTERRUPTED: usize = 1;

/// The turn in which the language model uses tools: it has the caller press keys, and asks the tool server in Python.
const ORDER: usize = 3;
const ORDER_NUMBER: &str = "1234";
const ORDER_REPLY: &str = "Your order was shipped yesterday.";

/// The number whose calls come as frames, and what is said in such a call.
const STREAMED: &str = "+15553330000";
const STREAMED_TURNS: [usize; 2] = [0, 2];

/// The turn in which the provider's voice is lost, where a Piper voice can take over: the last one, since a call stays
/// with the voice that it has moved to.
const LOST: usize = 4;

/// How slowly that voice speaks. The recogniser, not a person, needs it.
const LENGTH_SCALE: f64 = 1.3;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let screen = Screen::detect();
    let folder = target_folder().join("demo");
    std::fs::create_dir_all(&folder)?;
    screen.step("starting redis, two simulators and four services ...");
    let redis_url = std::env::var_os("REDIS_URL").and_then(|url| url.into_string().ok());
    let piper = slow_voice(&folder)?;
    let assistants = folder.join("assistants.toml");
    let python = PythonTools::start().await;
    if let Err(why) = &python {
        screen.step(&format!("the tool server in Python is not there, its tool is left out: {why:#}"));
    }
    std::fs::write(&assistants, assistants_file(python.as_ref().ok()))?;
    let mut options =
        Options { redis_url, ..Options::default() }.with("ASSISTANTS_FILE", assistants.display());
    if let Some(voice) = &piper {
        options = options.with("PIPER_VOICE", voice.display());
    }
    let mesh = Mesh::start(options).await?;
    let logs = mesh.folder.display().to_string();
    mesh.groq.lines(model_script()).await?;
    mesh.groq.grammar(&SCRIPT.map(|(question, _)| question)).await?;
    let result = async {
        converse(&mesh, screen, &folder, (piper.is_some(), python.is_ok())).await?;
        converse_in_frames(&mesh, screen, &folder).await.context("in the call that came as frames")
    };
    let result = result.await;
    match &result {
        Ok(()) => screen.step(&format!(
            "all well. Listen to {} and to heard-stream.wav beside it",
            folder.join("heard.wav").display()
        )),
        Err(_) => eprintln!("the services' logs are in {logs}"),
    }
    result
}

/// Two assistants: calls to one number come in frames.
fn assistants_file(python: Option<&PythonTools>) -> String {
    let orders = python.map(|PythonTools { address, .. }| {
        format!("tool_server = 'orders'\n[tool_servers.orders]\naddress = '{address}'\n")
    });
    let orders = orders.unwrap_or_default();
    format!("[default]\ntools = ['collect_digits']\n{orders}[numbers.'{STREAMED}']\ndoor = 'stream'\n")
}

/// What the language model answers, and asks for. A line whose tool is not there does not fit: then the next one does.
fn model_script() -> Value {
    let lines = SCRIPT.iter().enumerate().map(|(n, (question, reply))| {
        if n == ORDER {
            let keys = json!({ "prompt": reply, "max_digits": ORDER_NUMBER.len() });
            return json!({ "when": question, "tool_calls": [{ "name": "collect_digits", "arguments": keys }] });
        }
        json!({ "when": question, "reply": reply })
    });
    let order = json!({ "number": ORDER_NUMBER });
    let after = [
        json!({ "when": "shipped", "reply": ORDER_REPLY }),
        json!({ "when": ORDER_NUMBER, "tool_calls": [{ "name": "order_status", "arguments": order }] }),
        json!({ "when": ORDER_NUMBER, "reply": ORDER_REPLY }),
    ];
    lines.chain(after).collect()
}

/// The first voice of `PIPER_VOICE`, made to speak slowly.
fn slow_voice(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let voices = std::env::var_os("PIPER_VOICE").and_then(|voices| voices.into_string().ok());
    let voices = voices.unwrap_or_default();
    let Some(voice) = voices.split(',').map(str::trim).find(|voice| !voice.is_empty()) else {
        return Ok(None);
    };
    let about = format!("{voice}.json");
    let text = std::fs::read(&about).with_context(|| format!("PIPER_VOICE: {about}"))?;
    let mut settings: Value =
        serde_json::from_slice(&text).with_context(|| format!("PIPER_VOICE: {about}"))?;
    settings["inference"]["length_scale"] = json!(LENGTH_SCALE);
    let name =
        Path::new(voice).file_name().with_context(|| format!("PIPER_VOICE: \"{voice}\" is no file"))?;
    let slow = folder.join("piper").join(name);
    std::fs::create_dir_all(folder.join("piper"))?;
    std::fs::copy(voice, &slow).with_context(|| format!("PIPER_VOICE: {voice}"))?;
    std::fs::write(format!("{}.json", slow.display()), serde_json::to_vec(&settings)?)?;
    Ok(Some(slow))
}

async fn converse(
    mesh: &Mesh,
    screen: Screen,
    folder: &Path,
    (has_piper, has_python): (bool, bool),
) -> anyhow::Result<()> {
    screen.step("a caller rings; his audio comes as recordings");
    let caller = mesh.phone.ring(CONTEXT).await?;
    let call_id = mesh.newest_call().await?;
    let mut show = Show { watch: mesh.watch(&call_id).await?, screen };
    show.until(
        |event| matches!(event, Event::PlaybackFinished(done) if done.kind() == PlaybackKind::Greeting),
    )
    .await?;
    let mut lost = None;
    for (n, (question, _)) in SCRIPT.iter().enumerate() {
        if n == LOST && has_piper {
            screen.step("the provider's voice is lost");
            mesh.groq.faults(json!({ "tts": { "kind": "status", "status": 500 } })).await?;
            lost = Some(show.watch.seen.len());
        }
        caller.say(question).await?;
        if n == INTERRUPTED + 1 {
            show.until(|event| matches!(event, Event::PlaybackInterrupted(_)))
                .await
                .context("the barge-in was missed")?;
        }
        show.understood(question).await?;
        if n == INTERRUPTED {
            show.until(
                |event| matches!(event, Event::PlaybackStarted(reply) if reply.kind() == PlaybackKind::Reply),
            )
            .await?;
            // Let a part of the reply be heard before the caller speaks over it.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
        } else {
            if n == ORDER {
                show.until(
                    |event| matches!(event, Event::PlaybackFinished(done) if done.kind() == PlaybackKind::Reply),
                )
                .await?;
                caller.press(ORDER_NUMBER).await?;
            }
            show.answered().await?;
        }
    }
    let (view, heard) = (caller.view().await?, caller.heard().await?);
    caller.hang_up().await?;
    show.rest().await?;
    std::fs::write(folder.join("heard.wav"), &heard)?;
    let checks = check(&show.watch.seen, &view, &heard, &caller).await;
    let transcript =
        json!({ "call_id": call_id, "turns": turns(&show.watch.seen), "checks": checks.as_ref().ok() });
    std::fs::write(folder.join("transcript.json"), serde_json::to_vec_pretty(&transcript)?)?;
    let checks = checks?;
    let violations = mesh.phone.violations().await?;
    ensure!(violations.is_empty(), "the platform's protocol was broken: {violations:?}");
    screen.step(&format!("the caller could understand all {} stretches of speech", checks.len()));
    let tools = tools_used(&show.watch.seen);
    ensure!(tools.len() == 1 + usize::from(has_python), "only these tools were used: {tools:?}");
    screen.step(&format!("tools that were used: {}", tools.join(", ")));
    let clips = played(&show.watch.seen);
    if let Some(lost) = lost {
        // What was made before still sounds, and on an overloaded machine espeak-ng speaks where Piper is late.
        let mut since = played(&show.watch.seen[lost..]);
        since.retain(|clip| !clip.is_cached);
        ensure!(
            !since.is_empty() && since.iter().all(|clip| clip.engine != "groq"),
            "the provider's voice is lost, and yet these spoke: {since:?}"
        );
    }
    let made_before = clips.iter().filter(|clip| clip.is_cached).count();
    let percent = 100.0 * made_before as f64 / clips.len().max(1) as f64;
    screen.step(&format!("clips: {made_before} of {} had been made before ({percent:.0} %)", clips.len()));
    screen.step(&format!("engines: {}", exercised(&clips, has_piper)));
    Ok(())
}

/// The same with a caller whose audio comes as frames, by way of the gateway's WebSocket.
async fn converse_in_frames(mesh: &Mesh, screen: Screen, folder: &Path) -> anyhow::Result<()> {
    mesh.groq.faults(json!({ "tts": null })).await?;
    screen.step("another caller rings; his audio comes as frames");
    let caller = mesh.phone.ring_from("+15551110001", STREAMED, CONTEXT).await?;
    let call_id = mesh.newest_call().await?;
    let mut show = Show { watch: mesh.watch(&call_id).await?, screen };
    show.answered().await?;
    let mut told = show.watch.seen.len();
    let mut expected = vec![said(&show.watch.seen)];
    let mut before = understood(&caller, 0, &expected).await?;
    for turn in STREAMED_TURNS {
        let (question, reply) = SCRIPT[turn];
        caller.say(question).await?;
        show.understood(question).await?;
        show.answered().await?;
        // On a machine with much else to do a filler may have come before it.
        let spoken = said(&show.watch.seen[told..]);
        ensure!(spoken.ends_with(reply), "\"{spoken}\" was said instead of \"{reply}\"");
        told = show.watch.seen.len();
        expected.insert(0, spoken);
        before = understood(&caller, before, &expected).await?;
    }
    std::fs::write(folder.join("heard-stream.wav"), caller.heard().await?)?;
    caller.hang_up().await?;
    show.rest().await?;
    let violations = mesh.phone.violations().await?;
    ensure!(violations.is_empty(), "the platform's protocol was broken: {violations:?}");
    screen.step(&format!("the caller could understand all {} stretches of speech", expected.len()));
    Ok(())
}

/// Checks that what was heard since sample `before` is the first of `expected`; gives where it ends.
async fn understood(caller: &Caller, before: usize, expected: &[String]) -> anyhow::Result<usize> {
    let audio = wav::read(&caller.heard().await?)?;
    let understood = recognised(&audio.samples[before.min(audio.samples.len())..], expected).await?;
    ensure!(understood == words(&expected[0]), "\"{}\" was understood as \"{understood}\"", expected[0]);
    Ok(audio.samples.len())
}

/// Tools of which something has come.
fn tools_used(events: &[CallEvent]) -> Vec<&str> {
    let done = events.iter().filter_map(|event| match &event.event {
        Some(Event::ToolEnded(ended)) if ended.outcome() == ToolOutcome::Done => Some(ended.name.as_str()),
        _ => None,
    });
    done.collect()
}

/// Everything that the assistant said.
fn said(events: &[CallEvent]) -> String {
    let texts = events.iter().filter_map(|event| match &event.event {
        Some(Event::PlaybackStarted(playback)) => Some(playback.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Every clip that was played.
fn played(events: &[CallEvent]) -> Vec<PlayedClip> {
    let started = events.iter().filter_map(|event| match &event.event {
        Some(Event::PlaybackStarted(playback)) => Some(playback),
        _ => None,
    });
    started.flat_map(|playback| playback.clips.clone()).collect()
}

/// Which engines spoke, and why the others did not.
fn exercised(clips: &[PlayedClip], has_piper: bool) -> String {
    let spoke: BTreeSet<&str> = clips.iter().map(|clip| clip.engine.as_str()).collect();
    let mut text = spoke.iter().copied().collect::<Vec<_>>().join(", ");
    if !has_piper {
        text.push_str("; piper was not exercised (PIPER_VOICE names no voice)");
    } else if !spoke.contains("piper") {
        text.push_str("; piper was too late on this machine");
    }
    if !spoke.contains("espeak-ng") {
        text.push_str("; espeak-ng was not needed");
    }
    text
}

struct Show {
    watch: Watch,
    screen: Screen,
}

impl Show {
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> anyhow::Result<()> {
        let search = async {
            while let Some(event) = self.next().await? {
                if wanted(&event) {
                    return Ok(());
                }
            }
            anyhow::bail!("the call ended too early")
        };
        tokio::time::timeout(LIMIT, search).await.with_context(|| format!("nothing came within {LIMIT:?}"))?
    }

    /// Waits until the caller's words are known.
    async fn understood(&mut self, question: &str) -> anyhow::Result<()> {
        let wanted = words(question);
        self.until(|event| {
            matches!(event, Event::Transcript(heard) if heard.is_final && heard.source() == TranscriptSource::Worker && words(&heard.text) == wanted)
        })
        .await
        .with_context(|| format!("\"{question}\" was not understood"))
    }

    /// Waits until the assistant has finished.
    async fn answered(&mut self) -> anyhow::Result<()> {
        self.until(
            |event| matches!(event, Event::StateChanged(change) if change.activity() == Activity::Listening),
        )
        .await
    }

    async fn rest(&mut self) -> anyhow::Result<()> {
        let end = async {
            while self.next().await?.is_some() {}
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, end).await.context("the call did not end")?
    }

    async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        let Some(event) = self.watch.next().await? else { return Ok(None) };
        let at = since(&self.watch.seen[0], &event);
        let payload = event.event.context("an event without content")?;
        self.screen.event(at, &payload);
        Ok(Some(payload))
    }
}

fn since(first: &CallEvent, event: &CallEvent) -> Duration {
    let nanos = |event: &CallEvent| {
        event.event_time.map_or(0, |time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
    };
    Duration::from_nanos((nanos(event) - nanos(first)).max(0) as u64)
}

/// Every stretch of speech that was played to its end must be what a listener understands, and as long as announced.
async fn check(
    events: &[CallEvent],
    view: &Value,
    heard: &[u8],
    caller: &Caller,
) -> anyhow::Result<Vec<Value>> {
    let started: Vec<&PlaybackStarted> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::PlaybackStarted(playback)) => Some(playback),
            _ => None,
        })
        .collect();
    let finished: Vec<i64> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::PlaybackFinished(playback)) => Some(playback.playback_id),
            _ => None,
        })
        .collect();
    let audio = wav::read(heard)?;
    let answered = view["answered_at_ms"].as_f64().context("the call was never answered")?;
    let playbacks = view["playbacks"].as_array().context("no playbacks")?;
    ensure!(playbacks.len() == started.len(), "{} playbacks, {} announced", playbacks.len(), started.len());
    let texts: Vec<String> = started.iter().map(|playback| playback.text.clone()).collect();
    let mut checks = Vec::new();
    for (playback, seen) in started.iter().zip(playbacks) {
        if !finished.contains(&playback.playback_id) {
            continue;
        }
        let (from, to) = span(seen).with_context(|| format!("no span in {seen}"))?;
        let announced = playback.play_duration.and_then(|d| Duration::try_from(d).ok()).unwrap_or_default();
        let real = Duration::from_secs_f64((to - from) / 1_000.0);
        let slack = announced.mul_f64(0.02) + Duration::from_millis(80);
        ensure!(
            real.abs_diff(announced) <= slack,
            "\"{}\" was announced as {announced:?} and took {real:?}",
            playback.text
        );
        let sample = |ms: f64| (((ms - answered) / 1_000.0) * f64::from(TELEPHONE_HERTZ)).max(0.0) as usize;
        let stretch =
            &audio.samples[sample(from).min(audio.samples.len())..sample(to).min(audio.samples.len())];
        let understood = recognised(stretch, &texts).await?;
        ensure!(
            understood == words(&playback.text),
            "call {}: \"{}\" was understood as \"{understood}\"",
            caller.leg_id,
            playback.text
        );
        checks.push(json!({ "text": playback.text, "understood": understood, "duration_ms": real.as_millis() as u64 }));
    }
    ensure!(checks.len() >= SCRIPT.len(), "only {} playbacks were heard to their end", checks.len());
    Ok(checks)
}

/// When a playback sounded, in milliseconds on the simulator's clock.
fn span(playback: &Value) -> Option<(f64, f64)> {
    let items = playback["items"].as_array()?;
    Some((items.first()?["started_at_ms"].as_f64()?, items.last()?["ended_at_ms"].as_f64()?))
}

/// The conversation, for people and programs.
fn turns(events: &[CallEvent]) -> Vec<Value> {
    let lines = events.iter().filter_map(|event| match event.event.as_ref()? {
        Event::Transcript(words) if words.is_final => {
            Some(json!({ "speaker": "caller", "turn": words.turn_id, "text": words.text }))
        }
        Event::PlaybackStarted(playback) => {
            Some(json!({ "speaker": "assistant", "turn": playback.turn_id, "kind": playback.kind().as_str_name(), "text": playback.text, "engines": playback.clips.iter().map(|clip| &clip.engine).collect::<Vec<_>>() }))
        }
        Event::PlaybackInterrupted(cut) => {
            Some(json!({ "interrupted": { "turn": cut.turn_id, "said": cut.said, "heard": cut.heard } }))
        }
        Event::TurnTimings(timings) => {
            let parts = timings.parts.iter().map(|part| (part.name.clone(), json!(part_duration(part).as_secs_f64() * 1_000.0)));
            Some(json!({ "timings_ms": { "turn": timings.turn_id, "parts": parts.collect::<serde_json::Map<_, _>>() } }))
        }
        _ => None,
    });
    lines.collect()
}
