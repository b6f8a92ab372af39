//! Piper in process, beside piper-tts.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::{
    child::{Child, Spec},
    mesh::{binary, eventually},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{ChildStdin, ChildStdout, Command},
};
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    tts::v1::{SynthesizeRequest, synthesize_response::Payload, tts_service_client::TtsServiceClient},
};

use crate::{Better, Report, process::cpu_seconds, quantile};

/// Twelve words, a comma after the fourth.
const SENTENCE: &str = "Your table is ready, please follow the waiter to the window seat.";
const ROUNDS: usize = 15;
/// The rate of the voice: nothing is resampled on either side.
const RATE: i32 = 22_050;
const LIMIT: Duration = Duration::from_mins(1);
/// A process that has used no CPU for so long has stopped working.
const QUIET: Duration = Duration::from_millis(300);

type Client = TtsServiceClient<tonic::transport::Channel>;

/// Measures and reports.
///
/// # Errors
/// When something that is measured fails.
pub async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let voice = medium_voice().await?;
    let folder = tempfile::tempdir()?;
    let threads = std::thread::available_parallelism()?.get();
    let service = service(&voice, folder.path(), threads).await?;
    let pid = service.pid().context("the service is gone")?;
    let mut client = Client::connect(format!("http://{}", service.said("address")?)).await?;
    let mut theirs = Theirs::start(&voice).await?;

    // Both have loaded the voice and spoken before anything counts.
    eventually(LIMIT, "speech by Piper", async || ours(&mut client.clone()).await.ok()).await?;
    theirs.first_audio().await?;
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(ours(&mut client).await?);
        their_times.push(theirs.first_audio().await?);
    }
    let (our_time, their_time) = (quantile(&our_times, 0.5), quantile(&their_times, 0.5));
    report.figure("piper_first_audio_theirs_over_ours", their_time / our_time, "x", 1.0, Better::Higher);
    report.peer("piper_first_audio_ours_ms", our_time);
    report.peer("piper_first_audio_theirs_ms", their_time);
    report.peer("piper_threads", threads);

    let mut stops = Vec::new();
    for _ in 0..5 {
        stops.push(stop(&mut client, pid).await?);
    }
    report.figure("piper_cancel_ms", quantile(&stops, 1.0), "ms", 150.0, Better::Lower);
    Ok(())
}

/// A voice of medium size, made once.
pub(super) async fn medium_voice() -> anyhow::Result<PathBuf> {
    let voice = std::path::absolute("target/bench/medium.onnx")?;
    if !voice.with_extension("onnx.json").is_file() {
        let made = python("bench/piper/make_voice.py", &voice)?.status().await?;
        ensure!(made.success(), "the voice could not be made");
    }
    Ok(voice)
}

/// The service, with no engine before Piper.
async fn service(voice: &Path, folder: &Path, threads: usize) -> anyhow::Result<Child> {
    let env = [
        ("TTS_LISTEN_ADDR", "127.0.0.1:0".to_owned()),
        ("VOICE_SECRET_KEY", "only-for-this-benchmark".to_owned()),
        ("CLIP_STORE_URL", folder.display().to_string()),
        ("PIPER_VOICE", voice.display().to_string()),
        ("PIPER_THREADS", threads.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let program = binary("tts");
    let spec = Spec { name: "tts", program: &program, args: &[], env: &env, folder, announces: true };
    Child::start(spec).await
}

fn request(text: &str) -> SynthesizeRequest {
    let format = AudioFormat { encoding: AudioEncoding::Linear16.into(), sample_rate_hertz: RATE };
    SynthesizeRequest { text: text.to_owned(), format: Some(format), ..SynthesizeRequest::default() }
}

/// Milliseconds from the request to its first audio; the rest is waited for.
async fn ours(client: &mut Client) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut stream = client.synthesize(request(SENTENCE)).await?.into_inner();
    let mut first = None;
    while let Some(response) = stream.message().await? {
        match response.payload {
            Some(Payload::Started(started)) => {
                ensure!(started.engine == "piper", "{} speaks", started.engine);
            }
            Some(Payload::Audio(_)) => {
                first.get_or_insert_with(|| started.elapsed().as_secs_f64() * 1e3);
            }
            None => {}
        }
    }
    first.context("no audio came")
}

/// Milliseconds from hanging up after the first audio of a long text to the last CPU that is used for it.
async fn stop(client: &mut Client, pid: u32) -> anyhow::Result<f64> {
    let mut stream = client.synthesize(request(&format!("{SENTENCE} ").repeat(20))).await?.into_inner();
    while let Some(response) = stream.message().await? {
        if matches!(response.payload, Some(Payload::Audio(_))) {
            break;
        }
    }
    drop(stream);
    let hung_up = Instant::now();
    let (mut used, mut last) = (cpu_seconds(pid), hung_up);
    while last.elapsed() < QUIET {
        ensure!(hung_up.elapsed() < LIMIT, "it never stops");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = cpu_seconds(pid);
        if now > used {
            (used, last) = (now, Instant::now());
        }
    }
    Ok((last - hung_up).as_secs_f64() * 1e3)
}

/// piper-tts, with its voice loaded.
struct Theirs {
    lines: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
    _process: tokio::process::Child,
}

impl Theirs {
    async fn start(voice: &Path) -> anyhow::Result<Self> {
        let mut command = python("bench/piper/say.py", voice)?;
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = process.stdin.take().expect("it was piped above");
        let stdout = process.stdout.take().expect("it was piped above");
        let mut theirs = Self { lines: BufReader::new(stdout).lines(), stdin, _process: process };
        theirs.until("ready").await?;
        Ok(theirs)
    }

    /// Milliseconds from the text to its first sound; the rest is waited for.
    async fn first_audio(&mut self) -> anyhow::Result<f64> {
        let started = Instant::now();
        self.stdin.write_all(format!("{SENTENCE}\n").as_bytes()).await?;
        self.until("first").await?;
        let first = started.elapsed().as_secs_f64() * 1e3;
        let samples: usize = self.line().await?.parse()?;
        ensure!(samples > RATE as usize, "piper-tts said only {samples} samples");
        Ok(first)
    }

    async fn until(&mut self, wanted: &str) -> anyhow::Result<()> {
        let line = self.line().await?;
        ensure!(line == wanted, "piper-tts said \"{line}\" instead of \"{wanted}\"");
        Ok(())
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await;
        line.context("piper-tts is silent")??.context("piper-tts ended")
    }
}

/// A script with a voice, in the Python environment of the tests.
fn python(script: &str, voice: &Path) -> anyhow::Result<Command> {
    let python = Path::new(".venv/bin/python");
    ensure!(python.exists(), "piper-tts is not installed: run `make setup`");
    let mut command = Command::new(python);
    command.arg(script).arg(voice).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}
