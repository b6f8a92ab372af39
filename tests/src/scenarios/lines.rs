//! Redis out of reach in mid-call: a line that is cut, and a master that dies.

use prost_types::Timestamp;
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

/// Cuts the line of one service to Redis while a turn is worked on.
async fn survives_a_cut_of(service: &'static str) {
    let (_redis, redis_url) = own_redis(&folder()).await.unwrap();
    let wire = Wire::lay(&redis_url).await.unwrap();
    let mesh = mesh(Options {
        redis_url: Some(redis_url),
        own_env: vec![(service, "REDIS_URL", wire.url.clone())],
        groq_args: vec!["--first-token-ms".into(), "1500".into()],
        ..Options::default()
    })
    .await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, transcript).await.unwrap();
    let before = watch.seen.len();
    wire.cut();
    let cut = async {
        // It is the fault itself, not a wait for something to happen.
        tokio::time::sleep(CUT).await;
        wire.mend();
    };
    let heard = async {
        assert_eq!(watch.until(LIMIT, failed).await.unwrap(), "TURN_DEADLINE");
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
    };
    tokio::join!(cut, heard);
    let told: Vec<PlaybackKind> = watch.seen[before..].iter().filter_map(playback).collect();
    // The wait is bridged for as long as it lasts, and ends with one apology.
    let (last, bridged) = told.split_last().unwrap();
    assert_eq!(*last, PlaybackKind::Apology, "{told:?}");
    assert!(bridged.iter().all(|kind| *kind == PlaybackKind::Filler), "{told:?}");
    ask(&caller, &mut watch).await;
    assert!(replies(&watch).join(" ").ends_with(ANSWER));
}

fn playback(event: &CallEvent) -> Option<PlaybackKind> {
    if let Some(Event::PlaybackStarted(playback)) = &event.event { Some(playback.kind()) } else { None }
}

#[tokio::test]
async fn a_worker_cut_off_from_redis_for_ten_seconds_costs_an_apology_and_not_the_call() {
    survives_a_cut_of("worker").await;
}

#[tokio::test]
async fn a_relay_cut_off_from_redis_for_ten_seconds_costs_an_apology_and_not_the_call() {
    survives_a_cut_of("relay").await;
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
