//! The queue in the hands of stock Celery and Flower.

use std::process::Stdio;

use tokio::task::JoinSet;

use super::*;
use crate::{
    mesh::eventually,
    speech::{hosted, spoken},
};

/// Of the stock worker.
const NAME: &str = "python@localhost";

#[tokio::test]
async fn stock_celery_and_flower_work_with_our_worker() {
    let mesh = mesh(Options::default().with("JOB_QUEUE", "celery")).await;
    let mut tasks = JoinSet::new();
    let url = hosted(spoken(QUESTION).await.unwrap(), &mut tasks).await.unwrap();
    let run =
        python("python").args(["celery_py.py", &mesh.env("REDIS_URL"), &url, QUESTION, ANSWER]).output();
    let output = tokio::time::timeout(LIMIT * 12, run).await.unwrap().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

#[tokio::test]
async fn a_stock_celery_worker_may_serve_a_call() {
    let mut mesh = mesh(Options::default()).await;
    mesh.child("worker").kill().await.unwrap();
    let _worker = python("celery")
        .args(["-A", "celery_worker", "worker", "--pool", "solo", "--loglevel", "warning", "-n", NAME])
        .args(["-Q", &mesh.env("JOB_QUEUE")])
        .env("REDIS_URL", mesh.env("REDIS_URL"))
        .env("JOB_QUEUE", mesh.env("JOB_QUEUE"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Python takes its time to start, and here it starts again for each look.
    eventually(LIMIT * 3, "the python worker", async || {
        let mut ping = python("celery");
        ping.args(["-b", &mesh.env("REDIS_URL"), "inspect", "ping", "-d", NAME, "-t", "10"]);
        ping.output().await.ok()?.status.success().then_some(())
    })
    .await
    .unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    for turn in ["one", "two"] {
        caller.say(QUESTION).await.unwrap();
        let said = watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
        assert_eq!(said, format!("A python answers, turn {turn}."));
        watch.until(LIMIT, listening).await.unwrap();
    }
}
