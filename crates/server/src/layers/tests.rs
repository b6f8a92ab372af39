use std::convert::Infallible;

use tonic_types::StatusExt as _;

use super::*;

/// The status of an answer that is over with its first word: code, reason, delay, message.
fn told(status: &Status) -> (Code, String, Option<Duration>, &str) {
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    (status.code(), status.get_details_error_info().unwrap().reason, delay, status.message())
}

#[test]
fn every_refusal_of_the_layers_tells_its_reason_and_when_to_try_again() {
    let second = Some(Duration::from_secs(1));
    let full = Streams::new(0).open(SocketAddr::from(([127, 0, 0, 1], 1))).unwrap_err();
    let wait = Duration::from_secs(7);
    let malformed = Unreadable::Malformed(String::new());
    let table: [(&dyn ServiceError, &str, Option<Duration>); 13] = [
        (&Refusal::Missing, "TOKEN_MISSING", None),
        (&Refusal::Unknown, "TOKEN_UNKNOWN", None),
        (&Refusal::NotAllowed(methods::Scope::Jobs), "SCOPE_MISSING", None),
        (&Refusal::TooMany { wait }, "REQUESTS_AT_LIMIT", Some(wait)),
        (&full, "STREAMS_AT_LIMIT", second),
        (&Overloaded, "OVERLOADED", Some(Duration::from_millis(500))),
        (&DeadlinePassed, "DEADLINE_EXCEEDED", None),
        (&Stopping, "STOPPING", second),
        (&UnknownMethod(String::new()), "METHOD_UNKNOWN", None),
        (&Unreadable::Missing, "MISSING_MESSAGE", None),
        (&malformed, "MALFORMED_MESSAGE", None),
        (&Unreadable::TooLarge(String::new()), "MESSAGE_TOO_LARGE", None),
        (&Unreadable::Compressed, "COMPRESSION_UNSUPPORTED", None),
    ];
    for (error, name, delay) in table {
        assert_eq!((error.reason().name, error.retry_after()), (name, delay));
    }
}

#[test]
fn what_the_process_cannot_carry_is_refused_at_once() {
    let gate = Gate {
        tokens: Tokens::default(),
        streams: Streams::new(1),
        message_bytes: 0,
        permits: Arc::new(Semaphore::new(1)),
        stop: CancellationToken::new(),
    };
    let request = Request::new(Body::empty());
    let first = gate.admit(&request, None).unwrap();
    let refused = gate.admit(&request, None).map(drop).unwrap_err();
    let (code, reason, delay, _) = told(&refused);
    let expected = (Code::ResourceExhausted, "OVERLOADED".to_owned(), Some(Duration::from_millis(500)));
    assert_eq!((code, reason, delay), expected);
    drop(first);
    assert!(gate.admit(&request, None).is_ok());
}

#[tokio::test]
async fn a_handler_that_panics_is_an_internal_error_that_does_not_say_why() {
    let handler = tower::service_fn(async |_: Request<Body>| -> Result<Response<Body>, Infallible> {
        panic!("a caller's secret")
    });
    let mut service = tower::Layer::layer(&catch_panic(), handler);
    let response = service.call(Request::new(Body::empty())).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(told(&status), (Code::Internal, "INTERNAL".to_owned(), None, "internal error"));
}
