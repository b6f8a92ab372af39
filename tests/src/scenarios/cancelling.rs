//! A client that goes away, or whose time is up: the request to the provider that was made for it ends too.

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Request, Status, transport::Channel};
use voice_proto::{
    tts::v1::{
        CreateClipRequest, Flush, StreamingSynthesizeConfig, StreamingSynthesizeRequest, SynthesizeRequest,
        streaming_synthesize_request::Payload, tts_service_client::TtsServiceClient,
    },
    worker::v1::{CancelJobRequest, CreateJobRequest, GetJobRequest, JobState},
};

use super::*;
use crate::{
    mesh::eventually,
    speech::{hosted, spoken},
};

const WORDS: &str = "Is anybody still there?";

type Tts = TtsServiceClient<Channel>;

/// Every RPC that has speech made for it.
#[derive(Clone, Copy, Debug)]
enum Speak {
    CreateClip,
    Synthesize,
    StreamingSynthesize,
}

impl Speak {
    /// Asks, and waits for all of the answer.
    async fn ask(self, mut tts: Tts, deadline: Option<Duration>) -> Result<(), Status> {
        let (text, voice) = (WORDS.to_owned(), String::new());
        match self {
            Self::CreateClip => {
                let clip = CreateClipRequest { text, voice, ..CreateClipRequest::default() };
                tts.create_clip(within(clip, deadline)).await.map(drop)
            }
            Self::Synthesize => {
                let speech = SynthesizeRequest { text, voice, ..SynthesizeRequest::default() };
                let mut audio = tts.synthesize(within(speech, deadline)).await?.into_inner();
                while audio.message().await?.is_some() {}
                Ok(())
            }
            Self::StreamingSynthesize => {
                let config = Payload::Config(StreamingSynthesizeConfig::default());
                let pieces = [config, Payload::Text(text), Payload::Flush(Flush {})]
                    .map(|piece| StreamingSynthesizeRequest { payload: Some(piece) });
                let pieces = futures::stream::iter(pieces).chain(futures::stream::pending());
                let mut audio = tts.streaming_synthesize(within(pieces, deadline)).await?.into_inner();
                while audio.message().await?.is_some() {}
                Ok(())
            }
        }
    }
}

fn within<T>(message: T, deadline: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    request
}

/// What the provider was asked to do at one of its endpoints, oldest first.
async fn asked(mesh: &Mesh, endpoint: &str) -> Vec<Value> {
    let all = mesh.groq.requests().await.unwrap();
    all.into_iter().filter(|request| request["endpoint"] == endpoint).collect()
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

/// Speech alone, whose provider takes requests and says nothing.
async fn silent() -> (Mesh, Tts) {
    let mut mesh = mesh(Options::default()).await;
    mesh.child("relay").kill().await.unwrap();
    mesh.groq.faults(json!({ "tts": { "kind": "stall" } })).await.unwrap();
    let tts = mesh.tts().await.unwrap();
    (mesh, tts)
}

#[tokio::test]
async fn whoever_hangs_up_on_speech_ends_the_request_that_was_made_for_him() {
    let (mesh, tts) = silent().await;
    for rpc in [Speak::CreateClip, Speak::Synthesize, Speak::StreamingSynthesize] {
        let before = asked(&mesh, "tts").await.len();
        let mut asking = JoinSet::new();
        asking.spawn(rpc.ask(tts.clone(), None));
        newest(&mesh, "tts", before, "open").await;
        drop(asking);
        newest(&mesh, "tts", before, "broken").await;
        assert_eq!(asked(&mesh, "tts").await.len(), before + 1, "{rpc:?} is not tried again for nobody");
    }
}

#[tokio::test]
async fn a_deadline_is_passed_on_and_leaves_time_for_the_next_engine() {
    let (mesh, tts) = silent().await;
    let before = asked(&mesh, "tts").await.len();
    // The preferred engine would be waited for a second, if there were time.
    Speak::CreateClip.ask(tts, Some(Duration::from_millis(1_200))).await.unwrap();
    let broken = newest(&mesh, "tts", before, "broken").await;
    assert!(duration(&broken) < Duration::from_secs(1), "{broken}");
    assert_eq!(asked(&mesh, "tts").await.len(), before + 1);
}

#[tokio::test]
async fn cancelling_a_job_ends_its_request_to_the_recogniser_or_the_language_model() {
    let mesh = mesh(Options::default()).await;
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
        let read = GetJobRequest { job_id };
        let job = worker.get_job(read).await.unwrap().into_inner().job.unwrap();
        assert_eq!(job.state(), JobState::Cancelled);
        assert_eq!(asked(&mesh, endpoint).await.len(), before + 1);
    }
}
