//! The speech service by itself: engines that fail or have no quota, streams, cancelling, and a call that stays with
//! its voice.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tonic::{Code, Status, transport::Channel};
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    tts::v1::{
        AudioChunk, CreateClipRequest, CreateClipResponse, Engine, EngineState, Flush, ListVoicesRequest,
        StreamingSynthesizeConfig, StreamingSynthesizeRequest, SynthesizeRequest,
        streaming_synthesize_request::Payload as Piece, streaming_synthesize_response,
        synthesize_response::Payload, tts_service_client::TtsServiceClient,
    },
};
use voice_quota::{Cost, Plan, Quota};
use voice_server::status::reason_of;

use super::*;
use crate::{
    child::{Child, Spec},
    mesh::{binary, eventually, metrics},
};

type Tts = TtsServiceClient<Channel>;

const TEXT: &str =
    "Good morning to you. We are open from nine to six today, and on sunday we are closed all day.";

/// Models that have a budget of their own each.
const SPEECH: &str = "canopylabs/orpheus-v1-english";
const RECOGNITION: &str = "whisper-large-v3";

/// Without the relay, whose phrases would take of the provider's time and quota.
async fn quiet(options: Options) -> (Mesh, Tts) {
    let mut mesh = mesh(options).await;
    mesh.child("relay").kill().await.unwrap();
    // What it was just asking for ends with it, though not at once.
    eventually(LIMIT, "a service that nobody asks", async || {
        let text = metrics(&mesh.address("tts")).await.ok()?;
        let is_open = |line: &str| {
            line.starts_with("rpc_open{") && line.contains("/voice.tts.") && !line.ends_with(" 0")
        };
        (!text.lines().any(is_open)).then_some(())
    })
    .await
    .unwrap();
    let tts = mesh.tts().await.unwrap();
    (mesh, tts)
}

/// How many reservations for a model came to this in a service.
async fn reservations(mesh: &Mesh, service: &str, model: &str, result: &str) -> usize {
    let text = metrics(&mesh.address(service)).await.unwrap();
    let is_it = |line: &&str| {
        let has = |label: &str, value: &str| line.contains(&format!("{label}=\"{value}\""));
        line.starts_with("quota_reservations_total{") && has("model", model) && has("result", result)
    };
    let line = text.lines().find(is_it);
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn clip(tts: &mut Tts, text: &str) -> CreateClipResponse {
    let request = CreateClipRequest { text: text.to_owned(), ..CreateClipRequest::default() };
    tts.create_clip(request).await.unwrap().into_inner()
}

fn engine_of(response: &CreateClipResponse) -> &str {
    &response.clip.as_ref().unwrap().engine
}

async fn engine(tts: &mut Tts, name: &str) -> Engine {
    let all = tts.list_voices(ListVoicesRequest {}).await.unwrap().into_inner().engines;
    all.into_iter().find(|engine| engine.name == name).unwrap()
}

/// What the provider was asked to say so far.
async fn said(mesh: &Mesh) -> Vec<Value> {
    let all = mesh.groq.requests().await.unwrap();
    all.into_iter().filter(|request| request["endpoint"] == "tts").collect()
}

#[tokio::test]
async fn engines_and_voices_are_listed_as_they_are() {
    let (mesh, mut tts) = quiet(Options::default()).await;
    let groq = engine(&mut tts, "groq").await;
    assert_eq!((groq.state(), groq.default_voice.as_str()), (EngineState::Up, "troy"));
    let troy = groq.voices.iter().find(|voice| voice.name == "troy").unwrap();
    assert_eq!((troy.sample_rate_hertz, &troy.languages[..]), (24_000, &["en".to_owned()][..]));
    eventually(LIMIT, "espeak's voices", async || {
        let voices = engine(&mut tts.clone(), "espeak-ng").await.voices;
        voices.iter().any(|voice| voice.name == "de").then_some(())
    })
    .await
    .unwrap();
    let spoken = |voice: &str, engine: &str| CreateClipRequest {
        text: "Hello there.".to_owned(),
        voice: voice.to_owned(),
        engine: engine.to_owned(),
        ..CreateClipRequest::default()
    };
    for (voice, engine, wanted) in [
        ("de", "", "espeak-ng"),
        ("hannah", "", "groq"),
        ("", "espeak-ng", "espeak-ng"),
        ("hannah", "espeak-ng", "espeak-ng"),
    ] {
        let made = tts.create_clip(spoken(voice, engine)).await.unwrap().into_inner();
        assert_eq!(engine_of(&made), wanted, "{voice} {engine}");
    }
    let asked = said(&mesh).await.into_iter().filter(|request| request["input"] == "Hello there.");
    assert_eq!(asked.map(|request| request["voice"].clone()).collect::<Vec<_>>(), ["hannah"]);
    for (voice, engine, field) in [("nobody", "", "voice"), ("", "nothing", "engine")] {
        let status = tts.create_clip(spoken(voice, engine)).await.unwrap_err();
        assert_eq!(
            (status.code(), reason_of(&status).as_deref()),
            (Code::InvalidArgument, Some("INVALID_FIELD"))
        );
        assert!(status.message().starts_with(field) && status.message().contains("there are"), "{status:?}");
    }
}

#[tokio::test]
async fn without_a_key_the_list_says_so_and_the_next_engine_speaks() {
    let options =
        Options::default().with("GROQ_API_KEY", "").with("GROQ_TTS_BASE_URL", "https://api.groq.com");
    let (_mesh, mut tts) =
        quiet(options.with("GROQ_STT_API_KEY", "gsk_test").with("GROQ_LLM_API_KEY", "gsk_test")).await;
    let groq = engine(&mut tts, "groq").await;
    assert_eq!(groq.state(), EngineState::Unusable);
    assert!(groq.problem.contains("GROQ_API_KEY"), "{groq:?}");
    assert_eq!(engine_of(&clip(&mut tts, "Hello there.").await), "espeak-ng");
}

#[tokio::test]
async fn an_engine_that_asks_to_wait_is_left_alone_and_comes_back() {
    let (mesh, mut tts) = quiet(Options::default()).await;
    mesh.groq
        .faults(json!({ "tts": { "kind": "status", "status": 429, "retry_after": 1, "count": 1 } }))
        .await
        .unwrap();
    let before = said(&mesh).await.len();
    assert_eq!(engine_of(&clip(&mut tts, "One.").await), "espeak-ng");
    let groq = engine(&mut tts, "groq").await;
    assert!(groq.state() == EngineState::Failing && groq.retry_after.is_some(), "{groq:?}");
    eventually(LIMIT, "groq", async || {
        (engine(&mut tts.clone(), "groq").await.state() == EngineState::Up).then_some(())
    })
    .await
    .unwrap();
    let two = clip(&mut tts, "Two.").await;
    assert_eq!((engine_of(&two), two.is_cached), ("groq", false));
    assert!(clip(&mut tts, "Two.").await.is_cached);
    assert_eq!(said(&mesh).await.len(), before + 2);
}

#[tokio::test]
async fn the_plans_requests_are_reserved_so_that_no_refusal_is_provoked() {
    let (mesh, mut tts) = quiet(Options::default().with("GROQ_PLAN", "free")).await;
    let mut sentences = (0..).map(|n| format!("Sentence number {n}."));
    let spent = loop {
        clip(&mut tts, &sentences.next().unwrap()).await;
        let groq = engine(&mut tts, "groq").await;
        if groq.state() == EngineState::QuotaExhausted {
            break groq;
        }
    };
    assert!(spent.retry_after.is_some(), "{spent:?}");
    let asked = said(&mesh).await.len();
    let reserved = async |result| reservations(&mesh, "tts", SPEECH, result).await;
    let (granted, unreserved) = (reserved("granted").await, reserved("unreserved").await);
    // A busy machine's Redis may answer too late to be waited for.
    assert!(granted <= 10 && asked <= granted + unreserved, "{asked} for {granted} and {unreserved}");
    for sentence in sentences.take(4) {
        assert_eq!(engine_of(&clip(&mut tts, &sentence).await), "espeak-ng");
    }
    assert_eq!(said(&mesh).await.len(), asked);
}

#[tokio::test]
async fn a_turn_for_which_there_is_no_quota_fails_without_a_request() {
    let mesh = mesh(Options::default().with("GROQ_PLAN", "free")).await;
    let (caller, mut watch) = greeted(&mesh).await;
    let quota = Quota::new(&mesh.env("REDIS_URL").into(), Plan::Free).unwrap();
    // Somebody else uses up what there is.
    eventually(LIMIT, "the end of the budget", async || {
        quota.reserve(RECOGNITION, Cost::default()).await.err()
    })
    .await
    .unwrap();
    let reason = loop {
        caller.say(QUESTION).await.unwrap();
        let outcome = |event: &Event| failed(event).map(Some).or_else(|| transcript(event).map(|_| None));
        if let Some(reason) = watch.until(LIMIT, outcome).await.unwrap() {
            break reason;
        }
        // A busy machine's Redis has answered too late to be waited for.
        watch.until(LIMIT, listening).await.unwrap();
    };
    assert_eq!(reason, "STT_RATE_LIMITED");
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    let requests = mesh.groq.requests().await.unwrap();
    let asked = requests.iter().filter(|request| request["endpoint"] == "stt").count();
    assert_eq!(asked, reservations(&mesh, "worker", RECOGNITION, "unreserved").await, "{requests:?}");
}

fn synthesis(text: &str) -> SynthesizeRequest {
    SynthesizeRequest { text: text.to_owned(), ..SynthesizeRequest::default() }
}

#[tokio::test]
async fn a_stream_goes_on_with_the_next_engine_in_the_middle_of_a_clause() {
    let (mesh, mut tts) = quiet(Options::default()).await;
    let format = AudioFormat { encoding: AudioEncoding::Linear16.into(), sample_rate_hertz: 16_000 };
    for kind in ["cut", "stall", "hang"] {
        // A process of its own, so that no breaker is open.
        let (mesh, mut tts) = quiet(Options::default()).await;
        mesh.groq.faults(json!({ "tts": { "kind": kind, "match": "sunday" } })).await.unwrap();
        let request = SynthesizeRequest { format: Some(format), ..synthesis(TEXT) };
        let mut stream = tts.synthesize(request).await.unwrap().into_inner();
        let Some(Payload::Started(started)) = stream.message().await.unwrap().unwrap().payload else {
            panic!()
        };
        assert_eq!((started.engine.as_str(), started.format), ("groq", Some(format)));
        let mut chunks: Vec<AudioChunk> = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            let Some(Payload::Audio(chunk)) = message.payload else { panic!("{message:?}") };
            chunks.push(chunk);
        }
        let mut engines: Vec<_> = chunks.iter().map(|chunk| chunk.engine.as_str()).collect();
        engines.dedup();
        assert_eq!(engines, ["groq", "espeak-ng"], "{kind}");
        let last = chunks.last().unwrap().span.unwrap();
        assert_eq!((last.start, last.end as usize), (21, TEXT.len()));
    }
    // Without a fault nothing of it happens.
    let mut stream = tts.synthesize(synthesis(TEXT)).await.unwrap().into_inner();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(!matches!(message.payload, Some(Payload::Audio(chunk)) if chunk.engine != "groq"));
    }
    assert_eq!(said(&mesh).await.iter().filter(|request| request["input"] == TEXT[21..]).count(), 1);
}

#[tokio::test]
async fn cancelling_a_stream_ends_the_providers_request_and_the_child() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let espeak = folder.path().join("espeak-ng");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --voices ] && exec printf 'Pty Language\\n5 en-us\\n'\necho $$ > {0}.new && mv {0}.new {0}\nexec sleep 600\n",
        pid_file.display()
    );
    std::fs::write(&espeak, script).unwrap();
    std::fs::set_permissions(&espeak, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var_os("PATH").unwrap().display());
    let (mesh, mut tts) = quiet(Options::default().with("PATH", path)).await;

    mesh.groq.faults(json!({ "tts": { "kind": "hang" } })).await.unwrap();
    let stream = tts.synthesize(synthesis("Is anybody there?")).await.unwrap();
    let state =
        async || said(&mesh).await.last().filter(|last| last["input"] == "Is anybody there?").cloned();
    eventually(LIMIT, "the request", async || state().await.filter(|request| request["state"] == "open"))
        .await
        .unwrap();
    drop(stream);
    eventually(LIMIT, "its end", async || state().await.filter(|request| request["state"] == "broken"))
        .await
        .unwrap();
    assert!(!pid_file.exists(), "nobody was waiting for the next engine any more");

    let request = SynthesizeRequest { engine: "espeak-ng".to_owned(), ..synthesis("Is anybody there?") };
    let stream = tts.synthesize(request).await.unwrap();
    let pid = eventually(LIMIT, "the child", async || {
        std::fs::read_to_string(&pid_file).ok().map(|pid| pid.trim().to_owned())
    })
    .await
    .unwrap();
    drop(stream);
    let process = Path::new("/proc").join(&pid);
    eventually(LIMIT, "its end", async || (!process.exists()).then_some(())).await.unwrap();
}

async fn pieces(tts: &mut Tts, pieces: Vec<Piece>) -> Result<Vec<AudioChunk>, Status> {
    let requests = pieces.into_iter().map(|piece| StreamingSynthesizeRequest { payload: Some(piece) });
    let mut stream =
        tts.streaming_synthesize(futures::stream::iter(requests.collect::<Vec<_>>())).await?.into_inner();
    let mut chunks = Vec::new();
    while let Some(message) = stream.message().await? {
        if let Some(streaming_synthesize_response::Payload::Audio(chunk)) = message.payload {
            chunks.push(chunk);
        }
    }
    Ok(chunks)
}

#[tokio::test]
async fn a_text_is_spoken_as_it_is_written_and_wrong_messages_are_named() {
    let (mesh, mut tts) = quiet(Options::default()).await;
    let config = || Piece::Config(StreamingSynthesizeConfig::default());
    let words = ["We are o", "pen from nine, and th", "en we close at", " six. Good", "bye"];
    let mut all = vec![config()];
    all.extend(words.map(|word| Piece::Text(word.to_owned())));
    all.push(Piece::Flush(Flush {}));
    let chunks = pieces(&mut tts, all).await.unwrap();
    let mut spans: Vec<_> =
        chunks.iter().map(|chunk| chunk.span.unwrap()).map(|span| (span.start, span.end)).collect();
    spans.dedup();
    assert_eq!((spans[0], spans.last().unwrap().1), ((0, 22), words.concat().len() as i32));
    let inputs: Vec<Value> = said(&mesh).await.into_iter().map(|request| request["input"].clone()).collect();
    assert!(inputs.contains(&json!("We are open from nine,")), "{inputs:?}");
    for (wrong, reason) in [
        (vec![], "MISSING_CONFIG"),
        (vec![Piece::Text("Hello.".into())], "MISSING_CONFIG"),
        (vec![config(), config()], "REPEATED_CONFIG"),
        (vec![config(), Piece::Text("x".repeat(4_001))], "INVALID_FIELD"),
        (
            vec![Piece::Config(StreamingSynthesizeConfig { voice: "nobody".into(), ..Default::default() })],
            "INVALID_FIELD",
        ),
    ] {
        let status = pieces(&mut tts, wrong).await.unwrap_err();
        assert_eq!(reason_of(&status).as_deref(), Some(reason), "{status:?}");
    }
}

/// Turns after a single failure of the preferred engine, and whether it is asked again in the same call.
async fn asked_again(sticky: &str) -> bool {
    let mesh = mesh(Options::default().with("VOICE_STICKY", sticky)).await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.groq
        .faults(json!({ "tts": { "kind": "status", "status": 500, "match": "nine to six" } }))
        .await
        .unwrap();
    ask(&caller, &mut watch).await;
    mesh.groq.faults(json!({ "tts": null })).await.unwrap();
    mesh.groq.script(&[(QUESTION, "That is something else entirely now.")]).await.unwrap();
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with("That is something else entirely now."));
    said(&mesh).await.iter().any(|request| request["input"] == "That is something else entirely now.")
}

#[tokio::test]
async fn a_call_stays_with_its_voice_unless_told_otherwise() {
    assert!(!asked_again("call").await);
    assert!(asked_again("clause").await);
}

#[tokio::test]
async fn tts_says_a_text_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.wav");
    let args = ["say", "Hello there.", "--engine", "espeak-ng", "--out"].map(str::to_owned);
    let args: Vec<String> = args.into_iter().chain([out.display().to_string()]).collect();
    let program = binary("tts");
    let spec = Spec {
        name: "say",
        program: &program,
        args: &args,
        env: &[],
        folder: folder.path(),
        announces: false,
    };
    let mut child = Child::start(spec).await.unwrap();
    assert_eq!(child.wait(LIMIT).await.unwrap(), Some(0), "{}", child.log());
    assert!(child.log().contains("by espeak-ng"), "{}", child.log());
    let audio = voice_audio::wav::read(&std::fs::read(&out).unwrap()).unwrap();
    assert!(audio.sample_rate_hertz == 24_000 && audio.duration() > Duration::from_millis(300));
}
