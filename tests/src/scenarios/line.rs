//! The telephone line misbehaves: frames, sockets and readings of what nobody knows.

use serde_json::json;
use voice_proto::worker::v1::GetQueueStatsRequest;

use super::*;
use crate::mesh::eventually;

#[tokio::test]
async fn frames_that_make_no_sense_change_nothing() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    for frame in [
        "not json",
        "[]",
        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"signalwire.unheard\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"method\":\"signalwire.event\",\"params\":{\"event_type\":\"calling.call.play\",\
         \"params\":{\"call_id\":\"gone\",\"control_id\":\"x\",\"state\":\"finished\"}}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"3\",\"result\":7}",
    ] {
        mesh.phone.inject(frame).await.unwrap();
    }
    ask(&caller, &mut watch).await;
}

#[tokio::test]
async fn a_socket_dropped_while_listening_thinking_or_speaking_loses_nothing_and_repeats_nothing() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.phone.drop_sockets().await.unwrap();
    watch.until(LIMIT, restored).await.unwrap();
    ask(&caller, &mut watch).await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, thinking).await.unwrap();
    mesh.phone.drop_sockets().await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
    mesh.phone.drop_sockets().await.unwrap();
    watch.until(LIMIT, listening).await.unwrap();
    ask(&caller, &mut watch).await;
    let said = replies(&watch).join(" ");
    assert_eq!(said.matches("On sunday we are closed.").count(), 3, "each answer once: {said}");
}

fn restored(event: &Event) -> Option<()> {
    matches!(event, Event::Degraded(degraded) if degraded.reason == "LINE_RESTORED").then_some(())
}

#[tokio::test]
async fn a_socket_dropped_while_ringing_or_greeting_loses_no_call_and_greets_once() {
    for rule in [
        json!({ "when": { "method": "calling.answer" }, "then": { "do": "drop" }, "times": 1 }),
        json!({ "when": { "event": "calling.call.state", "state": "answered" }, "then": { "do": "drop" }, "times": 1 }),
        json!({ "when": { "event": "calling.call.play", "state": "playing" }, "then": { "do": "drop" }, "times": 1 }),
        json!({ "when": { "event": "calling.call.play", "state": "finished" }, "then": { "do": "drop" }, "times": 1 }),
    ] {
        let mesh = mesh(Options::default()).await;
        mesh.phone.faults(json!({ "rules": [rule] })).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        ask(&caller, &mut watch).await;
        let greetings = watch.seen.iter().filter_map(|event| event.event.as_ref());
        let greetings = greetings.filter_map(started(PlaybackKind::Greeting));
        assert!(greetings.count() <= 1);
        let plays = caller.view().await.unwrap()["playbacks"].as_array().unwrap().clone();
        let urls: Vec<_> = plays.iter().map(|play| play["items"][0]["url"].clone()).collect();
        assert_eq!(urls.iter().filter(|url| **url == urls[0]).count(), 1, "greeted once: {urls:?}");
    }
}

#[tokio::test]
async fn a_command_that_was_lost_with_the_socket_was_not_refused() {
    for method in ["calling.record", "calling.collect", "calling.play"] {
        let mesh = mesh(Options::default()).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let rule = json!({ "when": { "method": method }, "then": { "do": "drop" }, "times": 1 });
        mesh.phone.faults(json!({ "rules": [rule] })).await.unwrap();
        ask(&caller, &mut watch).await;
        ask(&caller, &mut watch).await;
        let degraded = watch.seen.iter().filter_map(|event| match &event.event {
            Some(Event::Degraded(degraded)) => Some(degraded.reason.as_str()),
            _ => None,
        });
        assert_eq!(degraded.collect::<Vec<_>>(), ["LINE_LOST", "LINE_RESTORED"], "{method}");
    }
}

#[tokio::test]
async fn a_planned_restart_of_the_platform_costs_no_call() {
    for restart in [false, true] {
        let mesh = mesh(Options::default()).await;
        let (caller, mut watch) = greeted(&mesh).await;
        mesh.phone.disconnect(restart).await.unwrap();
        watch.until(LIMIT, restored).await.unwrap();
        ask(&caller, &mut watch).await;
    }
}

#[tokio::test]
async fn without_the_platforms_ear_the_call_goes_on_without_barge_in() {
    let mesh = mesh(Options::default()).await;
    let refuse = json!({ "rules": [{ "when": { "method": "calling.collect" }, "then": { "do": "refuse", "code": "500" } }] });
    mesh.phone.faults(refuse).await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert!(watch.seen.iter().any(|event| {
        matches!(&event.event, Some(Event::Degraded(degraded)) if degraded.reason == "EAR_REFUSED")
    }));
}

#[tokio::test]
async fn every_reading_of_the_platforms_behaviour_works() {
    for switches in [
        json!({ "silence_ends_unspoken_recording": false, "collect_gives_up_seconds": 0.0 }),
        json!({ "collect_gives_up_seconds": 1.0 }),
        json!({ "replay_after_resume": true, "operations_end_before_call": true }),
        json!({ "zero_initial_timeout_is_off": false }),
    ] {
        let mesh = mesh(Options::default()).await;
        mesh.phone.switches(switches.clone()).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        ask(&caller, &mut watch).await;
        mesh.phone.drop_sockets().await.unwrap();
        watch.until(LIMIT, restored).await.unwrap();
        ask(&caller, &mut watch).await;
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
    }
}

#[tokio::test]
async fn lost_and_doubled_events_are_lived_with() {
    let mesh = mesh(Options::default()).await;
    let rules = json!({ "rules": [
        { "when": { "event": "calling.call.record", "state": "finished" }, "then": { "do": "lose" }, "times": 1 },
        { "when": { "event": "calling.call.play", "state": "finished" }, "then": { "do": "duplicate" } },
        { "when": { "event": "calling.call.collect", "state": "final" }, "then": { "do": "duplicate" } }
    ] });
    mesh.phone.faults(rules).await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), format!("{ANSWER} {ANSWER}"));
}

#[tokio::test]
async fn a_hang_up_in_any_state_releases_everything() {
    let mesh =
        mesh(Options { groq_args: vec!["--first-token-ms".into(), "1000".into()], ..Options::default() })
            .await;
    for state in ["greeting", "listening", "hearing", "thinking", "speaking"] {
        let (caller, mut watch) = rung(&mesh).await;
        watch.until(LIMIT, started(PlaybackKind::Greeting)).await.unwrap();
        if state != "greeting" {
            watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
        }
        if ["hearing", "thinking", "speaking"].contains(&state) {
            caller.say(QUESTION).await.unwrap();
            let spoke = |event: &Event| matches!(event, Event::SpeechStarted(_)).then_some(());
            watch.until(LIMIT, spoke).await.unwrap();
        }
        if ["thinking", "speaking"].contains(&state) {
            watch.until(LIMIT, thinking).await.unwrap();
        }
        if state == "speaking" {
            watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
        }
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
    }
    let phone = &mesh.phone;
    eventually(LIMIT, "no call on the platform", async || {
        (phone.stats().await.ok()?["calls_live"] == 0).then_some(())
    })
    .await
    .unwrap();
    let worker = mesh.worker().await.unwrap();
    eventually(LIMIT, "no job waits or is in hand", async || {
        let stats = worker.clone().get_queue_stats(GetQueueStatsRequest {}).await.ok()?.into_inner().stats?;
        (stats.in_hand_count + stats.waiting_count == 0).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<serde_json::Value>::new());
}
