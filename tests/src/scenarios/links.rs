//! Services of which there are several: one is killed, stops without a word, or is asked to stop, and nobody who
//! asks the others notices.

use std::{cell::Cell, time::Instant};

use futures::stream::{self, StreamExt as _};
use tokio::task::JoinSet;
use tonic::{Code, Request};
use voice_proto::tts::v1::{
    CreateClipRequest, ListVoicesRequest, StreamingSynthesizeConfig, StreamingSynthesizeRequest,
    SynthesizeRequest, streaming_synthesize_request::Payload, tts_service_client::TtsServiceClient,
};
use voice_server::{
    client::{Channel, ClientConfig, Peer, channel},
    status::reason_of,
};

use super::*;

/// A silent partition is noticed by then: within two seconds, on a machine that has time.
const NOTICED: Duration = Duration::from_secs(20);

type Tts = TtsServiceClient<Channel>;

/// Two speech services, and a client of both.
async fn two() -> (Mesh, Tts) {
    let mut mesh = mesh(Options { more: vec!["tts-2"], ..Options::default() }).await;
    // Its phrases would take of the provider's time.
    mesh.child("relay").kill().await.unwrap();
    let channel = channel(Peer::Tts, &mesh.env("TTS_ADDRS"), &ClientConfig::default()).unwrap();
    (mesh, TtsServiceClient::new(channel))
}

/// Asks until `over` says so; gives how long the longest answer took.
async fn ask_on(tts: &Tts, mut over: impl FnMut(u32) -> bool) -> Duration {
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !over(count) {
        let mut request = Request::new(ListVoicesRequest {});
        request.set_timeout(LIMIT);
        let started = Instant::now();
        tts.clone().list_voices(request).await.unwrap();
        longest = longest.max(started.elapsed());
        count += 1;
    }
    longest
}

#[tokio::test]
async fn an_instance_that_is_killed_drained_or_started_again_costs_no_request() {
    let (mut mesh, tts) = two().await;
    ask_on(&tts, |count| count == 50).await;
    mesh.child("tts").kill().await.unwrap();
    ask_on(&tts, |count| count == 50).await;
    mesh.restart("tts").await.unwrap();
    crate::mesh::eventually(LIMIT, "requests for the one that is back", async || {
        ask_on(&tts, |count| count == 10).await;
        served(&mesh, "tts").await.filter(|count| *count > 0)
    })
    .await
    .unwrap();
    mesh.child("tts-2").signal("TERM").await.unwrap();
    ask_on(&tts, |count| count == 50).await;
    assert_eq!(mesh.child("tts-2").wait(LIMIT).await.unwrap(), Some(0));
}

/// Requests that an instance has answered.
async fn served(mesh: &Mesh, instance: &str) -> Option<u64> {
    let text = crate::mesh::metrics(&mesh.address(instance)).await.ok()?;
    let line =
        text.lines().find(|line| line.starts_with("rpc_requests_total") && line.contains("ListVoices"))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn an_instance_that_falls_silent_is_noticed_and_spared() {
    let (mesh, tts) = two().await;
    ask_on(&tts, |count| count == 50).await;
    let mut mesh = mesh;
    // Streams of both, which have nothing to say.
    let mut open = JoinSet::new();
    for _ in 0..8 {
        let config = Payload::Config(StreamingSynthesizeConfig::default());
        let first = StreamingSynthesizeRequest { payload: Some(config) };
        let requests = stream::iter([first]).chain(stream::pending());
        let mut audio = tts.clone().streaming_synthesize(requests).await.unwrap().into_inner();
        open.spawn(async move { audio.message().await });
    }
    mesh.child("tts").signal("STOP").await.unwrap();
    let is_noticed = Cell::new(false);
    let ended = async {
        let ended = tokio::time::timeout(NOTICED, open.join_next()).await;
        is_noticed.set(true);
        ended
    };
    // Whoever had asked it gets his answer of the other one once the silence is noticed.
    let (ended, longest) = tokio::join!(ended, ask_on(&tts, |_| is_noticed.get()));
    let status = ended.expect("a stream of the silent one ends").unwrap().unwrap().unwrap_err();
    assert_eq!(reason_of(&status).as_deref(), Some("SERVICE_UNAVAILABLE"));
    assert!(longest < NOTICED, "an answer took {longest:?}");
    // A machine that stands still makes an answer late as well, but not each time.
    let mut longest = Vec::new();
    while longest.last().is_none_or(|longest| *longest >= Duration::from_secs(1)) {
        assert!(longest.len() < 3, "the silent one was asked again: {longest:?}");
        longest.push(ask_on(&tts, |count| count == 200).await);
    }
    mesh.child("tts").signal("CONT").await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_instance_is_killed_ends_with_a_reason_and_the_next_one_is_spoken_by_another() {
    let (mut mesh, mut tts) = two().await;
    mesh.groq.faults(serde_json::json!({ "tts": { "kind": "hang" } })).await.unwrap();
    mesh.child("tts-2").kill().await.unwrap();
    let request = SynthesizeRequest { text: ANSWER.to_owned(), ..SynthesizeRequest::default() };
    let open = tokio::time::timeout(LIMIT, tts.synthesize(request)).await.unwrap();
    mesh.child("tts").kill().await.unwrap();
    let ended = match open {
        Err(status) => status,
        Ok(answer) => {
            let mut audio = answer.into_inner();
            loop {
                match audio.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream of a dead process ended well"),
                    Err(status) => break status,
                }
            }
        }
    };
    assert_eq!(
        (ended.code(), reason_of(&ended).as_deref()),
        (Code::Unavailable, Some("SERVICE_UNAVAILABLE"))
    );
    mesh.restart("tts-2").await.unwrap();
    mesh.groq.faults(serde_json::json!({ "tts": null })).await.unwrap();
    crate::mesh::eventually(LIMIT, "the other one's voice", async || {
        let request = CreateClipRequest { text: "Hello there.".to_owned(), ..CreateClipRequest::default() };
        tts.create_clip(request).await.ok()
    })
    .await
    .unwrap();
}
