//! A client that goes away, or whose time is up: the request to the provider that was made for it ends too.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use voice_audio::{mulaw, resample::resample, wav};
use voice_proto::{
    relay::v1::ConverseConfig,
    tts::v1::{
        CreateClipRequest, Flush, StreamingSynthesizeConfig, StreamingSynthesizeRequest, SynthesizeRequest,
        streaming_synthesize_request,
    },
    worker::v1::{
        CancelJobRequest, CreateJobRequest, GetJobRequest, JobState, ProcessTurnRequest, TranscribeConfig,
        TranscribeRequest, TurnConfig, process_turn_request, transcribe_request,
    },
};
use voice_server::{methods::METHODS, status::reason_of};

use super::*;
use crate::{
    leg::AudioCaller,
    mesh::eventually,
    speech::{hosted, spoken},
};

const WORDS: &str = "Is anybody still there?";
/// What is spoken of the answer first.
const ANSWER_BEGINS: &str = "We are open from nine to six.";

/// What an RPC has the provider do for as long as its client waits.
enum Asks {
    /// Something of these endpoints.
    For(Rpc, &'static [&'static str]),
    /// Nothing, and why.
    Nothing(&'static str),
}

use Asks::{For, Nothing};

const READS: Asks = Nothing("it tells what there is");
const CALLS: Asks = Nothing("what it asks for is the call's from then on");
const JOBS: Asks = Nothing("the job goes on without its maker; CancelJob ends it");

/// Every RPC of the mesh.
const TABLE: [(&str, Asks); 23] = [
    ("/voice.relay.v1.RelayService/PlaceCall", CALLS),
    ("/voice.relay.v1.RelayService/GetCall", READS),
    ("/voice.relay.v1.RelayService/ListCalls", READS),
    ("/voice.relay.v1.RelayService/WatchCall", READS),
    ("/voice.relay.v1.RelayService/Say", CALLS),
    ("/voice.relay.v1.RelayService/Instruct", CALLS),
    ("/voice.relay.v1.RelayService/SendDigits", CALLS),
    ("/voice.relay.v1.RelayService/TransferCall", CALLS),
    ("/voice.relay.v1.RelayService/EndCall", CALLS),
    ("/voice.relay.v1.RelayService/Converse", For(Rpc::Converse, &["stt", "llm", "tts"])),
    ("/voice.worker.v1.WorkerService/Transcribe", For(Rpc::Transcribe, &["stt"])),
    ("/voice.worker.v1.WorkerService/ProcessTurn", For(Rpc::ProcessTurn, &["stt", "llm"])),
    ("/voice.worker.v1.WorkerService/CreateJob", JOBS),
    ("/voice.worker.v1.WorkerService/GetJob", READS),
    ("/voice.worker.v1.WorkerService/WatchJob", READS),
    ("/voice.worker.v1.WorkerService/CancelJob", JOBS),
    ("/voice.worker.v1.WorkerService/GetQueueStats", READS),
    ("/voice.worker.v1.WorkerService/ListDeadJobs", READS),
    ("/voice.worker.v1.WorkerService/RequeueDeadJob", JOBS),
    ("/voice.tts.v1.TtsService/ListVoices", READS),
    ("/voice.tts.v1.TtsService/CreateClip", For(Rpc::CreateClip, &["tts"])),
    ("/voice.tts.v1.TtsService/Synthesize", For(Rpc::Synthesize, &["tts"])),
    ("/voice.tts.v1.TtsService/StreamingSynthesize", For(Rpc::StreamingSynthesize, &["tts"])),
];

/// The RPCs whose clients wait for a provider.
#[derive(Clone, Copy, Debug)]
enum Rpc {
    Converse,
    Transcribe,
    ProcessTurn,
    CreateClip,
    Synthesize,
    StreamingSynthesize,
}

impl Rpc {
    /// Asks, and waits for all of the answer.
    async fn ask(self, mesh: &Mesh, deadline: Option<Duration>) -> Result<(), Status> {
        let text = WORDS.to_owned();
        match self {
            Self::CreateClip => {
                let clip = CreateClipRequest { text, ..CreateClipRequest::default() };
                mesh.tts().await.unwrap().create_clip(within(clip, deadline)).await.map(drop)
            }
            Self::Synthesize => {
                let speech = SynthesizeRequest { text, ..SynthesizeRequest::default() };
                let audio = mesh.tts().await.unwrap().synthesize(within(speech, deadline)).await?;
                to_end(audio.into_inner()).await
            }
            Self::StreamingSynthesize => {
                use streaming_synthesize_request::Payload;
                let config = Payload::Config(StreamingSynthesizeConfig::default());
                let pieces = [config, Payload::Text(text), Payload::Flush(Flush {})]
                    .map(|piece| StreamingSynthesizeRequest { payload: Some(piece) });
                // More might be written for as long as he is there: a stream that outlives him would keep him in.
                let (_more, rest) = mpsc::channel(1);
                let pieces = stream::iter(pieces).chain(ReceiverStream::new(rest));
                let audio = mesh.tts().await.unwrap().streaming_synthesize(within(pieces, deadline)).await?;
                to_end(audio.into_inner()).await
            }
            Self::Transcribe => {
                use transcribe_request::Payload;
                let config = Payload::Config(TranscribeConfig::default());
                let requests = stream::iter([config]).chain(question().await.map(Payload::Audio));
                let requests = requests.map(|payload| TranscribeRequest { payload: Some(payload) });
                let words = mesh.worker().await.unwrap().transcribe(within(requests, deadline)).await?;
                to_end(words.into_inner()).await
            }
            Self::ProcessTurn => {
                use process_turn_request::Payload;
                let config = Payload::Config(TurnConfig::default());
                let requests = stream::iter([config]).chain(question().await.map(Payload::Audio));
                let requests = requests.map(|payload| ProcessTurnRequest { payload: Some(payload) });
                let turn = mesh.worker().await.unwrap().process_turn(within(requests, deadline)).await?;
                to_end(turn.into_inner()).await
            }
            Self::Converse => {
                let config = ConverseConfig { wants_events: true, ..ConverseConfig::default() };
                let mut caller = AudioCaller::begin(mesh.relay().await.unwrap(), config).await?;
                let greeted = |got: &crate::leg::Received| got.event(finished(PlaybackKind::Greeting));
                caller.until(LIMIT, greeted).await.unwrap();
                caller.say(QUESTION).await.unwrap();
                caller.until(LIMIT, |got| got.end.clone()).await.unwrap()
            }
        }
    }
}

async fn to_end<T>(mut responses: Streaming<T>) -> Result<(), Status> {
    while responses.message().await?.is_some() {}
    Ok(())
}

/// A question in pieces of 500 ms.
async fn question() -> impl Stream<Item = Bytes> + Send + 'static {
    let audio = wav::read(&spoken(QUESTION).await.unwrap()).unwrap();
    let voice = mulaw::encode(&resample(&audio.samples, audio.sample_rate_hertz, 8_000));
    stream::iter(voice.chunks(4_000).map(Bytes::copy_from_slice).collect::<Vec<_>>())
}

fn within<T>(message: T, deadline: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    request
}

/// What the provider was asked to do at one of its endpoints, oldest first. What the relay has said in advance for all calls
/// is not among it.
async fn asked(mesh: &Mesh, endpoint: &str) -> Vec<Value> {
    let is_ours = |request: &Value| {
        let input = request["input"].as_str();
        request["endpoint"] == endpoint && input.is_none_or(|text| [WORDS, ANSWER_BEGINS].contains(&text))
    };
    mesh.groq.requests().await.unwrap().into_iter().filter(is_ours).collect()
}

/// Waits until the newest request to an endpoint is in a state; gives it.
async fn newest(mesh: &Mesh, endpoint: &str, after: usize, state: &str) -> Value {
    let what = format!("request {after} to {endpoint}, {state}");
    eventually(LIMIT, &what, async || {
        asked(mesh, endpoint).await.get(after).filter(|request| request["state"] == state).cloned()
    })
    .await
    .unwrap()
}

/// How long a request lasted, by the provider's clock.
fn duration(request: &Value) -> Duration {
    let (at, ended) = (request["at_ms"].as_f64().unwrap(), request["ended_ms"].as_f64().unwrap());
    Duration::from_secs_f64((ended - at) / 1_000.0)
}

/// What is asked for is asked for once, and as late as it can be.
async fn calm() -> Mesh {
    mesh(Options::default().with("STT_HEDGE", "off").with("STT_PARTIALS", "off").with("SPECULATION", "off"))
        .await
}

#[test]
fn every_rpc_says_what_it_asks_of_the_provider() {
    let told = BTreeMap::from(TABLE.map(|(path, asks)| (path, !matches!(asks, Nothing("")))));
    assert_eq!(told, METHODS.iter().map(|method| (method.path, true)).collect());
}

#[tokio::test]
async fn whoever_hangs_up_ends_the_request_that_was_made_for_him() {
    let mesh = calm().await;
    for (path, asks) in TABLE {
        let For(rpc, endpoints) = asks else { continue };
        for endpoint in endpoints {
            // Whatever else a call has said is said as ever.
            let words = if matches!(rpc, Rpc::Converse) { ANSWER_BEGINS } else { WORDS };
            let (fault, patience) = match *endpoint {
                "stt" => (json!({ "kind": "hang" }), Duration::from_secs(4)),
                "llm" => (json!({ "kind": "hang" }), Duration::from_secs(3)),
                _ => (json!({ "kind": "stall", "match": words }), Duration::from_millis(900)),
            };
            mesh.groq.faults(json!({ "stt": null, "llm": null, "tts": null })).await.unwrap();
            mesh.groq.faults(json!({ *endpoint: fault })).await.unwrap();
            // A machine that stands still lets the client go only after the provider was given up: that says nothing.
            let mut lasted = Vec::new();
            while lasted.last().is_none_or(|lasted| *lasted >= patience) {
                assert!(lasted.len() < 3, "{path}: {endpoint} was given up, not cancelled: {lasted:?}");
                lasted.push(hung_up(&mesh, rpc, endpoint, patience).await);
            }
        }
    }
}

/// Goes away once the provider works for this client; gives for how long it worked.
async fn hung_up(mesh: &Mesh, rpc: Rpc, endpoint: &str, patience: Duration) -> Duration {
    let before = asked(mesh, endpoint).await.len();
    tokio::select! {
        _ = newest(mesh, endpoint, before, "open") => {}
        _ = rpc.ask(mesh, None) => {}
    }
    let lasted = duration(&newest(mesh, endpoint, before, "broken").await);
    if lasted < patience {
        let asked = asked(mesh, endpoint).await.len();
        assert_eq!(asked, before + 1, "{rpc:?} is not tried again for nobody");
    }
    lasted
}

#[tokio::test]
async fn a_deadline_that_passes_in_mid_stream_ends_the_request_that_was_made_for_it() {
    let mesh = calm().await;
    // Each would be waited for longer, and is asked much sooner.
    let deadline = Duration::from_secs(2);
    for (rpc, endpoint, patience) in [
        (Rpc::Transcribe, "stt", Duration::from_secs(4)),
        (Rpc::ProcessTurn, "stt", Duration::from_secs(4)),
        (Rpc::ProcessTurn, "llm", Duration::from_secs(3)),
    ] {
        mesh.groq.faults(json!({ "stt": null, "llm": null })).await.unwrap();
        mesh.groq.faults(json!({ endpoint: { "kind": "hang" } })).await.unwrap();
        let before = asked(&mesh, endpoint).await.len();
        let late = rpc.ask(&mesh, Some(deadline)).await.unwrap_err();
        let told = (late.code(), reason_of(&late).unwrap_or_default());
        assert_eq!(told, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()), "{rpc:?} {endpoint}");
        let broken = newest(&mesh, endpoint, before, "broken").await;
        assert!(duration(&broken) < patience, "{rpc:?}: {endpoint} was given up, not ended: {broken}");
    }
}

#[tokio::test]
async fn a_deadline_is_passed_on_and_leaves_time_for_the_next_engine() {
    let mesh = calm().await;
    mesh.groq.faults(json!({ "tts": { "kind": "stall", "match": WORDS } })).await.unwrap();
    let mut answers = Vec::new();
    // A machine that stands still takes the time of the next engine, but not each time.
    while !answers.iter().any(Result::is_ok) {
        assert!(answers.len() < 3, "{answers:?}");
        let before = asked(&mesh, "tts").await.len();
        // The preferred engine would be waited for a second, if there were time.
        answers.push(Rpc::CreateClip.ask(&mesh, Some(Duration::from_millis(1_200))).await);
        let broken = newest(&mesh, "tts", before, "broken").await;
        assert!(duration(&broken) < Duration::from_secs(1), "{broken}");
        assert_eq!(asked(&mesh, "tts").await.len(), before + 1);
    }
}

#[tokio::test]
async fn cancelling_a_job_ends_its_request_to_the_recogniser_or_the_language_model() {
    let mesh = calm().await;
    let mut worker = mesh.worker().await.unwrap();
    let mut recordings = JoinSet::new();
    let recording_uri = hosted(spoken(QUESTION).await.unwrap(), &mut recordings).await.unwrap();
    // Each is given up by itself after this long.
    for (endpoint, patience) in [("stt", Duration::from_secs(4)), ("llm", Duration::from_secs(3))] {
        mesh.groq.faults(json!({ "stt": null, "llm": null })).await.unwrap();
        mesh.groq.faults(json!({ endpoint: { "kind": "hang" } })).await.unwrap();
        let job_id = format!("waits-for-{endpoint}");
        let before = asked(&mesh, endpoint).await.len();
        let job = CreateJobRequest {
            job_id: job_id.clone(),
            recording_uri: recording_uri.clone(),
            ..CreateJobRequest::default()
        };
        worker.create_job(job).await.unwrap();
        newest(&mesh, endpoint, before, "open").await;
        worker.cancel_job(CancelJobRequest { job_id: job_id.clone() }).await.unwrap();
        let broken = newest(&mesh, endpoint, before, "broken").await;
        assert!(duration(&broken) < patience, "{endpoint} was given up, not cancelled: {broken}");
        // Whoever runs it writes that down after he has let go of the provider.
        eventually(LIMIT, "a job that is cancelled", async || {
            let read = GetJobRequest { job_id: job_id.clone() };
            let job = worker.get_job(read).await.ok()?.into_inner().job?;
            (job.state() == JobState::Cancelled).then_some(())
        })
        .await
        .unwrap();
        assert_eq!(asked(&mesh, endpoint).await.len(), before + 1);
    }
}
