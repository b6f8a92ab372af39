//! Messages that no service can read: every RPC says the same of them. What becomes of a stream in which one comes is in
//! the table of `streams`.

use bytes::Bytes;
use tonic::{Code, Status, codec::CompressionEncoding::Gzip};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use voice_proto::{
    relay::v1::{
        ConverseRequest, ListCallsRequest, WatchCallRequest, relay_service_client::RelayServiceClient,
    },
    tts::v1::{ListVoicesRequest, tts_service_client::TtsServiceClient},
    worker::v1::{GetQueueStatsRequest, worker_service_client::WorkerServiceClient},
};
use voice_server::{methods::METHODS, status::reason_of};

use super::{
    streams::{GARBAGE, raw::Exchange},
    *,
};

const SERVICES: [&str; 3] = ["relay", "worker", "tts"];

/// Code and reason.
fn told<T>(answer: Result<T, Status>) -> (Code, String) {
    let Err(status) = answer else { return (Code::Ok, String::new()) };
    (status.code(), reason_of(&status).unwrap_or_default())
}

/// The answer of an RPC to these messages and no more.
async fn answer(mesh: &Mesh, rpc: &'static str, messages: Vec<Bytes>) -> Result<Vec<Bytes>, Status> {
    let service = SERVICES.into_iter().find(|service| rpc.starts_with(&format!("/voice.{service}.")));
    let channel = mesh.connect(service.unwrap()).await.unwrap();
    let mut exchange = Exchange::ask(&channel, rpc, messages, None).await?;
    let mut responses = Vec::new();
    while let Some(response) = exchange.next().await? {
        responses.push(response);
    }
    Ok(responses)
}

#[tokio::test]
async fn bytes_that_are_no_message_are_told_alike_by_every_rpc() {
    let mesh = mesh(Options::default()).await;
    let malformed = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned());
    for method in METHODS {
        let alone = answer(&mesh, method.path, vec![Bytes::from_static(GARBAGE)]).await;
        assert_eq!(told(alone), malformed, "{}", method.path);
    }
    // Of several requests where one is due the first one is answered, but all are read.
    let list_calls = "/voice.relay.v1.RelayService/ListCalls";
    let wrong = prost::Message::encode_to_vec(&ListCallsRequest { page_size: -1, ..Default::default() });
    let two = answer(&mesh, list_calls, vec![Bytes::new(), wrong.into()]).await;
    assert_eq!(two.unwrap().len(), 1);
    let second = answer(&mesh, list_calls, vec![Bytes::new(), Bytes::from_static(GARBAGE)]).await;
    assert_eq!(told(second), malformed);
}

#[tokio::test]
async fn compressed_messages_are_refused_with_what_is_taken_instead() {
    let mesh = mesh(Options::default()).await;
    let [relay, worker, tts] =
        futures::future::join_all(SERVICES.map(async |service| mesh.connect(service).await.unwrap()))
            .await
            .try_into()
            .unwrap();
    let mut health = HealthClient::new(relay.clone()).send_compressed(Gzip);
    let mut relay = RelayServiceClient::new(relay).send_compressed(Gzip);
    let mut worker = WorkerServiceClient::new(worker).send_compressed(Gzip);
    let mut tts = TtsServiceClient::new(tts).send_compressed(Gzip);
    let config = futures::stream::iter([ConverseRequest::default()]);
    let answers = [
        relay.list_calls(ListCallsRequest::default()).await.map(drop),
        relay.watch_call(WatchCallRequest::default()).await.map(drop),
        relay.converse(config).await.map(drop),
        worker.get_queue_stats(GetQueueStatsRequest {}).await.map(drop),
        tts.list_voices(ListVoicesRequest {}).await.map(drop),
        health.check(HealthCheckRequest::default()).await.map(drop),
    ];
    for answer in answers {
        let status = answer.unwrap_err();
        assert_eq!(status.metadata().get("grpc-accept-encoding").unwrap(), "identity");
        let expected = (Code::Unimplemented, "COMPRESSION_UNSUPPORTED".to_owned());
        assert_eq!(told(Err::<(), _>(status)), expected);
    }
}
