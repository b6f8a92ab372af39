//! The budget against a real Redis.

use deadpool_redis::redis::AsyncCommands as _;
use futures::future::join_all;
use voice_redis::server::Server;

use super::*;

const SPEECH: &str = "canopylabs/orpheus-v1-english";
const STT: &str = "whisper-large-v3";

fn quota(redis: &Server) -> Quota {
    Quota::new(&redis.url().into(), Plan::Free).unwrap()
}

/// All that was taken from a limit.
async fn taken(redis: &Server, model: &str, limit: &str) -> u64 {
    let key = format!("voice:quota:{model}:{limit}");
    let taken: Vec<u64> = redis.connection().await.hvals(key).await.unwrap();
    taken.iter().sum()
}

/// Waits until there is a connection, so that nothing goes out unreserved.
async fn connected(quota: &Quota) {
    while quota.connected().await.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As often as possible: the answers of a busy machine may come too late to count.
async fn granted(quota: &Quota, model: &str, cost: Cost, asked: usize) -> usize {
    let answers = join_all((0..asked).map(|_| quota.ask(model, &[]))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Some(Ok(0)))), "no limits, no waits");
    let limits = quota.inner.plan.limits(model, cost);
    let answers = join_all((0..asked).map(|_| quota.ask(model, &limits))).await;
    answers.into_iter().filter(|answer| answer.as_ref().unwrap().as_ref().unwrap() == &0).count()
}

#[tokio::test]
async fn processes_that_share_a_redis_share_ten_requests_a_minute() {
    let redis = Server::start(&[]).await;
    let (one, two) = (quota(&redis), quota(&redis));
    tokio::join!(connected(&one), connected(&two));
    let cost = Cost::default();
    let (first, second) = tokio::join!(granted(&one, SPEECH, cost, 20), granted(&two, SPEECH, cost, 20));
    assert_eq!(first + second, 10);
    let refused = loop {
        if let Err(refused) = one.reserve(SPEECH, cost).await {
            break refused;
        }
    };
    assert_eq!(refused.model, SPEECH);
    assert!((Duration::from_secs(30)..=Duration::from_secs(61)).contains(&refused.retry_after), "{refused}");
}

#[tokio::test]
async fn what_is_only_nice_to_have_leaves_the_rest_of_the_plan_to_others() {
    let redis = Server::start(&[]).await;
    let quota = quota(&redis);
    connected(&quota).await;
    let cost = Cost::default();
    // Half of ten; late answers go out unreserved, so the end is what counts.
    while quota.reserve_within(SPEECH, cost, 50).await.is_ok() {}
    assert_eq!(taken(&redis, SPEECH, "requests-minute").await, 5);
    assert_eq!(granted(&quota, SPEECH, cost, 20).await, 5);
}

#[tokio::test]
async fn a_refusal_takes_nothing_and_each_model_has_a_budget_of_its_own() {
    let redis = Server::start(&[]).await;
    let quota = quota(&redis);
    connected(&quota).await;
    let long = Cost { audio_seconds: 3_000, ..Cost::default() };
    // The third one would be more audio than an hour allows; its request is not counted either.
    assert_eq!(granted(&quota, STT, long, 5).await, 2);
    assert_eq!(taken(&redis, STT, "requests-minute").await, 2);
    assert_eq!(taken(&redis, STT, "audio-hour").await, 6_000);
    assert_eq!(granted(&quota, SPEECH, Cost { tokens: 50, ..Cost::default() }, 3).await, 3);
    assert_eq!(taken(&redis, SPEECH, "tokens-day").await, 150);
}

#[tokio::test]
async fn what_has_left_the_window_is_free_again() {
    let redis = Server::start(&[]).await;
    let quota = quota(&redis);
    connected(&quota).await;
    let limit = Limit { name: "short", window: Duration::from_secs(4), most: 1, amount: 1 };
    let ask = async || quota.ask("m", &[limit]).await.unwrap().unwrap();
    assert_eq!(ask().await, 0);
    let wait = ask().await;
    assert!((1..=4_100).contains(&wait), "{wait}");
    tokio::time::timeout(Duration::from_secs(30), async { while ask().await != 0 {} }).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_larger_than_the_limit_takes_all_of_it_and_is_the_providers_to_refuse() {
    let redis = Server::start(&[]).await;
    let quota = quota(&redis);
    connected(&quota).await;
    let huge = Cost { tokens: 1_000_000, ..Cost::default() };
    assert_eq!(granted(&quota, "openai/gpt-oss-20b", huge, 2).await, 1);
}

#[tokio::test]
async fn without_redis_requests_go_out_unreserved_and_it_is_found_again() {
    let mut redis = Server::start(&[]).await;
    let quota = quota(&redis);
    connected(&quota).await;
    assert_eq!(granted(&quota, SPEECH, Cost::default(), 10).await, 10);
    redis.stop();
    for _ in 0..50 {
        quota.reserve(SPEECH, Cost::default()).await.unwrap();
    }
    assert!(quota.state().link.is_none(), "it is left alone");
    redis.start_again().await;
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(30), async {
            connected(&quota).await;
            granted(&quota, SPEECH, Cost::default(), 11).await
        })
        .await
        .unwrap(),
        10
    );
}

#[tokio::test]
async fn a_redis_that_hangs_is_left_alone_after_three_late_answers() {
    let redis = Server::start(&[]).await;
    let quota = quota(&redis);
    connected(&quota).await;
    redis.freeze();
    while quota.state().link.is_some() {
        quota.reserve(SPEECH, Cost::default()).await.unwrap();
    }
    assert_eq!(quota.state().late, LATE);
    assert!(quota.connected().await.is_none(), "nobody waits for it");
}

#[tokio::test]
async fn models_without_known_limits_are_not_asked_about() {
    let quota = Quota::new(&"redis://127.0.0.1:1/0".to_owned().into(), Plan::Developer).unwrap();
    quota.reserve("local/model", Cost::default()).await.unwrap();
    assert!(quota.state().connecting.is_empty());
    assert!(Quota::new(&"http://redis".to_owned().into(), Plan::Free).is_err());
}
