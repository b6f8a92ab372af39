//! A relay that is killed and started again where it was has its calls back.

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use voice_proto::relay::v1::{
    CallDirection, ConverseConfig, ConverseRequest, GetCallRequest, InstructRequest, PlaceCallRequest,
    converse_request::Payload, relay_service_client::RelayServiceClient,
};
use voice_server::{
    client::{ClientConfig, Peer, channel},
    status::reason_of,
};

use super::*;
use crate::{
    mesh::{eventually, redis_at},
    redis::Probe,
};

const DOORS: [&str; 2] = ["recording", "stream"];

/// Kills the relay, and starts it again where it was.
pub(super) async fn bring_back(mesh: &mut Mesh) {
    mesh.child("relay").kill().await.unwrap();
    mesh.restart("relay").await.unwrap();
}

/// What is written down of a call.
async fn kept(mesh: &Mesh, call_id: &str) -> Option<String> {
    let mut probe = Probe::connect(&mesh.env("REDIS_URL")).await.ok()?;
    let keys = probe.ask(&["KEYS", "voice:calls:*"]).await.ok()?.texts();
    probe.ask(&["HGET", keys.first()?, call_id]).await.ok()?.texts().pop()
}

/// Waits until what is written down of a call is as it should be.
pub(super) async fn written(mesh: &Mesh, call_id: &str, is_it: impl Fn(&str) -> bool) {
    let written = async || kept(mesh, call_id).await.filter(|text| is_it(text)).map(drop);
    eventually(LIMIT, "the call in the ledger", written).await.unwrap();
}

/// Waits until the newest recording and what is played at the platform can be stopped by whoever reads what is written
/// down.
pub(super) async fn what_runs_is_written(mesh: &Mesh, caller: &Caller, call_id: &str) {
    let written = async || {
        let view = caller.view().await.ok()?;
        let kept = kept(mesh, call_id).await?;
        let is_kept =
            |what: &Value| what["control_id"].as_str().is_some_and(|control| kept.contains(control));
        let recording = view["recordings"].as_array()?.last();
        let playback = view["playbacks"].as_array()?.last().filter(|played| played["ended_at_ms"].is_null());
        recording.into_iter().chain(playback).all(is_kept).then_some(())
    };
    eventually(LIMIT, "what runs in the ledger", written).await.unwrap();
}

async fn expect_clean(mesh: &Mesh) {
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
}

/// Kinds of everything that was said, in order.
fn said(watch: &Watch) -> Vec<PlaybackKind> {
    let started = watch.seen.iter().filter_map(|event| match &event.event {
        Some(Event::PlaybackStarted(playback)) => Some(playback.kind()),
        _ => None,
    });
    started.collect()
}

#[tokio::test]
async fn a_relay_that_is_started_again_has_its_calls_back_and_apologises_once() {
    for door in DOORS {
        let mut mesh = mesh(Options::default().with("CALL_AUDIO", door)).await;
        let (caller, mut watch) = greeted(&mesh).await;
        ask(&caller, &mut watch).await;
        let call_id = mesh.newest_call().await.unwrap();
        let told = InstructRequest { call_id: call_id.clone(), text: "The caller is Ada.".into() };
        mesh.relay().await.unwrap().instruct(told).await.unwrap();
        written(&mesh, &call_id, |kept| kept.contains("Ada") && kept.contains(ANSWER)).await;
        bring_back(&mut mesh).await;
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
        assert_eq!(said(&watch)[0], PlaybackKind::Apology, "{door}");
        assert!(!said(&watch)[1..].contains(&PlaybackKind::Apology), "{door}: {:?}", said(&watch));
        let chats = mesh.groq.chats().await.unwrap();
        let asked = chats.last().unwrap();
        let text = json!(asked).to_string();
        assert!(text.contains("The caller is Ada."), "{door}: {text}");
        let assistant: Vec<_> = asked.iter().filter(|message| message["role"] == "assistant").collect();
        assert_eq!(assistant.last().unwrap()["content"], ANSWER, "{door}: {text}");
        let call = mesh.relay().await.unwrap().get_call(GetCallRequest { call_id }).await.unwrap();
        let call = call.into_inner().call.unwrap();
        assert_eq!((call.turn_count, call.direction()), (2, CallDirection::Inbound), "{door}");
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn a_call_that_a_drain_has_not_ended_in_its_time_is_had_back_as_after_a_kill() {
    for (door, is_asked) in DOORS.into_iter().flat_map(|door| [(door, false), (door, true)]) {
        let options = Options::default().with("CALL_AUDIO", door).with("DRAIN_SECONDS", 0);
        let mut mesh = mesh(options).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        // At rest it would say goodbye at once, and hang up.
        if is_asked {
            caller.say(QUESTION).await.unwrap();
            watch.until(LIMIT, thinking).await.unwrap();
        }
        what_runs_is_written(&mesh, &caller, &call_id).await;
        mesh.child("relay").signal("TERM").await.unwrap();
        assert_eq!(mesh.child("relay").wait(LIMIT).await.unwrap(), Some(0));
        mesh.restart("relay").await.unwrap();
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
        assert_eq!(replies(&watch).join(" "), ANSWER, "{door}");
    }
}

#[tokio::test]
async fn a_call_is_taken_back_from_the_middle_of_a_turn_or_a_reply() {
    for door in DOORS {
        let mut mesh = mesh(Options::default().with("CALL_AUDIO", door)).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        caller.say(QUESTION).await.unwrap();
        watch.until(LIMIT, thinking).await.unwrap();
        what_runs_is_written(&mesh, &caller, &call_id).await;
        bring_back(&mut mesh).await;
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        caller.say(QUESTION).await.unwrap();
        watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
        what_runs_is_written(&mesh, &caller, &call_id).await;
        bring_back(&mut mesh).await;
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
        assert!(replies(&watch).join(" ").ends_with(ANSWER), "{door}: {:?}", replies(&watch));
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn who_hung_up_while_the_relay_was_away_is_not_kept() {
    let mut mesh = mesh(Options::default()).await;
    let (caller, _watch) = greeted(&mesh).await;
    let call_id = mesh.newest_call().await.unwrap();
    mesh.child("relay").kill().await.unwrap();
    caller.hang_up().await.unwrap();
    mesh.restart("relay").await.unwrap();
    let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    bring_back(&mut mesh).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert_ne!(mesh.newest_call().await.unwrap(), call_id);
}

#[tokio::test]
async fn a_placed_call_is_taken_back_once_answered_and_given_up_before() {
    let mut mesh = mesh(Options::default().with("DIAL_ALLOWED_PREFIXES", "+1555")).await;
    let order = |request_id: &str, to: &str| PlaceCallRequest {
        request_id: request_id.into(),
        to_number: to.into(),
        from_number: "+15552220000".into(),
        context: CONTEXT.into(),
        ..PlaceCallRequest::default()
    };
    mesh.phone.telephones(json!({ "+15557770002": { "does": "no_answer" } })).await.unwrap();
    let placed = mesh.relay().await.unwrap().place_call(order("one", "+15557770001")).await.unwrap();
    let answered = placed.into_inner().call.unwrap().call_id;
    let mut watch = mesh.watch(&answered).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    let placed = mesh.relay().await.unwrap().place_call(order("two", "+15557770002")).await.unwrap();
    let ringing = placed.into_inner().call.unwrap().call_id;
    let leg = eventually(LIMIT, "a telephone that rings", async || {
        mesh.phone.called("+15557770002").await.ok()?.pop()
    });
    let leg = leg.await.unwrap();
    written(&mesh, &ringing, |kept| kept.contains(&leg.leg_id)).await;
    bring_back(&mut mesh).await;
    let mut watch = mesh.watch_by("relay", &answered, 0).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    let ended = async || (leg.view().await.ok()?["state"] == "ended").then_some(());
    eventually(LIMIT, "the end of the call that rang", ended).await.unwrap();
    let gone = mesh.relay().await.unwrap().get_call(GetCallRequest { call_id: ringing }).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_conversation_that_somebody_has_brought_ends_with_its_relay_and_he_is_told_so() {
    let mut mesh = mesh(Options::default()).await;
    let channel = channel(Peer::Relay, &mesh.address("relay"), &ClientConfig::default()).unwrap();
    let (requests, queue) = mpsc::channel(1);
    let config = ConverseConfig { context: CONTEXT.into(), ..ConverseConfig::default() };
    requests.send(ConverseRequest { payload: Some(Payload::Config(config)) }).await.unwrap();
    let conversation = RelayServiceClient::new(channel).converse(ReceiverStream::new(queue)).await;
    let mut responses = conversation.unwrap().into_inner();
    let call_id = mesh.newest_call().await.unwrap();
    mesh.child("relay").kill().await.unwrap();
    let told = loop {
        match responses.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the conversation ended as if somebody had hung up"),
            Err(status) => break status,
        }
    };
    let reason = (told.code(), reason_of(&told));
    assert_eq!(reason, (Code::Unavailable, Some("SERVICE_UNAVAILABLE".to_owned())));
    mesh.restart("relay").await.unwrap();
    let gone = mesh.relay().await.unwrap().get_call(GetCallRequest { call_id }).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_relay_that_was_cut_off_from_redis_goes_on_and_writes_its_calls_down_later() {
    let mut mesh = mesh(Options::default().with("CALL_AUDIO", "stream")).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    let call_id = mesh.newest_call().await.unwrap();
    let port: u16 =
        mesh.env("REDIS_URL").rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
    mesh.child("redis").kill().await.unwrap();
    ask(&caller, &mut watch).await;
    let _redis = redis_at(&mesh.folder, port).await.unwrap();
    written(&mesh, &call_id, |kept| kept.matches(ANSWER).count() == 2).await;
    bring_back(&mut mesh).await;
    let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    ask(&caller, &mut watch).await;
}
