//! Calls that are handed over with an announcement.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use voice_proto::relay::v1::{
    EndReason, GetCallRequest, SayRequest, TransferCallRequest, TransferFailureReason, WarmTransfer,
};
use voice_server::status::reason_of;

use super::{
    restarts::{bring_back, what_runs_is_written, written},
    tools::{assisted, called},
    *,
};
use crate::mesh::eventually;

/// The other leg is the platform's, whichever way the caller's audio goes.
const DOORS: [&str; 2] = ["recording", "stream"];

const SALES: &str = "+15553330000";
const ANNOUNCEMENT: &str = "Ada is on the line. She asks for a table.";

async fn dialling(door: &str) -> Mesh {
    mesh(Options::default().with("CALL_AUDIO", door).with("DIAL_ALLOWED_PREFIXES", "+1555")).await
}

async fn hand_over(mesh: &Mesh, call_id: &str, announcement: &str) -> Result<(), Status> {
    let request = TransferCallRequest {
        call_id: call_id.to_owned(),
        to_number: SALES.into(),
        warm: Some(WarmTransfer { announcement: announcement.into() }),
    };
    mesh.relay().await.unwrap().transfer_call(request).await.map(drop)
}

/// What rings at the other end, once it does.
async fn target(mesh: &Mesh) -> Caller {
    let rings = async || {
        for leg in mesh.phone.called(SALES).await.ok()? {
            if !is_over(&leg.view().await.ok()?) {
                return Some(leg);
            }
        }
        None
    };
    eventually(LIMIT, "a call to sales", rings).await.unwrap()
}

/// Waits until a leg is as it should be.
async fn seen(leg: &Caller, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually(LIMIT, what, async || leg.view().await.ok().filter(|view| is_it(view))).await.unwrap()
}

fn is_told(view: &Value) -> bool {
    view["playbacks"]
        .as_array()
        .is_some_and(|played| played.iter().any(|one| !one["started_at_ms"].is_null()))
}

fn is_over(view: &Value) -> bool {
    view["state"] == "ended"
}

fn connected(event: &Event) -> Option<()> {
    matches!(event, Event::TransferConnected(_)).then_some(())
}

fn not_taken(event: &Event) -> Option<TransferFailureReason> {
    match event {
        Event::TransferFailed(failed) => Some(failed.reason()),
        _ => None,
    }
}

async fn end_reason(mesh: &Mesh, call_id: &str) -> EndReason {
    let request = GetCallRequest { call_id: call_id.to_owned() };
    mesh.relay().await.unwrap().get_call(request).await.unwrap().into_inner().call.unwrap().end_reason()
}

async fn expect_clean(mesh: &Mesh) {
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
}

#[tokio::test]
async fn whoever_answers_is_told_who_calls_and_then_the_two_talk_until_either_hangs_up() {
    for (door, ends_together) in
        [("recording", false), ("stream", false), ("recording", true), ("stream", true)]
    {
        let mesh = dialling(door).await;
        mesh.phone.telephones(json!({ SALES: { "after_ms": 1_500 } })).await.unwrap();
        mesh.phone.switches(json!({ "joined_calls_end_together": ends_together })).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
        let said = watch.until(LIMIT, started(PlaybackKind::Transfer)).await.unwrap();
        assert_eq!(said, "One moment, please. I am putting you through.");
        let say = SayRequest { call_id: call_id.clone(), text: "Hello?".into(), interrupt: false };
        let refused = mesh.relay().await.unwrap().say(say).await.unwrap_err();
        assert_eq!(reason_of(&refused).as_deref(), Some("CALL_ENDING"));
        let sales = target(&mesh).await;
        watch.until(LIMIT, connected).await.unwrap();
        let view = sales.view().await.unwrap();
        assert!(is_told(&view), "{view}");
        assert_eq!(view["playbacks"].as_array().unwrap().len(), 1, "told once: {view}");
        assert_eq!(view["connected_to"]["params"]["call_id"], caller.leg_id.as_str());
        // What one says the other hears.
        let before = sales.heard().await.unwrap().len();
        let spoken = caller.say(QUESTION).await.unwrap();
        let louder = async || {
            let heard = voice_audio::wav::read(&sales.heard().await.ok()?).ok()?;
            let peak =
                heard.samples[before.min(heard.samples.len())..].iter().fold(0.0, |a: f32, b| a.max(b.abs()));
            (peak > 0.05).then_some(())
        };
        eventually(LIMIT + spoken, "the caller's voice at sales", louder).await.unwrap();
        let (first, other) = if door == "stream" { (&caller, &sales) } else { (&sales, &caller) };
        first.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        assert_eq!(end_reason(&mesh, &call_id).await, EndReason::Transferred);
        seen(other, "the end of the other leg", is_over).await;
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn without_words_the_caller_s_number_is_told_by_the_assistant() {
    let mesh = dialling("recording").await;
    let (_caller, mut watch) = greeted(&mesh).await;
    let call_id = mesh.newest_call().await.unwrap();
    hand_over(&mesh, &call_id, "").await.unwrap();
    watch.until(LIMIT, connected).await.unwrap();
    let requests = mesh.groq.requests().await.unwrap();
    let told = requests.iter().find(|request| request.to_string().contains("You have a call from"));
    assert!(told.is_some_and(|request| request.to_string().contains("one five five")), "{requests:?}");
}

#[tokio::test]
async fn the_model_has_a_colleague_told_who_calls_before_it_joins_them() {
    for door in DOORS {
        let file = format!(
            "[default]\ntools = ['transfer_call']\n[default.transfer_targets]\n\
             sales = {{ number = '{SALES}', announcement = 'A call from {{caller}} about an order.' }}\n"
        );
        let mesh = assisted(door, &file, Options::default()).await;
        let asked = called("I am asking my colleague.", "transfer_call", json!({ "target": "sales" }));
        mesh.groq.lines(json!([asked])).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        caller.say(QUESTION).await.unwrap();
        let sales = target(&mesh).await;
        watch.until(LIMIT, connected).await.unwrap();
        let view = sales.view().await.unwrap();
        assert!(is_told(&view), "{door}: {view}");
        assert_eq!(view["playbacks"].as_array().unwrap().len(), 1, "{door}: told once: {view}");
        assert_eq!(view["playbacks"][0]["ended_by"], "end", "{door}: told all: {view}");
        assert_eq!(view["connected_to"]["params"]["call_id"], caller.leg_id.as_str(), "{door}");
        let heard = voice_audio::wav::read(&sales.heard().await.unwrap()).unwrap();
        assert!(heard.samples.iter().any(|sample| sample.abs() > 0.05), "{door}: nothing was heard");
        let requests = mesh.groq.requests().await.unwrap();
        let spoken = |words: &str| requests.iter().any(|request| request.to_string().contains(words));
        assert!(
            spoken("A call from") && spoken("one five five") && spoken("about an order."),
            "{requests:?}"
        );
        assert_eq!(replies(&watch), ["I am asking my colleague."]);
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn nobody_who_takes_it_is_an_outcome_with_a_reason_and_the_conversation_goes_on() {
    for door in DOORS {
        let mesh = dialling(door).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        for (does, reason) in
            [("busy", TransferFailureReason::Busy), ("fail", TransferFailureReason::Unreachable)]
        {
            mesh.phone.telephones(json!({ SALES: { "does": does } })).await.unwrap();
            hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
            assert_eq!(watch.until(LIMIT, not_taken).await.unwrap(), reason);
            watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        }
        mesh.phone.telephones(json!({ SALES: { "does": "no_answer" } })).await.unwrap();
        hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
        let begun = caller.view().await.unwrap()["heard_ms"].as_f64().unwrap();
        assert_eq!(watch.until(LIMIT, not_taken).await.unwrap(), TransferFailureReason::NoAnswer);
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        let view = caller.view().await.unwrap();
        let at = |heard: f64| view["answered_at_ms"].as_f64().unwrap() + heard;
        let silence =
            caller.longest_silence(at(begun), at(view["heard_ms"].as_f64().unwrap())).await.unwrap();
        assert!(silence < Duration::from_secs(15), "{door}: {silence:?} of silence on hold");
        ask(&caller, &mut watch).await;
        assert_eq!(replies(&watch).join(" "), ANSWER);
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn whoever_hangs_up_before_he_has_heard_it_gives_the_caller_back() {
    for door in DOORS {
        let mesh = dialling(door).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
        let sales = target(&mesh).await;
        seen(&sales, "the announcement", is_told).await;
        sales.hang_up().await.unwrap();
        assert_eq!(watch.until(LIMIT, not_taken).await.unwrap(), TransferFailureReason::HungUp);
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
        assert_eq!(caller.view().await.unwrap()["connected_to"]["type"], json!(stream_of(door)));
        expect_clean(&mesh).await;
    }
}

/// What a caller's leg is connected to while he talks with us.
fn stream_of(door: &str) -> Option<&str> {
    (door == "stream").then_some("stream")
}

#[tokio::test]
async fn a_caller_who_hangs_up_takes_the_other_leg_with_him() {
    for door in DOORS {
        for is_answered in [false, true] {
            let mesh = dialling(door).await;
            let does = if is_answered { "answer" } else { "no_answer" };
            mesh.phone.telephones(json!({ SALES: { "does": does } })).await.unwrap();
            let (caller, mut watch) = greeted(&mesh).await;
            let call_id = mesh.newest_call().await.unwrap();
            hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
            let sales = target(&mesh).await;
            if is_answered {
                seen(&sales, "the announcement", is_told).await;
            }
            caller.hang_up().await.unwrap();
            watch.to_end(LIMIT).await.unwrap();
            assert_eq!(end_reason(&mesh, &call_id).await, EndReason::CallerHangup);
            seen(&sales, "the end of the other leg", is_over).await;
            expect_clean(&mesh).await;
        }
    }
}

#[tokio::test]
async fn a_relay_that_dies_meanwhile_has_the_caller_back_and_nobody_rings_for_nothing() {
    for door in DOORS {
        let mut mesh = dialling(door).await;
        mesh.phone.telephones(json!({ SALES: { "does": "no_answer" } })).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
        watch.until(LIMIT, started(PlaybackKind::Transfer)).await.unwrap();
        let sales = target(&mesh).await;
        written(&mesh, &call_id, |kept| kept.contains(&sales.leg_id)).await;
        what_runs_is_written(&mesh, &caller, &call_id).await;
        bring_back(&mut mesh).await;
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
        seen(&sales, "the end of the other leg", is_over).await;

        mesh.phone.telephones(json!({})).await.unwrap();
        hand_over(&mesh, &call_id, ANNOUNCEMENT).await.unwrap();
        watch.until(LIMIT, connected).await.unwrap();
        let sales = target(&mesh).await;
        written(&mesh, &call_id, |kept| kept.contains("handed_over")).await;
        bring_back(&mut mesh).await;
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        assert!(!is_over(&sales.view().await.unwrap()), "{door}: the two go on talking");
        sales.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        seen(&caller, "the end of the caller's leg", is_over).await;
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn an_announcement_that_is_too_long_is_refused() {
    let mesh = dialling("recording").await;
    let (_caller, _watch) = greeted(&mesh).await;
    let call_id = mesh.newest_call().await.unwrap();
    let refused = hand_over(&mesh, &call_id, &"x".repeat(501)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "warm.announcement");
}
