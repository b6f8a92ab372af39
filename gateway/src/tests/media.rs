//! Conversations over media sockets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    relay::v1::{DigitPressed, PlayoutMark, converse_request, converse_response::Payload},
};

use super::*;

#[tokio::test]
async fn a_twilio_client_holds_a_conversation() {
    let mut lab = Lab::start().await;
    let (mut phone, mut leg) = lab.begun().await;
    let config = leg.config().await;
    let format = AudioFormat { encoding: AudioEncoding::Mulaw.into(), sample_rate_hertz: 8_000 };
    assert_eq!(config.format, Some(format));
    assert_eq!((config.caller_number.as_str(), config.called_number.as_str()), ("+15551", "+15552"));
    assert!(config.answers_marks && config.media_token.contains('.'));
    let frame: Vec<u8> = (0..160).collect();
    phone.media(1, &STANDARD.encode(&frame)).await;
    assert_eq!(leg.audio().await, frame);
    leg.say(Payload::Audio(frame.clone().into())).await;
    leg.mark("clause-1").await;
    let media =
        json!({ "event": "media", "streamSid": "MZ1", "media": { "payload": STANDARD.encode(&frame) } });
    assert_eq!(phone.heard().await, media);
    let mark = json!({ "event": "mark", "streamSid": "MZ1", "mark": { "name": "clause-1" } });
    assert_eq!(phone.heard().await, mark);
    phone.say(json!({ "event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": { "name": "clause-1" } })).await;
    let reached = PlayoutMark { name: "clause-1".into() };
    assert_eq!(leg.next().await.unwrap(), Some(converse_request::Payload::Mark(reached)));
    phone
        .say(json!({ "event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "5",
        "dtmf": { "track": "inbound_track", "digit": "1" } }))
        .await;
    let digit = DigitPressed { digit: "1".into() };
    assert_eq!(leg.next().await.unwrap(), Some(converse_request::Payload::Digit(digit)));
    leg.clear().await;
    assert_eq!(phone.heard().await, json!({ "event": "clear", "streamSid": "MZ1" }));
    phone
        .say(json!({ "event": "stop", "sequenceNumber": "6", "streamSid": "MZ1",
        "stop": { "accountSid": "AC1", "callSid": "CA1" } }))
        .await;
    assert_eq!(leg.next().await.unwrap(), None, "the caller has hung up: a clean end");
    drop(leg);
    assert_eq!(phone.closed().await, (1000, "CALL_ENDED".into()));
}

#[tokio::test]
async fn wide_sound_goes_both_ways_as_it_is_and_long_pieces_are_cut() {
    let mut lab = Lab::start().await;
    let mut phone = lab.open().await;
    phone.say(start("audio/x-L16", 24_000)).await;
    let mut leg = lab.relay.leg().await;
    let format = leg.config().await.format.unwrap();
    assert_eq!((format.encoding(), format.sample_rate_hertz), (AudioEncoding::Linear16, 24_000));
    // Half a second at once, as a test tool may send it.
    let sound: Vec<u8> = (0..24_000_u32).map(|n| n as u8).collect();
    phone.media(1, &STANDARD.encode(&sound)).await;
    let mut heard = Vec::new();
    for length in [9_600, 9_600, 4_800] {
        let piece = leg.audio().await;
        assert_eq!(piece.len(), length);
        heard.extend(piece);
    }
    assert_eq!(heard, sound);
    leg.say(Payload::Audio(sound[..960].to_vec().into())).await;
    assert_eq!(phone.heard().await["media"]["payload"], STANDARD.encode(&sound[..960]));
}

#[tokio::test]
async fn lost_frames_are_silence_and_doubled_or_late_ones_are_left_out() {
    let mut lab = Lab::start().await;
    let (mut phone, mut leg) = lab.begun().await;
    leg.config().await;
    for chunk in [1, 2, 2, 5, 4, 6] {
        phone.media(chunk, &STANDARD.encode([chunk as u8; 160])).await;
    }
    let mut heard = Vec::new();
    for _ in 0..6 {
        heard.push(leg.audio().await);
    }
    assert_eq!(heard, [1, 2, 0xFF, 0xFF, 5, 6].map(|byte| vec![byte; 160]));
}

#[tokio::test]
async fn a_token_lets_in_by_path_or_by_header_and_nothing_else_does() {
    let lab = Lab::start().await;
    let good = lab.token();
    assert!(lab.try_open(&format!("/media/{good}"), None).await.is_ok());
    assert!(lab.try_open("/media", Some(&good)).await.is_ok());
    let old = lab.token_at(Timestamp::now() - Duration::from_secs(61));
    let forged =
        MediaToken::new("call-1", &lab.relay.addr, Timestamp::now()).sign(&"another-key-of-it".into());
    for (path, bearer) in [
        (format!("/media/{old}"), None),
        (format!("/media/{forged}"), None),
        ("/media/x".to_owned(), Some(good.as_str())),
        ("/media".to_owned(), Some("an-api-token")),
        ("/media".to_owned(), None),
    ] {
        match lab.try_open(&path, bearer).await.err().unwrap() {
            tungstenite::Error::Http(response) => {
                assert_eq!(response.status().as_u16(), 403, "{path}");
                let body: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
                assert_eq!(body["reason"], "MEDIA_TOKEN_REFUSED");
            }
            other => panic!("{other}"),
        }
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let plain = http.get(format!("http://{}/media/{}", lab.address, lab.token())).send().await.unwrap();
    assert_eq!(plain.status().as_u16(), 426);
}
