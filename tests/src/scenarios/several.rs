//! Several instances of every service: any relay answers for all calls, and calls by both doors go on while any one
//! process is killed, started again or asked to stop.

use std::{collections::BTreeSet, fs};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use tonic::{Code, Request, transport::Channel};
use tonic_types::StatusExt as _;
use voice_ledger::RelayId;
use voice_proto::relay::v1::{
    ConverseConfig, EndCallRequest, GetCallRequest, ListCallsRequest, PlaceCallRequest, SayRequest,
    SendDigitsRequest, TransferCallRequest, relay_service_client::RelayServiceClient,
};
use voice_server::{media_token::MediaToken, status::reason_of};

use super::*;
use crate::{leg::AudioCaller, mesh::eventually};

/// The context whose calls come in frames.
const FRAMES: &str = "frames";

pub(super) const RELAYS: [&str; 2] = ["relay", "relay-2"];

/// Two relays.
pub(super) async fn two_relays(options: Options) -> Mesh {
    let mesh = mesh(Options { more: vec!["relay-2"], ..options }).await;
    both_known(&mesh).await;
    mesh
}

/// Waits until both relays are at the platform and each knows of the other.
pub(super) async fn both_known(mesh: &Mesh) {
    eventually(LIMIT, "two relays at the platform", async || {
        let stats = mesh.phone.stats().await.ok()?;
        (stats["open_sockets"].as_u64()? == 2).then_some(())
    })
    .await
    .unwrap();
}

pub(super) async fn relay(mesh: &Mesh, name: &str) -> RelayServiceClient<Channel> {
    RelayServiceClient::new(mesh.connect(name).await.unwrap())
}

/// The relay that has a call, and the other one.
pub(super) fn owner(mesh: &Mesh, call_id: &str) -> (&'static str, &'static str) {
    let [one, two] = RELAYS;
    if RelayId::of(&mesh.address(one)).owns(call_id) { (one, two) } else { (two, one) }
}

/// All calls, page by page; from the first page again where the other relay was too busy to say which it has.
async fn listed(mesh: &Mesh, by: &str, page_size: i32) -> Vec<String> {
    let listed = eventually(LIMIT, "a list of the calls of both relays", async || {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListCallsRequest { page_size, page_token, ..ListCallsRequest::default() };
            let page = relay(mesh, by).await.list_calls(request).await.unwrap().into_inner();
            if !page.unreachable_relays.is_empty() {
                return None;
            }
            all.extend(page.calls.into_iter().map(|call| call.call_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Some(all);
            }
        }
    });
    listed.await.unwrap()
}

/// Rings, and waits until a new call is listed; gives its id.
pub(super) async fn ring(mesh: &Mesh, context: &str) -> (Caller, String) {
    let before: BTreeSet<_> = listed(mesh, "relay", 0).await.into_iter().collect();
    let caller = mesh.phone.ring(context).await.unwrap();
    let new = eventually(LIMIT, "the new call", async || {
        listed(mesh, "relay", 0).await.into_iter().find(|call_id| !before.contains(call_id))
    });
    (caller, new.await.unwrap())
}

#[tokio::test]
async fn any_relay_lists_reads_watches_and_conducts_the_calls_of_all() {
    let mut mesh = two_relays(Options::default().with("DIAL_ALLOWED_PREFIXES", "+1555")).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.insert(0, ring(&mesh, CONTEXT).await.1);
    }
    let owners: BTreeSet<_> = ids.iter().map(|call_id| owner(&mesh, call_id).0).collect();
    assert_eq!(owners.len(), 2, "calls are spread: {ids:?}");
    for by in RELAYS {
        for page_size in [0, 1, 3] {
            assert_eq!(listed(&mesh, by, page_size).await, ids, "{by}, {page_size}");
        }
    }
    for call_id in &ids {
        let mut other = relay(&mesh, owner(&mesh, call_id).1).await;
        let call_id = call_id.clone();
        let mut watch = mesh.watch_by(owner(&mesh, &call_id).1, &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
        let read = other.get_call(GetCallRequest { call_id: call_id.clone() }).await.unwrap();
        assert_eq!(read.into_inner().call.unwrap().call_id, call_id);
        let say = SayRequest { call_id: call_id.clone(), text: "One moment.".into(), interrupt: false };
        other.say(say).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Say)).await.unwrap();
        let digits = SendDigitsRequest { call_id: call_id.clone(), digits: "1".into() };
        other.send_digits(digits).await.unwrap();
        let sent = |event: &Event| matches!(event, Event::DigitsSent(_)).then_some(());
        watch.until(LIMIT, sent).await.unwrap();
        let transfer =
            TransferCallRequest { call_id: call_id.clone(), to_number: "+4930123456".into(), warm: None };
        let refused = other.transfer_call(transfer).await.unwrap_err();
        assert_eq!(reason_of(&refused).as_deref(), Some("DIAL_NOT_ALLOWED"), "the owner's own words");
        other.end_call(EndCallRequest { call_id }).await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
    }
    for by in RELAYS {
        let nobody = GetCallRequest { call_id: "nobody".into() };
        let status = relay(&mesh, by).await.get_call(nobody).await.unwrap_err();
        assert_eq!(reason_of(&status).as_deref(), Some("CALL_NOT_FOUND"));
    }
    mesh.child("relay-2").kill().await.unwrap();
    let lost = ids.iter().find(|call_id| owner(&mesh, call_id).0 == "relay-2").unwrap();
    let status =
        relay(&mesh, "relay").await.get_call(GetCallRequest { call_id: lost.clone() }).await.unwrap_err();
    let told = (status.code(), reason_of(&status));
    assert_eq!(told, (Code::Unavailable, Some("SERVICE_UNAVAILABLE".to_owned())));
    let page =
        relay(&mesh, "relay").await.list_calls(ListCallsRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.unreachable_relays, [mesh.address("relay-2")]);
    let own: Vec<_> = ids.into_iter().filter(|call_id| owner(&mesh, call_id).0 == "relay").collect();
    assert_eq!(page.calls.into_iter().map(|call| call.call_id).collect::<Vec<_>>(), own);
}

#[tokio::test]
async fn a_request_places_one_call_and_a_day_has_its_number_whichever_relay_is_asked() {
    let options = Options::default().with("DIAL_ALLOWED_PREFIXES", "+1555").with("DIAL_DAILY_CAP", 2);
    let mesh = two_relays(options).await;
    let order = |request_id: &str, to: &str| PlaceCallRequest {
        request_id: request_id.into(),
        to_number: to.into(),
        from_number: "+15552220000".into(),
        context: CONTEXT.into(),
        ..PlaceCallRequest::default()
    };
    let place = async |by: &str, request_id: &str, to: &str| {
        let placed = relay(&mesh, by).await.place_call(order(request_id, to)).await;
        placed.map(|placed| placed.into_inner().call.unwrap().call_id)
    };
    let (first, same) =
        tokio::join!(place("relay", "one", "+15557770001"), place("relay-2", "one", "+15557770001"));
    let first = first.unwrap();
    assert_eq!(first, same.unwrap());
    eventually(LIMIT, "one call", async || {
        let called = mesh.phone.called("+15557770001").await.unwrap();
        (called.len() == 1).then_some(())
    })
    .await
    .unwrap();
    let status = place("relay-2", "one", "+15557770002").await.unwrap_err();
    assert_eq!(reason_of(&status).as_deref(), Some("REQUEST_ID_REUSED"));
    place("relay-2", "two", "+15557770002").await.unwrap();
    for by in RELAYS {
        let status = place(by, "three", "+15557770003").await.unwrap_err();
        assert_eq!(reason_of(&status).as_deref(), Some("DIAL_CAP_REACHED"), "{by}");
        assert_eq!(place(by, "one", "+15557770001").await.unwrap(), first, "what is done is done");
    }
    assert_eq!(mesh.phone.called("+15557770001").await.unwrap().len(), 1);
}

#[tokio::test]
async fn audio_for_a_call_of_another_relay_is_refused_with_that_ones_address() {
    let mesh = two_relays(Options::default()).await;
    let (_caller, call_id) = ring(&mesh, CONTEXT).await;
    let (owner, other) = owner(&mesh, &call_id);
    let key = mesh.env("VOICE_SECRET_KEY").into();
    let bring = async |by: &str, call_id: &str| {
        let token = MediaToken::new(call_id, &mesh.address(owner), Timestamp::now()).sign(&key);
        let config = ConverseConfig { media_token: token, ..ConverseConfig::default() };
        AudioCaller::begin(relay(&mesh, by).await, config).await.unwrap_err()
    };
    let refused = bring(other, &call_id).await;
    assert_eq!(
        (refused.code(), reason_of(&refused).as_deref()),
        (Code::FailedPrecondition, Some("CALL_ELSEWHERE"))
    );
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.metadata["relay_addr"], mesh.address(owner));
    let unknown = format!("{}-0193", RelayId::of(&mesh.address(owner)));
    let refused = bring(owner, &unknown).await;
    assert_eq!(
        reason_of(&refused).as_deref(),
        Some("MEDIA_TOKEN_REFUSED"),
        "a call that is over is not begun again"
    );
}

#[tokio::test]
async fn a_call_that_a_document_conducts_is_begun_anew_by_the_other_relay() {
    let mut mesh = two_relays(Options::default()).await;
    let voice_url = format!("{}/webhooks/signalwire/voice", mesh.env("PUBLIC_BASE_URL"));
    let caller = mesh.phone.ring_document(&voice_url).await.unwrap();
    let call_id = mesh.newest_call().await.unwrap();
    // As another relay would ask, so that this one answers for itself alone.
    let mut request = Request::new(GetCallRequest { call_id: call_id.clone() });
    request.metadata_mut().insert("voice-passed-on", "1".parse().unwrap());
    let is_first = relay(&mesh, RELAYS[0]).await.get_call(request).await.is_ok();
    let [one, two] = RELAYS;
    let (owner, other) = if is_first { (one, two) } else { (two, one) };
    let mut watch = mesh.watch_by(other, &call_id, 0).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    mesh.child(owner).kill().await.unwrap();
    let mut watch = mesh.watch_by(other, &call_id, 0).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
}

/// A call under test.
struct Talk {
    caller: Caller,
    call_id: String,
    watch: Watch,
    /// The newest event before the fault.
    mark: i64,
}

impl Talk {
    async fn begin(mesh: &Mesh, context: &str) -> Self {
        let (caller, call_id) = ring(mesh, context).await;
        let mut watch = mesh.watch_by("relay", &call_id, 0).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
        Self { caller, call_id, watch, mark: 0 }
    }

    fn newest(&self) -> i64 {
        self.watch.seen.last().map_or(0, |event| event.sequence)
    }

    /// Waits until the question that was asked before the fault is answered, or excused. A watch that broke goes on by
    /// a relay that was not killed.
    async fn settle(&mut self, mesh: &Mesh, fault: &str, by: &str) {
        let told = |event: &Event| match event {
            Event::PlaybackFinished(playback)
                if matches!(playback.kind(), PlaybackKind::Reply | PlaybackKind::Apology) =>
            {
                Some(())
            }
            _ => None,
        };
        for _ in 0..3 {
            if self.watch.until(LIMIT, told).await.is_ok() && self.watch.until(LIMIT, listening).await.is_ok()
            {
                return;
            }
            self.watch = mesh.watch_by(by, &self.call_id, self.newest().max(self.mark)).await.unwrap();
        }
        let since: Vec<_> = self.watch.seen.iter().filter(|event| event.sequence > self.mark).collect();
        panic!("{fault}: {} was neither answered nor excused: {since:#?}", self.call_id);
    }

    /// There was one apology at most since the fault. One that the caller has talked over, and that goes on, is one.
    fn assert_one_apology(&self, fault: &str) {
        let since = self.watch.seen.iter().filter(|event| event.sequence > self.mark);
        let since: Vec<_> = since.filter_map(|event| event.event.as_ref()).collect();
        let is_apology = |kind| kind == PlaybackKind::Apology;
        let begun = |event: &&&Event| matches!(event, Event::PlaybackStarted(it) if is_apology(it.kind()));
        let goes_on =
            |event: &&&Event| matches!(event, Event::InterruptionRepaired(it) if is_apology(it.kind()));
        let (begun, going_on) = (since.iter().filter(begun).count(), since.iter().filter(goes_on).count());
        assert!(begun <= 1 + going_on, "{fault}: {begun} apologies, {going_on} of them again: {since:#?}");
    }

    async fn answered(&mut self) {
        ask(&self.caller, &mut self.watch).await;
        let last = replies(&self.watch).pop().unwrap();
        assert!(ANSWER.ends_with(&last), "{last}");
    }
}

/// Everybody asks; then the fault; then everybody is answered or excused, once, and answered again.
async fn through(
    mesh: &mut Mesh,
    talks: &mut [Talk],
    fault: &str,
    by: &str,
    act: impl AsyncFnOnce(&mut Mesh),
) {
    for talk in talks.iter_mut() {
        talk.mark = talk.newest();
        talk.caller.say(QUESTION).await.unwrap();
    }
    act(mesh).await;
    let mesh = &*mesh;
    join_all(talks.iter_mut().map(|talk| talk.settle(mesh, fault, by))).await;
    talks.iter().for_each(|talk| talk.assert_one_apology(fault));
    join_all(talks.iter_mut().map(Talk::answered)).await;
    talks.iter().for_each(|talk| talk.assert_one_apology(fault));
}

#[tokio::test]
async fn calls_by_both_doors_go_on_while_any_one_process_is_killed_started_again_or_drained() {
    let folder = tempfile::tempdir().unwrap();
    let assistants = folder.path().join("assistants.toml");
    fs::write(&assistants, "[contexts.frames]\ndoor = \"stream\"\n").unwrap();
    let options = Options::default()
        .with("ASSISTANTS_FILE", assistants.display())
        .with("SIGNALWIRE_CONTEXTS", format!("{CONTEXT},{FRAMES}"))
        .with("DRAIN_SECONDS", 2);
    let more = vec!["relay-2", "worker-2", "worker-3", "tts-2", "gateway-2"];
    // Its goodbyes are to be heard, however busy the machine is.
    let own_env = vec![("relay-2", "DRAIN_SECONDS", "30".to_owned())];
    let mut mesh = mesh(Options { own_env, more, ..options }).await;
    both_known(&mesh).await;
    let mut talks = Vec::new();
    for context in [CONTEXT, FRAMES, CONTEXT, FRAMES] {
        talks.push(Talk::begin(&mesh, context).await);
    }
    for (victim, by) in [
        ("worker", "relay"),
        ("tts", "relay"),
        ("gateway", "relay"),
        ("relay", "relay-2"),
        ("relay-2", "relay"),
    ] {
        through(&mut mesh, &mut talks, victim, by, async |mesh| {
            mesh.child(victim).kill().await.unwrap();
            mesh.restart(victim).await.unwrap();
        })
        .await;
    }
    for victim in ["worker-2", "tts-2", "gateway-2"] {
        through(&mut mesh, &mut talks, victim, "relay", async |mesh| {
            mesh.child(victim).signal("TERM").await.unwrap();
            mesh.child(victim).wait(LIMIT).await.unwrap();
        })
        .await;
        mesh.restart(victim).await.unwrap();
    }
    // Its own calls are told goodbye; the others do not notice.
    mesh.child("relay-2").signal("TERM").await.unwrap();
    let (mut leaving, mut staying): (Vec<_>, Vec<_>) =
        talks.into_iter().partition(|talk| owner(&mesh, &talk.call_id).0 == "relay-2");
    assert!(!leaving.is_empty() && !staying.is_empty(), "calls are spread over the relays");
    for talk in &mut leaving {
        talk.watch.until(LIMIT, started(PlaybackKind::Goodbye)).await.unwrap();
        talk.watch.to_end(LIMIT).await.unwrap();
    }
    assert_eq!(mesh.child("relay-2").wait(LIMIT).await.unwrap(), Some(0));
    join_all(staying.iter_mut().map(Talk::answered)).await;
    let mut next = Talk::begin(&mesh, FRAMES).await;
    next.answered().await;
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<Value>::new());
}
