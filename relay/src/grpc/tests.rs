//! The API over a registry that is filled by hand.

use std::time::Duration;

use futures::StreamExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;
use voice_call::{EndReason, Notice, State};
use voice_proto::relay::v1::CallState;
use voice_server::client::ClientConfig;

use super::*;
use crate::{journal::KEPT, kept::Ledger, registry::Origin};

/// An API of calls "call-1" to "call-{count}", of which every third is over.
fn api(count: usize) -> Api {
    let registry = Arc::new(Registry::default());
    for number in 1..=count {
        let record = record(&format!("call-{number}"));
        if number % 3 == 0 {
            record.update(|status| status.state = State::Ended { reason: EndReason::CallerHangup });
        }
        registry.insert(record);
    }
    let (orders, _) = mpsc::channel(1);
    let desk = Arc::new(MediaDesk::new("only for tests".into(), String::new()));
    let (ledger, _) =
        Ledger::open(&"redis://127.0.0.1:1".into(), "test", "http://127.0.0.1:1", Duration::ZERO).unwrap();
    let plan = Arc::new(DialPlan::new(Vec::new(), 0, ledger.clone()));
    Api::new(registry, orders, plan, desk, Arc::new(Peers::new(ledger, ClientConfig::default())))
}

fn record(call_id: &str) -> Arc<CallRecord> {
    let (control, _) = mpsc::channel(1);
    let numbers = ("+15550001111".to_owned(), "+15550002222".to_owned());
    let record = CallRecord::new(
        call_id.into(),
        Origin::Received,
        "office".into(),
        numbers,
        Timestamp::now(),
        control,
    );
    Arc::new(record)
}

async fn page(
    api: &Api,
    page_size: i32,
    page_token: &str,
    states: &[CallState],
) -> Result<(Vec<String>, String), Status> {
    let request = ListCallsRequest {
        page_size,
        page_token: page_token.to_owned(),
        states: states.iter().map(|state| (*state).into()).collect(),
    };
    let ListCallsResponse { calls, next_page_token, unreachable_relays: _ } =
        api.list_calls(Request::new(request)).await?.into_inner();
    Ok((calls.into_iter().map(|call| call.call_id).collect(), next_page_token))
}

/// All pages, one after the other.
async fn pages(api: &Api, page_size: i32, states: &[CallState]) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let (calls, next) = page(api, page_size, &token, states).await.unwrap();
        pages.push(calls);
        if next.is_empty() {
            return pages;
        }
        token = next;
    }
}

fn ids(numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|number| format!("call-{number}")).collect()
}

#[tokio::test]
async fn calls_are_listed_newest_first_and_every_one_is_on_one_page() {
    let api = api(7);
    assert_eq!(pages(&api, 3, &[]).await, [ids(&[7, 6, 5]), ids(&[4, 3, 2]), ids(&[1])]);
    assert_eq!(pages(&api, 7, &[]).await, [ids(&[7, 6, 5, 4, 3, 2, 1])], "a full last page has no next one");
    assert_eq!(pages(&api, 0, &[]).await.len(), 1, "zero means the usual size");
}

#[tokio::test]
async fn a_call_that_comes_while_pages_are_read_moves_no_other() {
    let api = api(4);
    let (first, token) = page(&api, 2, "", &[]).await.unwrap();
    api.registry.insert(record("newer"));
    let (second, last) = page(&api, 2, &token, &[]).await.unwrap();
    assert_eq!([first, second], [ids(&[4, 3]), ids(&[2, 1])]);
    assert_eq!(last, "");
}

#[tokio::test]
async fn only_calls_in_the_wanted_states_are_listed_and_pages_of_them_are_full() {
    let api = api(10);
    assert_eq!(pages(&api, 2, &[CallState::Ended]).await, [ids(&[9, 6]), ids(&[3])]);
    let live = [CallState::Ringing, CallState::Active];
    assert_eq!(pages(&api, 4, &live).await, [ids(&[10, 8, 7, 5]), ids(&[4, 2, 1])]);
    assert_eq!(pages(&api, 4, &[CallState::Ending]).await, [ids(&[])]);
}

#[tokio::test]
async fn wrong_pages_and_states_are_named() {
    let api = api(1);
    let unknown = ListCallsRequest { states: vec![99], ..ListCallsRequest::default() };
    let wrong = [
        ("page_size", page(&api, -1, "", &[]).await.map(drop)),
        ("page_size", page(&api, 1_001, "", &[]).await.map(drop)),
        ("page_token", page(&api, 1, "the second", &[]).await.map(drop)),
        ("states", api.list_calls(Request::new(unknown)).await.map(drop)),
    ];
    for (field, result) in wrong {
        let status = result.unwrap_err();
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((status.code(), violations[0].field.as_str()), (Code::InvalidArgument, field));
    }
}

/// Sequences that a watcher gets, and how the stream ends.
async fn watched(api: &Api, after_sequence: i64) -> (Vec<i64>, Option<Status>) {
    let request = WatchCallRequest { call_id: "call-1".into(), after_sequence };
    let mut events = api.watch_call(Request::new(request)).await.unwrap().into_inner();
    let mut sequences = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => sequences.push(event.event.unwrap().sequence),
            Err(status) => return (sequences, Some(status)),
        }
    }
    (sequences, None)
}

/// The oldest event that is kept, as a status tells it.
fn first_kept(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap();
    assert_eq!((status.code(), info.reason.as_str()), (Code::OutOfRange, "EVENTS_GONE"));
    let known: Vec<_> = info.metadata.into_iter().collect();
    let [(key, sequence)] = known.try_into().unwrap();
    assert_eq!(key, "first_sequence");
    sequence
}

fn push(record: &CallRecord, count: usize) {
    for _ in 0..count {
        record.journal.push(Timestamp::now(), Notice::SpeechStarted, Vec::new());
    }
}

#[tokio::test]
async fn a_watcher_who_asks_for_events_that_are_gone_is_told_from_where_he_can_watch() {
    let api = api(1);
    let record = api.registry.find("call-1").unwrap();
    push(&record, KEPT + 5);
    record.journal.close();
    let (sequences, status) = watched(&api, 0).await;
    assert_eq!((sequences.len(), first_kept(&status.unwrap()).as_str()), (0, "6"));
    // What he is told is right: from there on nothing is missing, and one earlier something is.
    let (sequences, status) = watched(&api, 5).await;
    assert!(status.is_none());
    assert_eq!(sequences, (6..=KEPT as i64 + 5).collect::<Vec<_>>());
    assert!(watched(&api, 4).await.1.is_some());
}

#[tokio::test]
async fn a_watcher_who_falls_too_far_behind_is_told_in_mid_stream_from_where_he_can_watch() {
    let api = api(1);
    let record = api.registry.find("call-1").unwrap();
    push(&record, 1);
    let request = WatchCallRequest { call_id: "call-1".into(), after_sequence: 0 };
    let mut events = api.watch_call(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(events.next().await.unwrap().unwrap().event.unwrap().sequence, 1);
    push(&record, KEPT + 5);
    assert_eq!(first_kept(&events.next().await.unwrap().unwrap_err()), "7");
    assert!(events.next().await.is_none());
    record.journal.close();
    let (sequences, status) = watched(&api, 6).await;
    assert!(status.is_none());
    assert_eq!(sequences, (7..=KEPT as i64 + 6).collect::<Vec<_>>());
}
