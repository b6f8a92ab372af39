//! A relay that dies, or stands still, between taking a request to place a call and dialling: whoever asks again has
//! his call, and nobody's telephone rings twice.

use tonic::Status;
use voice_proto::relay::v1::{
    EndReason, GetCallRequest, PlaceCallRequest, relay_service_client::RelayServiceClient,
};

use super::*;
use crate::{
    child::Child,
    mesh::{eventually, own_redis},
    speech::target_folder,
    wire::{Point, Stop, When, Wire},
};

const FRIEND: &str = "+15557770001";

/// Two relays, of which the second one has a wire to Redis that can be stopped.
struct Stage {
    mesh: Mesh,
    wire: Wire,
    _redis: Child,
}

impl Stage {
    async fn set() -> Self {
        let folder = target_folder().join("mesh").join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let (redis, redis_url) = own_redis(&folder).await.unwrap();
        let wire = Wire::lay(&redis_url).await.unwrap();
        let options = Options {
            redis_url: Some(redis_url),
            own_env: vec![("relay-2", "REDIS_URL", wire.url.clone())],
            more: vec!["relay-2"],
            ..Options::default()
        };
        let mesh = mesh(options.with("DIAL_ALLOWED_PREFIXES", "+1555")).await;
        let stage = Self { mesh, wire, _redis: redis };
        stage.connected(2).await;
        stage
    }

    async fn connected(&self, relays: u64) {
        eventually(LIMIT, "the relays at the platform", async || {
            let stats = self.mesh.phone.stats().await.ok()?;
            (stats["open_sockets"].as_u64()? == relays).then_some(())
        })
        .await
        .unwrap();
    }

    /// The second relay's next call is stopped right before it is dialled.
    fn stop_before_dialling(&self) -> Stop {
        let (command, with) = ("dialling".to_owned(), String::new());
        self.wire.stop_at(Point { command, when: When::Before, with, once_seen: String::new() })
    }

    /// Places the one call; gives its id.
    async fn place(&self, by: &str) -> Result<String, Status> {
        let request = PlaceCallRequest {
            request_id: "one".into(),
            to_number: FRIEND.into(),
            from_number: "+15552220000".into(),
            context: CONTEXT.into(),
            ..PlaceCallRequest::default()
        };
        let mut relay = RelayServiceClient::new(self.mesh.connect(by).await.unwrap());
        Ok(relay.place_call(request).await?.into_inner().call.unwrap().call_id)
    }

    async fn dialled(&self) -> usize {
        self.mesh.phone.called(FRIEND).await.unwrap().len()
    }

    async fn until_dialled(&self) {
        let dialled = async || (self.dialled().await > 0).then_some(());
        eventually(LIMIT, "a telephone that rings", dialled).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_whose_relay_dies_before_it_dials_is_placed_by_whoever_is_asked_next() {
    let mut stage = Stage::set().await;
    let stop = stage.stop_before_dialling();
    let lost = stage.place("relay-2").await.unwrap();
    stop.reached.await.unwrap();
    stage.mesh.child("relay-2").kill().await.unwrap();
    assert_eq!(stage.dialled().await, 0);
    let call_id = stage.place("relay").await.unwrap();
    assert_ne!(call_id, lost);
    stage.until_dialled().await;
    stage.mesh.restart("relay-2").await.unwrap();
    stage.connected(2).await;
    for by in ["relay", "relay-2"] {
        assert_eq!(stage.place(by).await.unwrap(), call_id, "{by}");
    }
    assert_eq!(stage.dialled().await, 1);
}

#[tokio::test]
async fn a_relay_that_stood_still_does_not_dial_what_another_one_has_dialled_meanwhile() {
    let mut stage = Stage::set().await;
    let stop = stage.stop_before_dialling();
    let replaced = stage.place("relay-2").await.unwrap();
    let Stop { reached, go_on } = stop;
    reached.await.unwrap();
    stage.mesh.child("relay-2").signal("STOP").await.unwrap();
    let call_id = stage.place("relay").await.unwrap();
    assert_ne!(call_id, replaced);
    stage.until_dialled().await;
    stage.mesh.child("relay-2").signal("CONT").await.unwrap();
    drop(go_on);
    let ended = eventually(LIMIT, "the end of the call that was replaced", async || {
        let mut relay = RelayServiceClient::new(stage.mesh.connect("relay-2").await.ok()?);
        let request = GetCallRequest { call_id: replaced.clone() };
        let call = relay.get_call(request).await.ok()?.into_inner().call?;
        call.end_time.map(|_| call.end_reason())
    });
    assert_eq!(ended.await.unwrap(), EndReason::DialFailed);
    assert_eq!(stage.dialled().await, 1);
}

#[tokio::test]
async fn a_call_that_was_dialled_is_not_dialled_again_though_its_relay_has_died() {
    let mut stage = Stage::set().await;
    stage.place("relay-2").await.unwrap();
    stage.until_dialled().await;
    stage.mesh.child("relay-2").kill().await.unwrap();
    stage.place("relay").await.unwrap_err();
    assert_eq!(stage.dialled().await, 1);
}
