//! Calls through the stream door, from the telephone to the providers and back.

use serde_json::{Value, json};
use voice_proto::relay::v1::{EndCallRequest, EndReason, GetCallRequest};

use super::*;
use crate::mesh::eventually;

/// How far ahead of its moment sound may come: 200 ms, and what the way costs on a machine that stands still now and then.
/// Nobody who sends a clause as it comes stays below it.
const AHEAD_MS: f64 = 1_000.0;

fn streaming() -> Options {
    Options::default().with("CALL_AUDIO", "stream")
}

async fn streaming_mesh(signalwire_args: &[&str]) -> Mesh {
    let signalwire_args = signalwire_args.iter().map(|arg| (*arg).to_owned()).collect();
    mesh(Options { signalwire_args, ..streaming() }).await
}

/// A call that a document connects, and whose greeting has been heard.
async fn conducted(mesh: &Mesh) -> (Caller, Watch) {
    let voice_url = format!("{}/webhooks/signalwire/voice", mesh.env("PUBLIC_BASE_URL"));
    let caller = mesh.phone.ring_document(&voice_url).await.unwrap();
    let mut watch = mesh.watch(&mesh.newest_call().await.unwrap()).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    (caller, watch)
}

async fn assert_no_violations(mesh: &Mesh) {
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
}

/// The newest stream of a call, once there are so many.
async fn stream_number(caller: &Caller, count: usize) -> Value {
    eventually(LIMIT, "another stream", async || {
        let streams = caller.streams().await.ok()?;
        streams.get(count - 1).filter(|stream| !stream["opened_at_ms"].is_null()).cloned()
    })
    .await
    .unwrap()
}

/// Asks until an answer comes without a hole in it; gives how often. A machine that stands still makes holes too, but not
/// in each answer.
async fn ask_until_whole(caller: &Caller, watch: &mut Watch) -> usize {
    let mut holes = vec![stream_number(caller, 1).await["underruns"].clone()];
    for count in 1..=5 {
        ask(caller, watch).await;
        holes.push(stream_number(caller, 1).await["underruns"].clone());
        if holes[count] == holes[count - 1] {
            return count;
        }
    }
    panic!("holes in every answer: {holes:?}")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn a_call_is_held_over_a_stream_without_a_hole_in_its_speech() {
    let mesh = streaming_mesh(&[]).await;
    let (caller, mut watch) = greeted(&mesh).await;
    let count = ask_until_whole(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), vec![ANSWER; count].join(" "));
    let stream = stream_number(&caller, 1).await;
    assert_eq!(stream["kind"], "connect", "{stream}");
    assert!(number(&stream["most_ahead_ms"]) <= AHEAD_MS, "{stream}");
    let marks = stream["marks"].as_array().unwrap();
    assert!(marks.len() >= 2 && marks.iter().all(|mark| mark["was_cleared"] == false), "{stream}");
    let view = caller.view().await.unwrap();
    assert_eq!((&view["playbacks"], &view["recordings"]), (&json!([]), &json!([])), "frames, not files");
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    assert_no_violations(&mesh).await;
}

#[tokio::test]
async fn a_caller_who_speaks_over_a_reply_silences_it_at_once() {
    let mesh = streaming_mesh(&[]).await;
    mesh.groq.script(&[(QUESTION, LONG_ANSWER)]).await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    let cut = watch
        .until(LIMIT, |event| match event {
            Event::PlaybackInterrupted(cut) => Some(cut.clone()),
            _ => None,
        })
        .await
        .unwrap();
    assert!(cut.said.starts_with(&cut.heard) && cut.heard.len() < cut.said.len(), "{cut:?}");
    let clear = eventually(LIMIT, "the clear at the platform", async || {
        caller.streams().await.ok()?.first()?["clears"].get(0).cloned()
    })
    .await
    .unwrap();
    assert!(number(&clear["dropped_ms"]) <= AHEAD_MS, "{clear}");
    watch.until(LIMIT, transcript).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
    assert_no_violations(&mesh).await;
}

#[tokio::test]
async fn a_call_that_a_document_connects_is_like_any_other_and_ends_by_rpc() {
    for dialect in ["signalwire", "twilio"] {
        let mesh = streaming_mesh(&["--stream-dialect", dialect]).await;
        let (caller, mut watch) = conducted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        let mut relay = mesh.relay().await.unwrap();
        let request = GetCallRequest { call_id: call_id.clone() };
        let call = relay.get_call(request.clone()).await.unwrap().into_inner().call.unwrap();
        assert_eq!(
            (call.caller_number.as_str(), call.called_number.as_str()),
            ("+15551110000", "+15552220000")
        );
        ask(&caller, &mut watch).await;
        assert_eq!(replies(&watch).join(" "), ANSWER);
        relay.end_call(EndCallRequest { call_id }).await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        eventually(LIMIT, "the end at the platform", async || {
            (caller.view().await.ok()?["state"] == "ended").then_some(())
        })
        .await
        .unwrap();
        let view = caller.view().await.unwrap();
        assert_eq!(view["documents"].as_array().unwrap().len(), 2, "connect, and hang up: {view}");
        let call = relay.get_call(request).await.unwrap().into_inner().call.unwrap();
        assert_eq!(call.end_reason(), EndReason::Requested);
        assert_no_violations(&mesh).await;
    }
}

#[tokio::test]
async fn a_leg_that_breaks_comes_back_to_its_call_by_either_way() {
    for is_conducted in [false, true] {
        let mesh = streaming_mesh(&[]).await;
        let (caller, mut watch) = if is_conducted { conducted(&mesh).await } else { greeted(&mesh).await };
        ask(&caller, &mut watch).await;
        caller.drop_streams().await.unwrap();
        stream_number(&caller, 2).await;
        ask(&caller, &mut watch).await;
        assert_eq!(replies(&watch).join(" "), format!("{ANSWER} {ANSWER}"));
        let chats = mesh.groq.chats().await.unwrap();
        assert!(chats.last().unwrap().len() > chats[0].len(), "it remembers what was said before");
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        assert_no_violations(&mesh).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_in_mid_call_costs_no_call() {
    let mut mesh = streaming_mesh(&[]).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    mesh.restart("gateway").await.unwrap();
    stream_number(&caller, 2).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), format!("{ANSWER} {ANSWER}"));
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_bad_network_is_talked_through() {
    let mesh = streaming_mesh(&[]).await;
    let network = json!({ "streams": { "jitter_ms": 60, "lose_percent": 3, "double_percent": 3, "late_percent": 3,
        "late_ms": 50 } });
    mesh.phone.faults(network).await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    // What goes out has nothing to do with it.
    let count = 1 + ask_until_whole(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), vec![ANSWER; count].join(" "));
    let stream = stream_number(&caller, 1).await;
    assert!(number(&stream["frames_lost"]) > 0.0 && number(&stream["frames_doubled"]) > 0.0, "{stream}");
}

#[tokio::test]
async fn a_carrier_that_stands_still_for_a_moment_is_waited_for() {
    let mesh = streaming_mesh(&[]).await;
    let (caller, mut watch) = greeted(&mesh).await;
    let stall = |stalls: bool| json!({ "streams": { "reader_stalls": stalls } });
    mesh.phone.faults(stall(true)).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
    mesh.phone.faults(stall(false)).await.unwrap();
    watch.until(LIMIT, listening).await.unwrap();
    assert_eq!(caller.streams().await.unwrap().len(), 1, "it is the same stream");
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
}

#[tokio::test]
async fn every_reading_of_what_is_told_of_streams_works() {
    for switches in [
        json!({ "stream_connect_events": "none" }),
        json!({ "stream_connect_events": "stream" }),
        json!({ "stream_connect_events": "connect" }),
    ] {
        let mesh = streaming_mesh(&[]).await;
        mesh.phone.switches(switches.clone()).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        ask(&caller, &mut watch).await;
        caller.drop_streams().await.unwrap();
        stream_number(&caller, 2).await;
        ask(&caller, &mut watch).await;
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
    }
}
