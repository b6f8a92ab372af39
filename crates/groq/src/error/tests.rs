use reqwest::header::HeaderValue;
use serde_json::json;

use super::*;

fn answer(status: u16, body: &str) -> Error {
    Error::from_answer(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
}

fn groq(status: u16, code: &str, message: &str) -> Error {
    answer(status, &json!({"error": {"message": message, "type": "x", "code": code}}).to_string())
}

#[test]
fn status_and_code_together_decide() {
    assert!(matches!(groq(401, "invalid_api_key", "Invalid API Key"), Error::InvalidKey(_)));
    assert!(matches!(answer(403, "error code: 1010"), Error::Forbidden(_)));
    assert!(matches!(groq(400, "model_decommissioned", "…"), Error::ModelGone(_)));
    assert!(matches!(groq(404, "model_not_found", "…"), Error::ModelGone(_)));
    assert!(matches!(answer(404, r#"{"error":{"message":"model \"x\" not found"}}"#), Error::ModelGone(_)));
    assert!(matches!(answer(404, "404 page not found"), Error::Rejected(_)));
    assert!(matches!(groq(400, "model_terms_required", "…"), Error::TermsRequired(_)));
    assert!(matches!(groq(413, "rate_limit_exceeded", "…"), Error::TooLarge(_)));
    assert!(matches!(groq(429, "rate_limit_exceeded", "…"), Error::RateLimited { .. }));
    for status in [408, 424, 498, 500, 502, 503, 524] {
        assert!(matches!(answer(status, ""), Error::Unavailable(_)), "{status}");
    }
    assert!(matches!(answer(400, r#"{"error":{"message":"bad"}}"#), Error::Rejected(_)));
}

#[test]
fn only_what_may_heal_by_itself_is_retried() {
    assert!(groq(429, "rate_limit_exceeded", "…").is_retryable());
    assert!(answer(502, "<html>").is_retryable());
    assert!(answer(422, "{}").is_retryable());
    assert!(Error::Truncated.is_retryable());
    assert!(!groq(413, "rate_limit_exceeded", "…").is_retryable());
    assert!(!groq(401, "invalid_api_key", "…").is_retryable());
    assert!(!Error::InputTooLong { chars: 300, limit: 200 }.is_retryable());
}

#[test]
fn the_message_is_found_in_every_servers_form() {
    for (body, message) in [
        (r#"{"error":{"message":"m"}}"#, "m"),
        (r#"{"error":"m"}"#, "m"),
        (r#"{"detail":"m"}"#, "m"),
        (r#"{"detail":[{"loc":["body"],"msg":"m"}]}"#, "m"),
        (r#"{"message":"m"}"#, "m"),
        ("m", "m"),
    ] {
        assert_eq!(answer(400, body).refusal().unwrap().message, message, "{body}");
    }
}

#[test]
fn the_wait_comes_from_the_header_or_from_the_sentence() {
    let waits = |name: &'static str, value: &'static str, message: &str| {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
        let body = json!({"error": {"message": message}}).to_string();
        Error::from_answer(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes()).retry_after()
    };
    assert_eq!(waits("retry-after", "2", ""), Some(Duration::from_secs(2)));
    assert_eq!(waits("retry-after", "0.4", ""), Some(Duration::from_millis(400)));
    assert_eq!(waits("retry-after-ms", "250", ""), Some(Duration::from_millis(250)));
    let sentence = "Rate limit reached. Please try again in 1m4.77s. Need more?";
    assert_eq!(waits("x-other", "1", sentence), Some(Duration::from_millis(64_770)));
    assert_eq!(waits("retry-after", "-3", "no time given"), None);
}

#[test]
fn a_retry_is_never_planned_beyond_the_time_that_is_left() {
    let limited = |seconds| Error::RateLimited {
        refusal: Refusal { status: 429, code: None, message: String::new(), request_id: None },
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let left = Duration::from_secs(3);
    assert_eq!(limited(2).retry_delay(0, left), Some(Duration::from_secs(2)));
    assert_eq!(limited(4000).retry_delay(0, left), None);
    assert_eq!(Error::Truncated.retry_delay(0, left), Some(Duration::from_millis(250)));
    assert_eq!(Error::Truncated.retry_delay(40, left), Some(Duration::from_secs(2)));
    assert_eq!(groq(401, "invalid_api_key", "…").retry_delay(0, left), None);
}

#[test]
fn an_error_inside_a_stream_is_classified_when_it_carries_a_status() {
    let late = |error: Value| Error::from_late_error(&error);
    assert!(matches!(late(json!({"message": "m", "status_code": 400})), Error::Rejected(_)));
    assert!(matches!(late(json!({"message": "m"})), Error::GaveUp { message } if message == "m"));
    assert!(matches!(late(json!("m")), Error::GaveUp { message } if message == "m"));
}
