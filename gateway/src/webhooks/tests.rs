//! Signatures, with the vectors that the vendor's own validators accept.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const KEY: &str = "test-signing-key";
const FORM: &str = "To=%2B15552220000&CallSid=c1&From=%2B15551110000";
const FORM_SIGNATURE: &str = "+jE8+fignB/kuqKhCncmXApEHWE=";
const JSON: &str = r#"{"event_type":"calling.call.stream"}"#;
const JSON_SHA1: &str = "ecaf12af93088fe306ac80decbb2e40c0d291e8f";
const JSON_SHA256: &str = "dece04c08bf628424f8157188c6e569bd986d7216684bc2cd4260d3118f11a5b";
const JSON_DIGEST: &str = "4a7500b77535a408bfdd544777e180b5fa3eab5a4f59718aa0d031aab63a7bb1";
/// Of the address alone, with that digest in it.
const DIGEST_SIGNATURE: &str = "mL6+ghnaHBrhmVzfcCe3g0OXEqA=";
/// The same for the body `{}`.
const OTHER_DIGEST: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const OTHER_SIGNATURE: &str = "3rBY3n/BzassEMmDWp6vVzHNOCo=";

fn webhooks(base_url: &str) -> Webhooks {
    Webhooks::new(Some(KEY.into()), base_url)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()));
    pairs.collect()
}

fn form(webhooks: &Webhooks, header: &str, signature: &str, body: &str) -> Result<Webhook, Problem> {
    let headers = headers(&[("content-type", "application/x-www-form-urlencoded"), (header, signature)]);
    webhooks.take(Received { headers: &headers, path: "/voice", body: body.as_bytes() })
}

fn json(
    webhooks: &Webhooks,
    signatures: &[(&str, &str)],
    path: &str,
    body: &str,
) -> Result<Webhook, Problem> {
    let mut headers = headers(signatures);
    headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    webhooks.take(Received { headers: &headers, path, body: body.as_bytes() })
}

#[test]
fn a_signed_form_is_believed_under_either_vendors_header_and_with_any_form_of_the_port() {
    for (header, base_url) in [
        ("x-signalwire-signature", "https://example.com"),
        ("x-twilio-signature", "https://example.com"),
        ("x-signalwire-signature", "https://example.com:443"),
        ("x-signalwire-signature", "https://user:password@example.com"),
    ] {
        let webhook = form(&webhooks(base_url), header, FORM_SIGNATURE, FORM).unwrap();
        assert_eq!(
            (webhook.field("CallSid").unwrap(), webhook.field("From").unwrap()),
            ("c1", "+15551110000")
        );
        assert!(webhook.field("Direction").is_err());
    }
}

#[test]
fn a_form_that_was_changed_or_is_not_signed_is_refused() {
    let webhooks = webhooks("https://example.com");
    for (header, signature, body) in [
        ("x-signalwire-signature", FORM_SIGNATURE, FORM.replace("c1", "c2")),
        ("x-signalwire-signature", "", FORM.to_owned()),
        ("x-signalwire-signature", JSON_SHA1, FORM.to_owned()),
        ("x-other", FORM_SIGNATURE, FORM.to_owned()),
    ] {
        assert!(form(&webhooks, header, signature, &body).is_err(), "{header} {signature} {body}");
    }
    let elsewhere = super::Webhooks::new(Some(KEY.into()), "https://example.org");
    assert!(form(&elsewhere, "x-signalwire-signature", FORM_SIGNATURE, FORM).is_err());
    let unset = super::Webhooks::new(None, "https://example.com");
    assert!(form(&unset, "x-signalwire-signature", FORM_SIGNATURE, FORM).is_err());
}

#[test]
fn a_signed_body_is_believed_and_whoever_shows_the_stronger_signature_is_held_to_it() {
    let path = "/hook?x=1";
    let (sha1, sha256) =
        (("x-signalwire-signature", JSON_SHA1), ("x-signalwire-sha256-signature", JSON_SHA256));
    let wrong = ("x-signalwire-sha256-signature", JSON_SHA1);
    let fresh = || webhooks("https://example.com");
    assert!(json(&fresh(), &[sha1], path, JSON).is_ok());
    assert!(json(&fresh(), &[sha1, sha256], path, JSON).is_ok());
    assert!(json(&fresh(), &[sha1, wrong], path, JSON).is_err());
    assert!(json(&fresh(), &[sha1], "/hook?x=2", JSON).is_err());
    assert!(json(&fresh(), &[sha1], path, "{}").is_err());
    assert_eq!(json(&fresh(), &[sha1], path, JSON).unwrap().query["x"], "1");
}

#[test]
fn a_body_whose_digest_is_in_the_signed_address_is_believed_and_no_other_body() {
    let fresh = || webhooks("https://example.com");
    let path = format!("/hook?x=1&bodySHA256={JSON_DIGEST}");
    let signed = [("x-signalwire-signature", DIGEST_SIGNATURE)];
    assert_eq!(json(&fresh(), &signed, &path, JSON).unwrap().query["x"], "1");
    assert!(json(&fresh(), &signed, &path, "{}").is_err(), "the digest is that of another body");
    let other = format!("/hook?x=1&bodySHA256={OTHER_DIGEST}");
    assert!(json(&fresh(), &signed, &other, "{}").is_err(), "the address is not the one that was signed");
    let other_signed = [("x-signalwire-signature", OTHER_SIGNATURE)];
    assert!(json(&fresh(), &other_signed, &other, "{}").is_ok());
    assert!(json(&fresh(), &other_signed, &other, JSON).is_err(), "an address alone vouches for no body");
    assert!(json(&fresh(), &signed, "/hook?x=1", JSON).is_err());
}

#[test]
fn the_same_webhook_is_taken_once() {
    let webhooks = webhooks("https://example.com");
    assert!(form(&webhooks, "x-signalwire-signature", FORM_SIGNATURE, FORM).is_ok());
    assert!(form(&webhooks, "x-signalwire-signature", FORM_SIGNATURE, FORM).is_err());
}
