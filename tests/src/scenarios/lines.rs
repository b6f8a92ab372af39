//! Redis out of reach in mid-call: a line that is cut, and a master that dies.

use prost_types::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use voice_jobs::Jobs;
use voice_proto::{
    relay::v1::CallEvent,
    worker::v1::{CreateJobRequest, GetJobRequest},
};

use super::*;
use crate::{
    mesh::{eventually, own_redis, redis_at},
    redis::{Probe, Sentinel},
    speech::{hosted, spoken, target_folder},
    wire::Wire,
};

/// How long the line is cut.
const CUT: Duration = Duration::from_secs(10);

fn folder() -> std::path::PathBuf {
    let folder = target_folder().join("mesh").join(uuid::Uuid::new_v4().simple().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// When in a turn the line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeTheUtterance,
    BeforeTheTranscript,
    AfterTheTranscript,
}

/// Cuts the lines of some services to Redis. The caller, who was told so, says it again at once.
async fn survives_a_cut_of(services: &[&'static str], moment: Moment) {
    let (_redis, redis_url) = own_redis(&folder()).await.unwrap();
    let wire = Wire::lay(&redis_url).await.unwrap();
    let mesh = mesh(Options {
        redis_url: Some(redis_url),
        own_env: services.iter().map(|service| (*service, "REDIS_URL", wire.url.clone())).collect(),
        ..Options::default()
    })
    .await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    let before = watch.seen.len();
    if moment == Moment::BeforeTheUtterance {
        wire.cut();
    }
    let asked = transcriptions(&mesh).await;
    if moment != Moment::BeforeTheUtterance {
        // So slow, once, that the cut comes in between.
        let slow = json!({ "kind": "slow", "ms": 1_500, "count": 1 });
        mesh.groq.faults(json!({ "stt": slow, "llm": slow })).await.unwrap();
    }
    caller.say(QUESTION).await.unwrap();
    match moment {
        Moment::BeforeTheUtterance => {}
        Moment::BeforeTheTranscript => {
            let begun = async || (transcriptions(&mesh).await > asked).then_some(());
            eventually(LIMIT, "the request for the transcript", begun).await.unwrap();
            wire.cut();
        }
        Moment::AfterTheTranscript => {
            watch.until(LIMIT, transcript).await.unwrap();
            wire.cut();
        }
    }
    mesh.groq.faults(json!({ "stt": null, "llm": null })).await.unwrap();
    let cut = async {
        // It is the fault itself, not a wait for something to happen.
        tokio::time::sleep(CUT).await;
        wire.mend();
    };
    let heard = async {
        let reason = watch.until(LIMIT, failed).await.unwrap();
        assert!(matches!(&*reason, "QUEUE_UNAVAILABLE" | "WORKER_UNAVAILABLE"), "{reason}");
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
    };
    tokio::join!(cut, heard);
    let told: Vec<PlaybackKind> = watch.seen[before..].iter().filter_map(playback).collect();
    let count = |kind| told.iter().filter(|told| **told == kind).count();
    // Both turns may be bridged: one until it is given up, the other until Redis is there again.
    assert!(count(PlaybackKind::Filler) <= 2 && count(PlaybackKind::Apology) == 1, "{told:?}");
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
}

async fn transcriptions(mesh: &Mesh) -> usize {
    let requests = mesh.groq.requests().await.unwrap();
    requests.iter().filter(|request| request["endpoint"] == "stt").count()
}

fn playback(event: &CallEvent) -> Option<PlaybackKind> {
    if let Some(Event::PlaybackStarted(playback)) = &event.event { Some(playback.kind()) } else { None }
}

#[tokio::test]
async fn a_worker_cut_off_from_redis_before_an_utterance_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["worker"], Moment::BeforeTheUtterance).await;
}

#[tokio::test]
async fn a_worker_cut_off_from_redis_before_the_transcript_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["worker"], Moment::BeforeTheTranscript).await;
}

#[tokio::test]
async fn a_worker_cut_off_from_redis_after_the_transcript_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["worker"], Moment::AfterTheTranscript).await;
}

#[tokio::test]
async fn a_relay_cut_off_from_redis_before_an_utterance_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["relay"], Moment::BeforeTheUtterance).await;
}

#[tokio::test]
async fn a_relay_cut_off_from_redis_before_the_transcript_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["relay"], Moment::BeforeTheTranscript).await;
}

#[tokio::test]
async fn a_relay_cut_off_from_redis_after_the_transcript_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["relay"], Moment::AfterTheTranscript).await;
}

#[tokio::test]
async fn all_cut_off_from_redis_before_an_utterance_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["relay", "worker"], Moment::BeforeTheUtterance).await;
}

#[tokio::test]
async fn all_cut_off_from_redis_before_the_transcript_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["relay", "worker"], Moment::BeforeTheTranscript).await;
}

#[tokio::test]
async fn all_cut_off_from_redis_after_the_transcript_costs_an_apology_and_not_the_call() {
    survives_a_cut_of(&["relay", "worker"], Moment::AfterTheTranscript).await;
}

#[tokio::test]
async fn a_call_in_frames_does_not_notice_that_redis_is_cut_off() {
    let (_redis, redis_url) = own_redis(&folder()).await.unwrap();
    let wire = Wire::lay(&redis_url).await.unwrap();
    let own_env = ["relay", "worker", "tts"].map(|service| (service, "REDIS_URL", wire.url.clone()));
    let options = Options { redis_url: Some(redis_url), own_env: own_env.into(), ..Options::default() };
    let mesh = mesh(options.with("CALL_AUDIO", "stream")).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    let before = watch.seen.len();
    wire.cut();
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
    let told: Vec<PlaybackKind> = watch.seen[before..].iter().filter_map(playback).collect();
    // A slow machine is bridged, too.
    assert!(told.iter().all(|kind| matches!(kind, PlaybackKind::Reply | PlaybackKind::Filler)), "{told:?}");
}

#[tokio::test]
async fn the_master_may_die_in_mid_call_when_sentinels_watch_over_it() {
    let mut redis = Sentinel::start(&folder(), "p4ss", "").await.unwrap();
    let mesh = mesh(Options { redis_url: Some(redis.url.clone()), ..Options::default() }).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    let mut recordings = JoinSet::new();
    let recording_uri = hosted(spoken(QUESTION).await.unwrap(), &mut recordings).await.unwrap();
    let soon = jiff::Timestamp::now().as_second() + 3;
    let scheduled = CreateJobRequest {
        job_id: "scheduled".into(),
        recording_uri,
        start_time: Some(Timestamp { seconds: soon, nanos: 0 }),
        ..CreateJobRequest::default()
    };
    let mut worker = mesh.worker().await.unwrap();
    worker.create_job(scheduled).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, thinking).await.unwrap();
    // Only what has been copied survives the master.
    let mut probe = Probe::connect(&redis.servers[0]).await.unwrap();
    probe.ask(&["SET", "copied", "1"]).await.unwrap();
    assert_eq!(probe.ask(&["WAIT", "1", "5000"]).await.unwrap().number(), 1);
    redis.kill_master().await.unwrap();
    // The turn that this interrupts may still be answered in time.
    watch.until(LIMIT, |event| failed(event).or_else(|| started(PlaybackKind::Reply)(event))).await.unwrap();
    watch.until(LIMIT, listening).await.unwrap();
    eventually(LIMIT, "a new master", async || {
        let mut probe = Probe::connect(&redis.servers[1]).await.ok()?;
        (probe.ask(&["ROLE"]).await.ok()?.texts().first()? == "master").then_some(())
    })
    .await
    .unwrap();
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
    let job = eventually(LIMIT, "the scheduled job", async || {
        let request = GetJobRequest { job_id: "scheduled".into() };
        let job = worker.get_job(request).await.ok()?.into_inner().job?;
        job.completed
    });
    assert_eq!(job.await.unwrap().reply, ANSWER);
}

#[tokio::test]
async fn sentinels_may_have_a_password_and_not_know_the_master_yet() {
    let redis = Sentinel::start(&folder(), "p4ss", "requirepass p4ss").await.unwrap();
    Jobs::connect(&redis.url.clone().into(), "celery").unwrap().ping().await.unwrap();
    let unknown = redis.url.replace("/voices", "/others");
    let refused = Jobs::connect(&unknown.into(), "celery").unwrap().ping().await.unwrap_err();
    assert!(refused.to_string().contains("\"others\""), "{refused}");
}

/// One turn while Redis fails, and one when it is well again.
async fn survives(mesh: &Mesh, fail: impl AsyncFnOnce(), mend: impl AsyncFnOnce()) {
    let (caller, mut watch) = greeted(mesh).await;
    ask(&caller, &mut watch).await;
    fail().await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, failed).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    mend().await;
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
}

#[tokio::test]
async fn redis_may_be_gone_and_come_back_empty_in_mid_call() {
    let folder = folder();
    let (mut redis, redis_url) = own_redis(&folder).await.unwrap();
    let mesh = mesh(Options { redis_url: Some(redis_url.clone()), ..Options::default() }).await;
    let port = redis_url.trim_end_matches("/0").rsplit_once(':').unwrap().1.parse().unwrap();
    let mut again = None;
    survives(
        &mesh,
        async || redis.kill().await.unwrap(),
        async || again = Some(redis_at(&folder, port).await.unwrap()),
    )
    .await;
    assert!(again.unwrap().is_running());
}

#[tokio::test]
async fn redis_may_be_out_of_memory_in_mid_call() {
    let mesh = mesh(Options::default()).await;
    let limit = async |memory: &str| {
        let mut probe = Probe::connect(&mesh.env("REDIS_URL")).await.unwrap();
        probe.ask(&["CONFIG", "SET", "maxmemory", memory]).await.unwrap();
    };
    survives(&mesh, async || limit("1mb").await, async || limit("0").await).await;
}
