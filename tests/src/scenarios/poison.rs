//! A job that kills whoever runs it, beside others that only stand by.

use futures::StreamExt as _;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use voice_jobs::{NewJob, Progress};

use super::{
    crashes::{Plant, TASK, Way},
    *,
};
use crate::speech::{host, spoken};

#[tokio::test]
async fn of_the_jobs_whose_workers_die_again_and_again_only_the_one_that_kills_them_is_given_up() {
    let mut plant = Plant::build(Way::Straight).await.unwrap();
    // Its recording never comes, so that it is never done before its worker is dead.
    let silence = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}/recording.wav", silence.local_addr().unwrap());
    // Theirs comes once it is known that they have stood by, so that they are not done before.
    let held_back = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let later = format!("http://{}/recording.wav", held_back.local_addr().unwrap());
    let (mut held_back, mut recordings) = (Some(held_back), JoinSet::new());
    let job = |url: &str| NewJob { args: vec!["call".into(), url.into(), json!([])], ..NewJob::new(TASK) };
    let killer = job(&nowhere);
    let bystanders = [(); 3].map(|()| job(&later));
    for new in bystanders.iter().chain([&killer]) {
        plant.jobs.enqueue(new).await.unwrap();
    }
    plant.replace_worker().await.unwrap();
    let mut events = Box::pin(plant.jobs.watch(&killer.id, 0));
    let mut deaths = 0;
    loop {
        let event = tokio::time::timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap();
        match event.event {
            Progress::Started { .. } => {
                plant.workers.last_mut().unwrap().kill().await.unwrap();
                deaths += 1;
                if deaths == 3 {
                    let recording = spoken(QUESTION).await.unwrap();
                    host(held_back.take().unwrap(), recording, &mut recordings);
                }
                plant.replace_worker().await.unwrap();
            }
            Progress::Failed { reason, .. } => {
                assert_eq!(reason, "WorkerLostError");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut most_starts = 0;
    for new in &bystanders {
        let events = plant.jobs.watch(&new.id, 0).map(|event| event.unwrap().event);
        let events: Vec<_> = tokio::time::timeout(LIMIT, events.collect()).await.unwrap();
        assert!(matches!(events.last(), Some(Progress::Completed { .. })), "{events:?}");
        let starts = events.iter().filter(|event| matches!(event, Progress::Started { .. })).count();
        most_starts = most_starts.max(starts);
    }
    assert!(most_starts > 3, "nobody stood by at three deaths");
    let dead = plant.jobs.dead(0, 10).await.unwrap();
    let dead: Vec<_> = dead.iter().map(|dead| (dead.reason.as_str(), dead.job_id.as_str())).collect();
    assert_eq!(dead, [("KILLS_WORKERS", killer.id.as_str())]);
}
