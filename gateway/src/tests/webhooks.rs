//! Webhooks by HTTP.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use voice_proto::relay::v1::CallState;

use super::*;

/// Signs as the vendors do: the address, and the fields in order.
fn sign(path: &str, form: &[(&str, &str)]) -> String {
    let mut sorted = form.to_vec();
    sorted.sort_unstable();
    let text: String = sorted.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(SIGNING_KEY.as_bytes()).unwrap();
    mac.update(format!("{BASE_URL}{path}{text}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

const CALL: [(&str, &str); 4] =
    [("CallSid", "CA-1"), ("From", "+15551"), ("To", "+15552"), ("CallStatus", "ringing")];

impl Lab {
    async fn post(&self, path: &str, form: &[(&str, &str)], signature: &str) -> (u16, String) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = http.post(format!("http://{}{path}", self.address)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.header("x-signalwire-signature", signature).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn signed(&self, path: &str, form: &[(&str, &str)]) -> String {
        let (status, body) = self.post(path, form, &sign(path, form)).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from} is not in {text}"));
    rest.split_once(to).unwrap().0
}

/// Where our own redirect leads, as a path.
fn again(document: &str) -> String {
    let url = between(document, "<Redirect method=\"POST\">", "</Redirect>").replace("&amp;", "&");
    url.strip_prefix(BASE_URL).unwrap().to_owned()
}

#[tokio::test]
async fn a_call_by_webhook_is_connected_to_a_stream_that_reaches_a_relay() {
    let mut lab = Lab::start().await;
    let document = lab.signed("/webhooks/signalwire/voice", &CALL).await;
    let stream = between(&document, "<Stream url=\"", "\"");
    let path = stream.strip_prefix("wss://voice.example.com").unwrap();
    assert!(document.contains("<Parameter name=\"from\" value=\"+15551\"/>"), "{document}");
    let mut phone = lab.try_open(path, None).await.unwrap();
    phone.begin().await;
    let config = lab.relay.leg().await.config().await;
    assert_eq!(Some(config.media_token.as_str()), path.strip_prefix("/media/"));
}

#[tokio::test]
async fn a_leg_that_comes_back_goes_to_its_call_to_another_relay_or_home() {
    let lab = Lab::start().await;
    let first = lab.signed("/webhooks/signalwire/voice", &CALL).await;
    let call_of = |document: &str| {
        let token = between(document, "/media/", "\"").to_owned();
        MediaToken::verify(&token, &KEY.into(), Timestamp::now()).unwrap().call_id
    };
    let set = |state| lab.relay.answers.lock().unwrap().state = state;
    set(Some(CallState::Active));
    let second = lab.signed(&again(&first), &CALL).await;
    assert_eq!(call_of(&second), call_of(&first), "its call goes on");
    set(None);
    let third = lab.signed(&again(&second), &CALL).await;
    assert!(third.contains("<Stream "), "nobody knows it: it begins anew");
    set(Some(CallState::Ended));
    let last = lab.signed(&again(&third), &CALL).await;
    assert!(last.contains("<Hangup/>") && !last.contains("Redirect"), "{last}");
    set(None);
    let mut other = CALL;
    other[0].1 = "CA-2";
    let mut path = again(&lab.signed("/webhooks/signalwire/voice", &other).await);
    for _ in 0..5 {
        let document = lab.signed(&path, &other).await;
        if document.contains("<Hangup/>") {
            return;
        }
        path = again(&document);
    }
    panic!("a call that nobody takes comes back for ever");
}

#[tokio::test]
async fn webhooks_without_a_good_signature_and_replays_are_refused() {
    let lab = Lab::start().await;
    let path = "/webhooks/signalwire/voice";
    let good = sign(path, &CALL);
    let mut forged = CALL;
    forged[1].1 = "+15559";
    for (form, signature) in [(CALL, ""), (CALL, "AAAA"), (forged, good.as_str())] {
        let (status, body) = lab.post(path, &form, signature).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["reason"]), (403, &json!("WEBHOOK_REFUSED")));
    }
    assert_eq!(lab.post(path, &CALL, &good).await.0, 200);
    let (status, body) = lab.post(path, &CALL, &good).await;
    assert_eq!(status, 403);
    assert!(body.contains("WEBHOOK_REPLAYED"), "{body}");
    let lacking = &CALL[1..];
    assert_eq!(lab.post(path, lacking, &sign(path, lacking)).await.0, 400);
    let unset = Lab::with(&[("SIGNALWIRE_SIGNING_KEY", "")]).await;
    assert_eq!(unset.post(path, &CALL, &good).await.0, 403);
}

#[tokio::test]
async fn news_of_streams_are_taken_when_signed() {
    let lab = Lab::start().await;
    let path = "/webhooks/signalwire/stream";
    let news = [("CallSid", "CA-1"), ("StreamEvent", "stream-error"), ("StreamError", "connection_refused")];
    assert_eq!(lab.post(path, &news, "AAAA").await.0, 403);
    lab.signed(path, &news).await;
}
