//! Nonsense, and sides that are gone or stand still.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tonic::{Code, Status};
use voice_proto::relay::v1::{ConverseResponse, converse_request, converse_response::Payload};
use voice_server::status::{ServiceError as _, into_status};

use super::*;

#[tokio::test]
async fn nonsense_is_answered_by_a_code_and_the_relay_learns_that_the_leg_broke() {
    let mut lab = Lab::start().await;
    let media = |payload: &str| {
        json!({ "event": "media", "media": { "chunk": "1", "payload": payload } }).to_string()
    };
    for (text, code, reason) in [
        ("hello".to_owned(), 1007, "INVALID_MESSAGE"),
        (media("not base64"), 1007, "INVALID_MESSAGE"),
        (r#"{"event":"mark","mark":{}}"#.to_owned(), 1007, "INVALID_MESSAGE"),
        (start("audio/x-mulaw", 8_000).to_string(), 4400, "UNEXPECTED_MESSAGE"),
        (media(&"A".repeat(70_000)), 1009, "MESSAGE_TOO_LARGE"),
    ] {
        let (mut phone, mut leg) = lab.begun().await;
        phone.text(&text).await;
        assert_eq!(phone.closed().await, (code, reason.to_owned()), "{text:.80}");
        assert!(leg.end().await.is_err(), "it does not seem complete: {text:.80}");
    }
    let (mut phone, mut leg) = lab.begun().await;
    phone.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(phone.closed().await, (1003, "BINARY_MESSAGE".into()));
    assert!(leg.end().await.is_err());
}

#[tokio::test]
async fn a_stream_that_begins_wrongly_never_reaches_a_relay() {
    let lab = Lab::start().await;
    for (message, code, reason) in [
        (start("audio/opus", 48_000), 4415, "UNSUPPORTED_FORMAT"),
        (json!({ "event": "media", "media": { "payload": "AQID" } }), 4400, "UNEXPECTED_MESSAGE"),
        (json!({ "event": "start" }), 1007, "INVALID_MESSAGE"),
    ] {
        let mut phone = lab.open().await;
        phone.say(message).await;
        assert_eq!(phone.closed().await, (code, reason.to_owned()));
    }
}

#[tokio::test]
async fn a_socket_that_is_gone_is_a_broken_leg_and_no_hang_up() {
    let mut lab = Lab::start().await;
    let (phone, mut leg) = lab.begun().await;
    leg.config().await;
    drop(phone);
    assert!(leg.end().await.is_err());
    let (mut phone, mut leg) = lab.begun().await;
    phone.socket.close(None).await.unwrap();
    assert!(leg.end().await.is_err(), "a close without a stop");
}

#[tokio::test]
async fn what_the_relay_refuses_is_told_with_its_reason() {
    let lab = Lab::start().await;
    let refused = into_status(&voice_server::media_token::TokenRefused);
    assert_eq!(voice_server::media_token::TokenRefused.reason().code, Code::PermissionDenied);
    lab.relay.answers.lock().unwrap().refuses = Some(refused);
    let mut phone = lab.open().await;
    phone.begin().await;
    assert_eq!(phone.closed().await, (4403, "MEDIA_TOKEN_REFUSED".into()));
    let away = MediaToken::new("call-1", "http://127.0.0.1:9", Timestamp::now()).sign(&KEY.into());
    let mut phone = lab.try_open(&format!("/media/{away}"), None).await.unwrap();
    phone.begin().await;
    assert_eq!(phone.closed().await, (4503, "SERVICE_UNAVAILABLE".into()));
}

#[tokio::test]
async fn a_relay_that_fails_in_mid_call_closes_the_socket_for_another_try() {
    let mut lab = Lab::start().await;
    let (mut phone, leg) = lab.begun().await;
    leg.responses.send(Err(Status::unavailable("restarted"))).await.unwrap();
    assert_eq!(phone.closed().await, (4503, "SERVICE_UNAVAILABLE".into()));
}

#[tokio::test]
async fn a_reader_that_stands_still_costs_no_more_than_what_was_on_its_way() {
    let mut lab = Lab::start().await;
    let (mut phone, leg) = lab.begun().await;
    // Nobody reads the socket. As fast as it can, the relay says more and more.
    let audio = vec![0x55_u8; 8_000];
    let talking = async {
        let mut said = 0_usize;
        let response = || Ok(ConverseResponse { payload: Some(Payload::Audio(audio.clone().into())) });
        // It is noticed from its side, and then the leg is over for the relay.
        while leg.responses.send(response()).await.is_ok() {
            said += audio.len();
            assert!(said < 32 * 1024 * 1024, "the sound of an hour is somewhere");
        }
    };
    timeout(LIMIT, talking).await.unwrap();
    while let Some(Ok(_)) = timeout(LIMIT, phone.socket.next()).await.unwrap() {}
}

#[tokio::test]
async fn sound_that_the_relay_does_not_take_is_dropped_and_keys_are_not() {
    let mut lab = Lab::start().await;
    let (mut phone, mut leg) = lab.begun().await;
    let payload = STANDARD.encode([0x55; 8_000]);
    // Far more than windows and queues hold.
    for chunk in 1..=400 {
        phone.media(chunk, &payload).await;
    }
    phone.say(json!({ "event": "dtmf", "streamSid": "MZ1", "dtmf": { "digit": "9" } })).await;
    leg.config().await;
    let (mut pieces, mut digit) = (0, None);
    while digit.is_none() {
        match leg.next().await.unwrap().unwrap() {
            converse_request::Payload::Audio(_) => pieces += 1,
            converse_request::Payload::Digit(pressed) => digit = Some(pressed.digit),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(digit.as_deref(), Some("9"));
    assert!(pieces > 0 && pieces < 400 * 5, "{pieces}");
}

#[tokio::test]
async fn a_gateway_that_is_stopped_lets_calls_go_on_and_then_sends_them_elsewhere() {
    let mut lab = Lab::start().await;
    let (mut phone, mut leg) = lab.begun().await;
    leg.config().await;
    drop(lab.shutdown.take());
    phone.media(1, &STANDARD.encode([1; 160])).await;
    assert_eq!(leg.audio().await, vec![1; 160]);
    assert_eq!(phone.closed().await, (1001, "GATEWAY_DRAINING".into()));
    assert!(leg.end().await.is_err(), "so that the call is connected again");
    timeout(LIMIT, lab.tasks.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}
