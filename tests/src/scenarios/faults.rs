//! Providers, recordings and services that fail: filler, apology, and the call goes on.

use serde_json::{Value, json};

use super::*;
use crate::mesh::eventually;

/// One turn under a fault, then one without it.
async fn survives(endpoint: &str, fault: Value) -> Mesh {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.groq.faults(json!({ endpoint: fault })).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, failed).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    mesh.groq.faults(json!({ endpoint: null })).await.unwrap();
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
    mesh
}

#[tokio::test]
async fn stt_that_fails_or_answers_nonsense_costs_an_apology() {
    survives("stt", json!({ "kind": "status", "status": 500 })).await;
    survives("stt", json!({ "kind": "nonsense" })).await;
}

#[tokio::test]
async fn stt_that_hangs_is_bridged_and_given_up() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.groq.faults(json!({ "stt": { "kind": "hang" } })).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Filler)).await.unwrap();
    assert_eq!(watch.until(LIMIT, failed).await.unwrap(), "STT_TIMEOUT");
    watch.until(LIMIT, started(PlaybackKind::Apology)).await.unwrap();
}

#[tokio::test]
async fn an_llm_that_fails_breaks_off_or_is_over_its_limit_costs_an_apology() {
    survives("llm", json!({ "kind": "status", "status": 429, "retry_after": 30 })).await;
    survives("llm", json!({ "kind": "cut" })).await;
    survives("llm", json!({ "kind": "truncate" })).await;
    survives("llm", json!({ "kind": "stall" })).await;
    survives("llm", json!({ "kind": "nonsense" })).await;
}

#[tokio::test]
async fn whatever_happens_to_groqs_voice_the_caller_hears_the_reply() {
    for fault in [
        json!({ "kind": "status", "status": 429, "retry_after": 30 }),
        json!({ "kind": "status", "status": 502 }),
        json!({ "kind": "hang" }),
        json!({ "kind": "cut" }),
        json!({ "kind": "stall" }),
        json!({ "kind": "slow", "ms": 1500 }),
        json!({ "kind": "nonsense" }),
    ] {
        let mut mesh = mesh(Options::default()).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let before = failures(&mut mesh);
        mesh.groq.faults(json!({ "tts": fault })).await.unwrap();
        ask(&caller, &mut watch).await;
        assert_eq!(replies(&watch).join(" "), ANSWER);
        assert!(failures(&mut mesh) > before, "the preferred engine was asked, and failed: {fault}");
    }
}

/// How often an engine has failed.
fn failures(mesh: &mut Mesh) -> usize {
    mesh.child("tts").log().matches("an engine failed").count()
}

#[tokio::test]
async fn a_recording_that_cannot_be_used_costs_an_apology() {
    for (fault, reason) in [
        (json!({ "kind": "missing" }), "RECORDING_MISSING"),
        (json!({ "kind": "empty" }), "RECORDING_MISSING"),
        (json!({ "kind": "not_audio" }), "RECORDING_NOT_AUDIO"),
        (json!({ "kind": "too_large", "bytes": 30_000_000 }), "RECORDING_TOO_LARGE"),
        (json!({ "kind": "redirect", "url": "https://169.254.169.254/latest" }), "RECORDING_FORBIDDEN"),
    ] {
        let mesh = mesh(Options::default()).await;
        let (caller, mut watch) = greeted(&mesh).await;
        mesh.phone.faults(json!({ "recordings": fault })).await.unwrap();
        caller.say(QUESTION).await.unwrap();
        let told = watch.until(LIMIT, failed).await.unwrap();
        assert!(told == reason || told == "TURN_DEADLINE", "{told} instead of {reason}");
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        mesh.phone.faults(json!({})).await.unwrap();
        ask(&caller, &mut watch).await;
    }
}

#[tokio::test]
async fn a_recording_that_comes_late_or_is_protected_is_fetched_all_the_same() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.phone.faults(json!({ "recordings": { "kind": "late", "ms": 700 } })).await.unwrap();
    ask(&caller, &mut watch).await;
    mesh.phone.faults(json!({})).await.unwrap();
    mesh.phone.switches(json!({ "recordings_need_auth": true, "recording_redirects": 2 })).await.unwrap();
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), format!("{ANSWER} {ANSWER}"));
}

#[tokio::test]
async fn silence_is_not_a_question() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    // A click: the platform's ear may hear it, but nobody said anything.
    let click = voice_audio::Audio { samples: vec![0.4; 800], sample_rate_hertz: 8_000 };
    caller.say_wav("", voice_audio::wav::write_pcm16(&click)).await.unwrap();
    ask(&caller, &mut watch).await;
    assert_eq!(mesh.groq.chats().await.unwrap().len(), 1);
}

#[tokio::test]
async fn with_tts_gone_the_platform_speaks_and_with_the_gateway_gone_too() {
    for service in ["tts", "gateway"] {
        let mut mesh = mesh(Options::default()).await;
        let (caller, mut watch) = greeted(&mesh).await;
        mesh.child(service).kill().await.unwrap();
        ask(&caller, &mut watch).await;
        let heard: Vec<_> = caller.view().await.unwrap()["playbacks"].as_array().unwrap().clone();
        let texts: Vec<_> = heard
            .iter()
            .flat_map(|p| p["items"].as_array().unwrap())
            .filter(|i| i["text"].is_string())
            .collect();
        assert!(!texts.is_empty(), "with {service} gone the platform speaks: {heard:?}");
    }
}

#[tokio::test]
async fn a_worker_killed_in_mid_turn_costs_an_apology_and_not_the_call() {
    let mut mesh =
        mesh(Options { groq_args: vec!["--first-token-ms".into(), "2500".into()], ..Options::default() })
            .await;
    let (caller, mut watch) = greeted(&mesh).await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, transcript).await.unwrap();
    mesh.child("worker").kill().await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    mesh.restart("worker").await.unwrap();
    ask(&caller, &mut watch).await;
}

#[tokio::test]
async fn one_slow_call_never_delays_another() {
    // A second request would make the slow one quick.
    let mesh = mesh(Options::default().with("STT_HEDGE", "off")).await;
    let (first, mut first_watch) = greeted(&mesh).await;
    let (second, mut second_watch) = greeted(&mesh).await;
    // Whichever comes first is the slow one.
    mesh.groq.faults(json!({ "stt": { "kind": "hang", "count": 1 } })).await.unwrap();
    tokio::try_join!(first.say(QUESTION), second.say(QUESTION)).unwrap();
    let outcome = async |watch: &mut Watch| {
        let answered = watch
            .until(LIMIT, |event| {
                failed(event).map(|_| false).or_else(|| started(PlaybackKind::Reply)(event).map(|_| true))
            })
            .await
            .unwrap();
        (answered, watch.seen.last().and_then(|event| event.event_time).unwrap())
    };
    let (one, other) = tokio::join!(outcome(&mut first_watch), outcome(&mut second_watch));
    let (slow, quick) = if one.0 { (other, one) } else { (one, other) };
    assert!(quick.0 && !slow.0, "one is answered and one is not");
    let seconds = |at: prost_types::Timestamp| (at.seconds, at.nanos);
    assert!(seconds(quick.1) < seconds(slow.1), "the answer did not wait for the failure");
}

#[tokio::test]
async fn after_two_failed_turns_the_caller_is_handed_over_or_told_goodbye() {
    for connect_fails in [Value::Null, json!("busy")] {
        let mesh = mesh(Options::default().with("FALLBACK_NUMBER", "+15553334444")).await;
        let (caller, mut watch) = greeted(&mesh).await;
        mesh.groq.faults(json!({ "stt": { "kind": "status", "status": 500 } })).await.unwrap();
        mesh.phone.faults(json!({ "connect_fails": connect_fails })).await.unwrap();
        for _ in 0..2 {
            caller.say(QUESTION).await.unwrap();
            watch.until(LIMIT, failed).await.unwrap();
            watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        }
        if connect_fails.is_null() {
            let view = eventually(LIMIT, "the connection", async || {
                let view = caller.view().await.ok()?;
                view["connected_to"].is_object().then_some(view)
            })
            .await
            .unwrap();
            assert_eq!(view["connected_to"]["params"]["to_number"], "+15553334444");
            caller.hang_up().await.unwrap();
        } else {
            watch.until(LIMIT, finished(PlaybackKind::Goodbye)).await.unwrap();
        }
        watch.to_end(LIMIT).await.unwrap();
    }
}

#[tokio::test]
async fn redis_may_stand_still_in_mid_call() {
    let mut mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, thinking).await.unwrap();
    mesh.child("redis").signal("STOP").await.unwrap();
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, failed).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    mesh.child("redis").signal("CONT").await.unwrap();
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
}
