//! A watch that reaches its call through another process than the call's own relay: how it ends, and that nothing is
//! left of it anywhere.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use tonic::{Code, Request, Status, Streaming};
use voice_proto::relay::v1::{WatchCallRequest, WatchCallResponse};
use voice_server::status::reason_of;

use super::{
    several::{RELAYS, owner, relay, ring, two_relays},
    *,
};
use crate::{
    mesh::{eventually, metrics},
    phone::loopback_client,
};

const WATCH: &str = "/voice.relay.v1.RelayService/WatchCall";

/// Long enough for the first event, short enough to be waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many watches a relay has open.
async fn open_at(mesh: &Mesh, relay: &str) -> Option<usize> {
    let text = metrics(&mesh.address(relay)).await.ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("rpc_open{") && line.contains(WATCH));
    lines.next().map_or(Some(0), |line| line.rsplit(' ').next()?.parse().ok())
}

/// Waits until these relays have no watch open any more.
async fn released(mesh: &Mesh, relays: &[&str], after: &str) {
    for relay in relays {
        eventually(LIMIT, &format!("no watch at {relay} after {after}"), async || {
            (open_at(mesh, relay).await? == 0).then_some(())
        })
        .await
        .unwrap();
    }
}

/// What ends a watch.
async fn end(mut watch: Streaming<WatchCallResponse>) -> (Code, String) {
    let end = async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break Status::ok(""),
                Err(status) => break status,
            }
        }
    };
    let status = tokio::time::timeout(LIMIT, end).await.expect("it ends");
    (status.code(), reason_of(&status).unwrap_or_default())
}

/// A watch of which the first event has come.
async fn begun(mesh: &Mesh, by: &str, request: Request<WatchCallRequest>) -> Streaming<WatchCallResponse> {
    let mut watch = relay(mesh, by).await.watch_call(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    watch
}

#[tokio::test]
async fn a_watch_by_another_relay_ends_at_its_deadline_with_its_client_and_with_the_calls_relay() {
    let mut mesh = two_relays(Options::default()).await;
    let (_caller, call_id) = ring(&mesh, CONTEXT).await;
    let (owner, other) = owner(&mesh, &call_id);
    let request = || Request::new(WatchCallRequest { call_id: call_id.clone(), after_sequence: 0 });

    let mut late = request();
    late.set_timeout(DEADLINE);
    let watch = begun(&mesh, other, late).await;
    assert_eq!(end(watch).await, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
    released(&mesh, &RELAYS, "its deadline").await;

    let watch = begun(&mesh, other, request()).await;
    for by in RELAYS {
        assert_eq!(open_at(&mesh, by).await, Some(1), "{by}");
    }
    drop(watch);
    released(&mesh, &RELAYS, "its client").await;

    let watch = begun(&mesh, other, request()).await;
    mesh.child(owner).kill().await.unwrap();
    assert_eq!(end(watch).await, (Code::Unavailable, "SERVICE_UNAVAILABLE".to_owned()));
    released(&mesh, &[other], "the call's relay").await;
}

/// A request as gRPC-Web has it.
fn framed(request: &WatchCallRequest) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(request.encoded_len() as u32);
    request.encode(&mut frame).unwrap();
    frame.freeze()
}

/// All that is left of an answer.
async fn rest(answer: reqwest::Response) -> String {
    let rest = tokio::time::timeout(LIMIT, answer.bytes()).await.expect("it ends").unwrap();
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_browsers_watch_ends_at_its_deadline_with_its_connection_and_with_the_relay() {
    let mut mesh = mesh(Options::default()).await;
    let (_caller, watch) = rung(&mesh).await;
    drop(watch);
    let request = WatchCallRequest { call_id: mesh.newest_call().await.unwrap(), after_sequence: 0 };
    let body = framed(&request);
    let url = format!("{}{WATCH}", mesh.address("gateway"));
    let ask = || {
        let request = loopback_client().post(&url).header("content-type", "application/grpc-web+proto");
        request.body(body.clone())
    };
    let begun = async || {
        let mut watch = ask().send().await.unwrap();
        watch.chunk().await.unwrap().unwrap();
        watch
    };

    let late = ask().header("grpc-timeout", format!("{}m", DEADLINE.as_millis())).send().await.unwrap();
    let told = rest(late).await;
    assert!(told.contains("grpc-status:4\r\n"), "{told}");
    released(&mesh, &["relay"], "its deadline").await;

    let watch = begun().await;
    assert_eq!(open_at(&mesh, "relay").await, Some(1));
    drop(watch);
    released(&mesh, &["relay"], "its connection").await;

    let watch = begun().await;
    mesh.child("relay").kill().await.unwrap();
    let told = rest(watch).await;
    assert!(told.contains("grpc-status:14\r\n"), "{told}");
}
