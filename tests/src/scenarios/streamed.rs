//! Calls of telephones whose audio comes in frames: the platform brings it to the gateway, and commands go to the platform.

use voice_proto::relay::v1::{CallState, EndCallRequest, EndReason, GetCallRequest, SendDigitsRequest};

use super::*;
use crate::mesh::eventually;

async fn streamed_mesh() -> Mesh {
    mesh(Options::default().with("CALL_AUDIO", "stream")).await
}

fn degraded(reason: &'static str) -> impl FnMut(&Event) -> Option<()> {
    move |event| matches!(event, Event::Degraded(degraded) if degraded.reason == reason).then_some(())
}

#[tokio::test]
async fn a_telephones_call_in_frames_is_greeted_understood_answered_and_hung_up() {
    let mesh = streamed_mesh().await;
    let (caller, mut watch) = greeted(&mesh).await;
    caller.say(QUESTION).await.unwrap();
    assert_eq!(watch.until(LIMIT, transcript).await.unwrap(), QUESTION);
    watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
    watch.until(LIMIT, listening).await.unwrap();
    assert_eq!(replies(&watch).join(" "), ANSWER);
    let view = caller.view().await.unwrap();
    let commands: Vec<_> = view["commands"].as_array().unwrap().iter().map(|c| c["method"].clone()).collect();
    assert_eq!(commands, ["calling.answer", "calling.connect"], "audio needs no command");
    caller.press("7").await.unwrap();
    let pressed = |event: &Event| matches!(event, Event::DigitPressed(key) if key.digit == "7").then_some(());
    watch.until(LIMIT, pressed).await.unwrap();
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    let call = GetCallRequest { call_id: call_id(&mesh).await };
    let call = mesh.relay().await.unwrap().get_call(call).await.unwrap().into_inner().call.unwrap();
    assert_eq!((call.state(), call.end_reason()), (CallState::Ended, EndReason::CallerHangup));
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn commands_of_such_a_call_go_to_the_platform() {
    let mesh = streamed_mesh().await;
    let (caller, mut watch) = greeted(&mesh).await;
    let mut relay = mesh.relay().await.unwrap();
    let call_id = mesh.newest_call().await.unwrap();
    let digits = SendDigitsRequest { call_id: call_id.clone(), digits: "12".into() };
    relay.send_digits(digits).await.unwrap();
    let sent = |event: &Event| matches!(event, Event::DigitsSent(_)).then_some(());
    watch.until(LIMIT, sent).await.unwrap();
    relay.end_call(EndCallRequest { call_id }).await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    let ended = async || (caller.view().await.ok()?["state"] == "ended").then_some(());
    eventually(LIMIT, "the end of the call at the platform", ended).await.unwrap();
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_gateway_that_dies_costs_a_moment_and_not_the_call() {
    let mut mesh = streamed_mesh().await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.child("gateway").kill().await.unwrap();
    watch.until(LIMIT, degraded("LINE_LOST")).await.unwrap();
    mesh.restart("gateway").await.unwrap();
    watch.until(LIMIT, degraded("LINE_RESTORED")).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    assert_eq!(watch.until(LIMIT, transcript).await.unwrap(), QUESTION);
    watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
}

async fn call_id(mesh: &Mesh) -> String {
    let all = voice_proto::relay::v1::ListCallsRequest::default();
    let calls = mesh.relay().await.unwrap().list_calls(all).await.unwrap().into_inner().calls;
    calls[0].call_id.clone()
}
