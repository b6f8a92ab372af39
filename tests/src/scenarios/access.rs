//! Who may call, what for and how often.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde_json::{Value, json};
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt as _;
use voice_proto::{
    relay::v1::{
        ConverseConfig, ConverseRequest, EndCallRequest, ListCallsRequest, PlaceCallRequest,
        WatchCallRequest, converse_request,
    },
    tts::v1::{CreateClipRequest, ListVoicesRequest, StreamingSynthesizeRequest},
    worker::v1::GetQueueStatsRequest,
};
use voice_server::{auth::ON_BEHALF_OF, status::reason_of};

use super::{streams::raw::Raw, *};
use crate::{contract::methods::served, mesh::eventually, phone::loopback_client};

/// Every RPC, and the one scope that a token must have for it.
const SCOPES: [(&str, &str); 23] = [
    ("/voice.relay.v1.RelayService/PlaceCall", "calls:control"),
    ("/voice.relay.v1.RelayService/GetCall", "calls:read"),
    ("/voice.relay.v1.RelayService/ListCalls", "calls:read"),
    ("/voice.relay.v1.RelayService/WatchCall", "calls:read"),
    ("/voice.relay.v1.RelayService/Say", "calls:control"),
    ("/voice.relay.v1.RelayService/Instruct", "calls:control"),
    ("/voice.relay.v1.RelayService/SendDigits", "calls:control"),
    ("/voice.relay.v1.RelayService/TransferCall", "calls:control"),
    ("/voice.relay.v1.RelayService/EndCall", "calls:control"),
    ("/voice.relay.v1.RelayService/Converse", "calls:control"),
    ("/voice.worker.v1.WorkerService/Transcribe", "speech"),
    ("/voice.worker.v1.WorkerService/ProcessTurn", "jobs"),
    ("/voice.worker.v1.WorkerService/CreateJob", "jobs"),
    ("/voice.worker.v1.WorkerService/GetJob", "jobs"),
    ("/voice.worker.v1.WorkerService/WatchJob", "jobs"),
    ("/voice.worker.v1.WorkerService/CancelJob", "jobs"),
    ("/voice.worker.v1.WorkerService/GetQueueStats", "jobs"),
    ("/voice.worker.v1.WorkerService/ListDeadJobs", "jobs"),
    ("/voice.worker.v1.WorkerService/RequeueDeadJob", "jobs"),
    ("/voice.tts.v1.TtsService/ListVoices", "speech"),
    ("/voice.tts.v1.TtsService/CreateClip", "speech"),
    ("/voice.tts.v1.TtsService/Synthesize", "speech"),
    ("/voice.tts.v1.TtsService/StreamingSynthesize", "speech"),
];

/// A request with a token.
pub(super) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// Code and reason.
fn told<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), reason_of(&status).unwrap_or_else(|| status.message().to_owned())),
    }
}

/// What the gateway answers a browser, which may have headers of its own.
async fn by_web(
    mesh: &Mesh,
    headers: &[(&str, &str)],
    rpc: &str,
    message: impl prost::Message,
) -> Result<(), Status> {
    let bytes = message.encode_to_vec();
    let frame = [&[0], &(bytes.len() as u32).to_be_bytes()[..], &bytes].concat();
    let mut request = loopback_client().post(format!("{}/{rpc}", mesh.address("gateway"))).body(frame);
    for (name, value) in [("content-type", "application/grpc-web+proto")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    // A refusal stands in the headers; whoever is answered has his status behind the message.
    let answer = request.send().await.unwrap();
    Status::from_header_map(answer.headers()).map_or(Ok(()), Err)
}

fn ok() -> (Code, String) {
    (Code::Ok, String::new())
}

/// What becomes of an RPC that is sent no message at all.
async fn asked_for_nothing(channel: &Channel, rpc: &'static str, token: &str) -> (Code, String) {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let request = with(token, futures::stream::empty::<Bytes>());
    match grpc.streaming(request, PathAndQuery::from_static(rpc), Raw).await {
        Ok(answer) => told(answer.into_inner().message().await),
        Err(status) => told(Err::<(), _>(status)),
    }
}

/// Whether the gateway lets a request by gRPC-Web through to the service.
async fn is_let_through(mesh: &Mesh, rpc: &str, token: &str) -> bool {
    let request = loopback_client().post(format!("{}{rpc}", mesh.address("gateway"))).bearer_auth(token);
    let answer = request.header("content-type", "application/grpc-web+proto").send().await.unwrap();
    let code = answer.headers().get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
    code.is_none_or(|code| Code::from_bytes(code.as_bytes()) != Code::PermissionDenied)
}

#[tokio::test]
async fn every_rpc_lets_in_the_tokens_of_its_scope_and_no_others() {
    assert_eq!(
        SCOPES.iter().map(|(rpc, _)| (*rpc).to_owned()).collect::<BTreeSet<_>>(),
        served().into_keys().collect()
    );
    let tokens =
        [("reads", "calls:read"), ("controls", "calls:control"), ("speaks", "speech"), ("works", "jobs")];
    let given = tokens.map(|(token, scope)| format!("{token}={scope}")).join(",");
    let mesh =
        mesh(Options::default().with("API_TOKENS", given).with("MESH_TOKEN", "between-services")).await;
    for (rpc, needed) in SCOPES {
        let service =
            ["relay", "worker", "tts"].into_iter().find(|name| rpc.contains(&format!(".{name}."))).unwrap();
        let channel = mesh.connect(service).await.unwrap();
        for (token, scope) in tokens {
            let (code, reason) = asked_for_nothing(&channel, rpc, token).await;
            let is_let_in = match (code, reason.as_str()) {
                (Code::PermissionDenied, "SCOPE_MISSING") => false,
                // Nothing but its message is missed.
                (Code::InvalidArgument, "MISSING_MESSAGE" | "MISSING_CONFIG") => true,
                _ => panic!("{rpc} with {scope}: {code:?} {reason}"),
            };
            assert_eq!(is_let_in, scope == needed, "{rpc} with {scope}");
            assert_eq!(
                is_let_through(&mesh, rpc, token).await,
                scope == needed,
                "{rpc} by gRPC-Web with {scope}"
            );
        }
    }
}

#[tokio::test]
async fn a_token_does_what_it_is_for_by_grpc_and_by_http() {
    let tokens = "reader=calls:read,maker=speech,operator=jobs+calls:control,all";
    let mesh =
        mesh(Options::default().with("API_TOKENS", tokens).with("MESH_TOKEN", "between-services")).await;
    let (mut relay, mut worker, mut tts) =
        (mesh.relay().await.unwrap(), mesh.worker().await.unwrap(), mesh.tts().await.unwrap());
    let denied = (Code::PermissionDenied, "SCOPE_MISSING".to_owned());
    let not_found = (Code::NotFound, "CALL_NOT_FOUND".to_owned());
    let end = EndCallRequest { call_id: "nobody".to_owned() };
    for (token, lists, ends, counts, speaks) in [
        ("reader", ok(), denied.clone(), denied.clone(), denied.clone()),
        ("maker", denied.clone(), denied.clone(), denied.clone(), ok()),
        ("operator", denied.clone(), not_found.clone(), ok(), denied.clone()),
        ("all", ok(), not_found.clone(), ok(), ok()),
        ("between-services", ok(), not_found.clone(), ok(), ok()),
    ] {
        let calls = relay.list_calls(with(token, ListCallsRequest::default())).await;
        assert_eq!(told(calls), lists, "{token}");
        assert_eq!(told(relay.end_call(with(token, end.clone())).await), ends, "{token}");
        let stats = worker.get_queue_stats(with(token, GetQueueStatsRequest {})).await;
        assert_eq!(told(stats), counts, "{token}");
        assert_eq!(told(tts.list_voices(with(token, ListVoicesRequest {})).await), speaks, "{token}");
    }
    let stranger = tts.list_voices(with("nobody", ListVoicesRequest {})).await;
    assert_eq!(told(stranger), (Code::Unauthenticated, "TOKEN_UNKNOWN".to_owned()));
    let nameless = tts.list_voices(ListVoicesRequest {}).await;
    assert_eq!(told(nameless), (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));

    let http = loopback_client();
    let url = format!("{}/generate-audio", mesh.address("gateway"));
    for (token, status, reason) in [
        ("maker", 200, Value::Null),
        ("reader", 403, json!("SCOPE_MISSING")),
        ("x", 401, json!("TOKEN_UNKNOWN")),
    ] {
        let request = http.post(&url).bearer_auth(token).json(&json!({ "text": "Hello there." }));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{token}");
        assert_eq!(answer.json::<Value>().await.unwrap()["reason"], reason, "{token}");
    }
    eventually(LIMIT, "a mesh that is ready, which any token may ask", async || {
        let ready =
            http.get(format!("{}/readyz", mesh.address("gateway"))).bearer_auth("reader").send().await;
        (ready.ok()?.status() == 200).then_some(())
    })
    .await
    .unwrap();
    let metrics = format!("{}/metrics", mesh.address("relay"));
    assert_eq!(http.get(&metrics).send().await.unwrap().headers()["grpc-status"], "16");
    let text = http.get(&metrics).bearer_auth("reader").send().await.unwrap().text().await.unwrap();
    assert!(text.contains("rpc_requests_total"), "{text}");
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_come_back() {
    let options = Options::default().with("API_TOKENS", "busy,calm").with("MESH_TOKEN", "between-services");
    let mesh = mesh(options.with("TOKEN_REQUESTS_PER_MINUTE", 6)).await;
    let mut worker = mesh.worker().await.unwrap();
    for _ in 0..6 {
        worker.get_queue_stats(with("busy", GetQueueStatsRequest {})).await.unwrap();
    }
    let status = worker.get_queue_stats(with("busy", GetQueueStatsRequest {})).await.unwrap_err();
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(10), "{wait:?}");
    assert_eq!(told(Err::<(), _>(status)), (Code::ResourceExhausted, "REQUESTS_AT_LIMIT".to_owned()));
    worker.get_queue_stats(with("calm", GetQueueStatsRequest {})).await.unwrap();

    let http = loopback_client();
    let url = format!("{}/readyz", mesh.address("gateway"));
    for _ in 0..6 {
        // Whether all are up does not matter.
        let status = http.get(&url).bearer_auth("busy").send().await.unwrap().status();
        assert!([200, 503].contains(&status.as_u16()), "{status}");
    }
    let refused = http.get(&url).bearer_auth("busy").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");

    let ask = async || {
        let headers = [("authorization", "Bearer calm")];
        by_web(&mesh, &headers, "voice.worker.v1.WorkerService/GetQueueStats", GetQueueStatsRequest {}).await
    };
    for _ in 0..6 {
        ask().await.unwrap();
    }
    let status = ask().await.unwrap_err();
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
    assert_eq!(told(Err::<(), _>(status)), (Code::ResourceExhausted, "REQUESTS_AT_LIMIT".to_owned()));
}

#[tokio::test]
async fn more_streams_than_a_connection_may_have_and_larger_messages_are_refused() {
    let options = Options::default().with("MAX_STREAMS_PER_CONNECTION", 4).with("MAX_MESSAGE_KB", 64);
    let mesh = mesh(options).await;
    let _caller = mesh.phone.ring(CONTEXT).await.unwrap();
    let call_id = mesh.newest_call().await.unwrap();
    let request = WatchCallRequest { call_id, after_sequence: 0 };
    let mut relay = mesh.relay().await.unwrap();
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(relay.watch_call(request.clone()).await.unwrap().into_inner());
    }
    let status = relay.watch_call(request.clone()).await.unwrap_err();
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    assert_eq!(told(Err::<(), _>(status)), (Code::ResourceExhausted, "STREAMS_AT_LIMIT".to_owned()));
    mesh.relay().await.unwrap().list_calls(ListCallsRequest::default()).await.unwrap();
    open.pop();
    eventually(LIMIT, "room for another stream", async || {
        relay.watch_call(request.clone()).await.ok().map(drop)
    })
    .await
    .unwrap();

    let mut tts = mesh.tts().await.unwrap();
    let too_large = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned());
    let text = "a".repeat(70_000);
    let clip =
        tts.create_clip(CreateClipRequest { text: text.clone(), ..CreateClipRequest::default() }).await;
    assert_eq!(told(clip), too_large);
    use voice_proto::tts::v1::{StreamingSynthesizeConfig, streaming_synthesize_request::Payload};
    let config = Payload::Config(StreamingSynthesizeConfig::default());
    let pieces = [config, Payload::Text(text)];
    let pieces = pieces.map(|payload| StreamingSynthesizeRequest { payload: Some(payload) });
    let answer = tts.streaming_synthesize(futures::stream::iter(pieces)).await;
    let ended = match answer {
        Ok(answer) => answer.into_inner().message().await.map(drop),
        Err(status) => Err(status),
    };
    assert_eq!(told(ended), too_large);
}

/// A mesh of two tokens that may have one live call each.
async fn one_call_each() -> Mesh {
    let options = Options::default().with("API_TOKENS", "one,two").with("MESH_TOKEN", "between-services");
    mesh(options.with("TOKEN_CALLS", 1).with("DIAL_ALLOWED_PREFIXES", "+1555")).await
}

fn order(request_id: &str) -> PlaceCallRequest {
    PlaceCallRequest {
        request_id: request_id.into(),
        to_number: "+15557770001".into(),
        from_number: "+15552220000".into(),
        context: CONTEXT.into(),
        ..PlaceCallRequest::default()
    }
}

fn at_limit() -> (Code, String) {
    (Code::ResourceExhausted, "TOKEN_CALLS_AT_LIMIT".to_owned())
}

#[tokio::test]
async fn a_token_has_its_number_of_live_calls_and_no_more() {
    let mesh = one_call_each().await;
    let mut relay = mesh.relay().await.unwrap();
    let first = relay.place_call(with("one", order("a"))).await.unwrap().into_inner().call.unwrap();
    let status = relay.place_call(with("one", order("b"))).await.unwrap_err();
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()));
    assert_eq!(told(Err::<(), _>(status)), at_limit());
    for (token, request_id) in [("two", "c"), ("between-services", "d"), ("between-services", "e")] {
        relay.place_call(with(token, order(request_id))).await.unwrap();
    }
    relay.end_call(with("one", EndCallRequest { call_id: first.call_id })).await.unwrap();
    let again = eventually(LIMIT, "room for another call of the token", async || {
        mesh.relay().await.ok()?.place_call(with("one", order("b"))).await.ok()
    });
    again.await.unwrap();
}

#[tokio::test]
async fn a_call_that_a_token_brings_counts_as_one_that_it_places() {
    let mesh = one_call_each().await;
    let mut relay = mesh.relay().await.unwrap();
    let bring = async |token: &str| {
        let (requests, queue) = tokio::sync::mpsc::channel(1);
        let config = ConverseConfig { context: CONTEXT.into(), ..ConverseConfig::default() };
        let first = ConverseRequest { payload: Some(converse_request::Payload::Config(config)) };
        requests.try_send(first).unwrap();
        let queue = tokio_stream::wrappers::ReceiverStream::new(queue);
        let responses = mesh.relay().await.unwrap().converse(with(token, queue)).await?.into_inner();
        Ok::<_, Status>((requests, responses))
    };
    let conversation = bring("one").await.unwrap();
    assert_eq!(told(bring("one").await), at_limit());
    assert_eq!(told(relay.place_call(with("one", order("a"))).await), at_limit());
    let _other = bring("two").await.unwrap();
    drop(conversation);
    let again = eventually(LIMIT, "room for another call of the token", async || {
        mesh.relay().await.ok()?.place_call(with("one", order("a"))).await.ok()
    });
    again.await.unwrap();
    assert_eq!(told(bring("one").await), at_limit());
}

#[tokio::test]
async fn a_token_has_no_more_calls_through_the_gateway_and_nobody_asks_in_anothers_name() {
    let mesh = one_call_each().await;
    let mut relay = mesh.relay().await.unwrap();
    let place = async |token: &str, request_id: &str, further: &[(&str, &str)]| {
        let token = format!("Bearer {token}");
        let headers = [&[("authorization", token.as_str())], further].concat();
        told(by_web(&mesh, &headers, "voice.relay.v1.RelayService/PlaceCall", order(request_id)).await)
    };
    assert_eq!(place("one", "a", &[]).await, ok());
    assert_eq!(place("one", "b", &[]).await, at_limit());
    assert_eq!(told(relay.place_call(with("one", order("b"))).await), at_limit());
    let another = (ON_BEHALF_OF, "another");
    assert_eq!(place("one", "b", &[another]).await, at_limit());
    let mut disguised = with("one", order("b"));
    disguised.metadata_mut().insert(another.0, another.1.parse().unwrap());
    assert_eq!(told(relay.place_call(disguised).await), at_limit());
    assert_eq!(place("two", "c", &[]).await, ok());
    for request_id in ["d", "e"] {
        assert_eq!(place("between-services", request_id, &[]).await, ok());
    }
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    for (setting, wanted) in [("on", ok()), ("off", (Code::Unimplemented, "METHOD_UNKNOWN".to_owned()))] {
        let mesh = mesh(Options::default().with("REFLECTION", setting)).await;
        for service in ["relay", "worker", "tts"] {
            let mut client = ServerReflectionClient::new(mesh.connect(service).await.unwrap());
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let answer = client.server_reflection_info(futures::stream::iter([request])).await;
            assert_eq!(told(answer), wanted, "{service}");
        }
    }
}
