//! What the service adds to an engine, and what a failing engine costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tests::mesh::{Mesh, Options};
use voice_proto::tts::v1::{
    EngineState, ListVoicesRequest, SynthesizeRequest, synthesize_response::Payload,
    tts_service_client::TtsServiceClient,
};

use super::piper::medium_voice;
use crate::{Better, Report, quantile};

/// Pairs of a stream and its floor.
const STREAMS: usize = 60;
/// Starts of the service; each has three streams before the breaker opens.
const STARTS: usize = 5;
/// Streams while the breaker is open: fewer than fill its pause.
const OPEN: usize = 20;
/// The provider's own time, so that waiting for it is not what is measured.
const FIRST_BYTE_MS: u64 = 50;
/// How long the provider is waited for.
const STALL_MS: f64 = 1_000.0;
/// The engine whose failure is measured.
const PREFERRED: &str = "groq";

type Tts = TtsServiceClient<tonic::transport::Channel>;

/// Measures and reports.
///
/// # Errors
/// When something that is measured fails.
pub async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let first_byte = FIRST_BYTE_MS.to_string();
    let groq_args = ["--stt", "canned=yes", "--tts", "canned", "--tts-first-byte-ms", &first_byte];
    let options = Options { groq_args: groq_args.map(str::to_owned).to_vec(), ..Options::default() };
    // Requests are counted, as with the provider itself, and Piper is what speaks when it cannot.
    let options = options.with("GROQ_PLAN", "developer").with("PIPER_VOICE", medium_voice().await?.display());
    let mut mesh = Mesh::start(options).await?;
    // Its phrases are not what is measured.
    mesh.child("relay").kill().await?;
    added(&mesh, report).await?;
    failover(&mut mesh, report).await
}

/// From the provider's first audio to the first chunk at the client: the stream's time less that of a bare request.
async fn added(mesh: &Mesh, report: &mut Report) -> anyhow::Result<()> {
    let mut tts = mesh.tts().await?;
    let (mut streams, mut floors) = (Vec::new(), Vec::new());
    for n in 0..STREAMS + 5 {
        let text = format!("This is sentence number {n} of many.");
        let floor = mesh.groq.first_audio(&text).await?;
        let stream = first_chunk(&mut tts, &text, "", PREFERRED).await?;
        // The first ones open connections, and the loudness of the voice is learnt from them.
        if n >= 5 {
            floors.push(ms(floor));
            streams.push(stream);
        }
    }
    let floor = quantile(&floors, 0.5);
    report.figure("synthesize_added_ms", quantile(&streams, 0.5) - floor, "ms", 3.0, Better::Lower);
    report.peer("synthesize_floor_p50_ms", floor);
    report.peer("synthesize_added_p95_ms", quantile(&streams, 0.95) - quantile(&floors, 0.95));
    Ok(())
}

/// From the request to the fallback's first audio, less the wait for the provider and the fallback's own time.
async fn failover(mesh: &mut Mesh, report: &mut Report) -> anyhow::Result<()> {
    let text = "Hello there, how are you?";
    let fallback = &fallback(&mut mesh.tts().await?).await?;
    let (mut failing, mut open, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for start in 0..STARTS {
        mesh.groq.faults(json!({ "tts": null })).await?;
        mesh.restart("tts").await?;
        let mut tts = mesh.tts().await?;
        // Connections are open and both voices are known before it begins.
        first_chunk(&mut tts, "Good morning.", "", PREFERRED).await?;
        first_chunk(&mut tts, text, fallback, fallback).await?;
        mesh.groq.faults(json!({ "tts": { "kind": "hang" } })).await?;
        for _ in 0..3 {
            alone.push(first_chunk(&mut tts, text, fallback, fallback).await?);
            failing.push(first_chunk(&mut tts, text, "", fallback).await?);
        }
        let opened = Instant::now();
        for _ in 0..OPEN {
            alone.push(first_chunk(&mut tts, text, fallback, fallback).await?);
            open.push(first_chunk(&mut tts, text, "", fallback).await?);
            if opened.elapsed() > Duration::from_secs(4) {
                break;
            }
        }
        println!("start {} of {STARTS}", start + 1);
    }
    let own = quantile(&alone, 0.5);
    let added = quantile(&failing, 0.5) - STALL_MS - own;
    report.figure("failover_added_ms", added, "ms", 10.0, Better::Lower);
    report.figure("failover_open_added_ms", quantile(&open, 0.5) - own, "ms", 2.0, Better::Lower);
    report.peer("failover_fallback", fallback.as_str());
    report.peer("failover_fallback_alone_p50_ms", own);
    report.peer("failover_added_p95_ms", quantile(&failing, 0.95) - STALL_MS - own);
    Ok(())
}

/// The engine that speaks when the preferred one does not.
async fn fallback(tts: &mut Tts) -> anyhow::Result<String> {
    let engines = tts.list_voices(ListVoicesRequest {}).await?.into_inner().engines;
    let up = engines.into_iter().find(|engine| engine.name != PREFERRED && engine.state() == EngineState::Up);
    up.map(|engine| engine.name).context("there is no other engine")
}

/// Milliseconds from a request to its first audio, which has to be an engine's.
async fn first_chunk(tts: &mut Tts, text: &str, engine: &str, speaker: &str) -> anyhow::Result<f64> {
    let request = SynthesizeRequest {
        text: text.to_owned(),
        engine: engine.to_owned(),
        ..SynthesizeRequest::default()
    };
    let begun = Instant::now();
    let mut stream = tts.synthesize(request).await?.into_inner();
    let chunk = loop {
        match stream.message().await?.context("a stream without audio")?.payload {
            Some(Payload::Audio(chunk)) => break chunk,
            Some(Payload::Started(_)) => {}
            None => bail!("a message without content"),
        }
    };
    let took = ms(begun.elapsed());
    anyhow::ensure!(chunk.engine == speaker, "{} spoke instead of {speaker}", chunk.engine);
    while stream.message().await?.is_some() {}
    Ok(took)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
