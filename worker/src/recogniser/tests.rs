//! Slow and failing recognisers.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::*;

/// When a request is answered.
#[derive(Clone, Copy, Debug)]
enum When {
    Now,
    /// Once so many requests have been made.
    Asked(usize),
    /// Once the request of this number, from 1, is over.
    Over(usize),
    Never,
}

use When::{Asked, Never, Now, Over};

/// Answers as it is told, and notes what became of each request.
struct Provider {
    script: Mutex<VecDeque<(When, Answer)>>,
    seen: watch::Sender<Vec<(Need, &'static str)>>,
}

/// Notes a request that is dropped before its answer.
struct Guard<'a>(&'a Provider, usize);

impl Guard<'_> {
    fn end(&self, how: &'static str) {
        self.0.seen.send_modify(|seen| {
            if seen[self.1].1 == "open" {
                seen[self.1].1 = how;
            }
        });
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.end("dropped");
    }
}

impl Transcribe for Provider {
    fn transcribe<'a>(
        &'a self,
        _: Bytes,
        _: Option<&'a str>,
        limit: Duration,
        need: Need,
    ) -> Work<'a, Answer> {
        let (when, answer) = self.script.lock().unwrap().pop_front().expect("no more requests");
        self.seen.send_modify(|seen| seen.push((need, "open")));
        let guard = Guard(self, self.seen.borrow().len() - 1);
        Box::pin(async move {
            let mut seen = self.seen.subscribe();
            let waiting = seen.wait_for(|seen| match when {
                Now => true,
                Asked(count) => seen.len() >= count,
                Over(n) => seen.get(n - 1).is_some_and(|(_, state)| *state != "open"),
                Never => false,
            });
            let answer = match tokio::time::timeout(limit, waiting).await {
                Ok(_) => answer,
                Err(_) => Err(TurnError::fatal("STT_TIMEOUT", "late")),
            };
            guard.end("answered");
            answer
        })
    }
}

fn provider(script: impl IntoIterator<Item = (When, Answer)>) -> Arc<Provider> {
    let script = Mutex::new(script.into_iter().collect());
    Arc::new(Provider { script, seen: watch::Sender::default() })
}

fn words(text: &str) -> Vec<Stretch> {
    vec![Stretch { text: text.to_owned(), ..Stretch::default() }]
}

fn passing() -> TurnError {
    TurnError::passing("STT_UNAVAILABLE", "500")
}

fn outcome(answer: Answer) -> Result<String, &'static str> {
    answer.map(|stretches| stretches[0].text.clone()).map_err(|error| error.reason)
}

/// What came of it, and of each request.
async fn awaited(
    script: impl IntoIterator<Item = (When, Answer)>,
    is_hedged: bool,
) -> (Result<String, &'static str>, Vec<(Need, &'static str)>) {
    let provider = provider(script);
    let answer = Recogniser::new(provider.clone(), is_hedged).awaited(Bytes::new(), None).await;
    let seen = provider.seen.borrow().clone();
    (outcome(answer), seen)
}

#[tokio::test]
async fn a_quick_answer_needs_no_second_request() {
    let (answer, seen) = awaited([(Now, Ok(words("one")))], true).await;
    assert_eq!((answer, seen), (Ok("one".into()), vec![(Need::Awaited, "answered")]));
}

#[tokio::test]
async fn the_first_of_two_answers_wins_and_the_other_request_is_dropped() {
    let (answer, seen) = awaited([(Never, Ok(words("one"))), (Now, Ok(words("two")))], true).await;
    assert_eq!(answer, Ok("two".into()));
    assert_eq!(seen, [(Need::Awaited, "dropped"), (Need::Hedge, "answered")]);
    let (answer, seen) = awaited([(Asked(2), Ok(words("one"))), (Never, Ok(words("two")))], true).await;
    assert_eq!(answer, Ok("one".into()));
    assert_eq!(seen, [(Need::Awaited, "answered"), (Need::Hedge, "dropped")]);
}

#[tokio::test]
async fn of_two_requests_one_may_fail() {
    for script in [
        [(Over(2), Ok(words("one"))), (Now, Err(passing()))],
        [(Asked(2), Err(passing())), (Over(1), Ok(words("one")))],
    ] {
        let (answer, seen) = awaited(script, true).await;
        assert_eq!((answer, seen.len()), (Ok("one".into()), 2));
    }
}

#[tokio::test]
async fn when_nobody_answers_the_limit_is_that_of_one_request() {
    for (is_hedged, requests) in [(true, 2), (false, 1)] {
        let (answer, seen) = awaited([(Never, Ok(words(""))), (Never, Ok(words("")))], is_hedged).await;
        assert_eq!((answer, seen.len()), (Err("STT_TIMEOUT"), requests));
    }
}

#[tokio::test]
async fn a_quick_failure_is_tried_again_and_a_long_wait_is_not_waited() {
    let (answer, _) = awaited([(Now, Err(passing())), (Now, Ok(words("one")))], true).await;
    assert_eq!(answer, Ok("one".into()));
    let limited = TurnError {
        retry_after: Some(Duration::from_secs(30)),
        ..TurnError::passing("STT_RATE_LIMITED", "429")
    };
    let (answer, seen) = awaited([(Now, Err(limited))], true).await;
    assert_eq!((answer, seen.len()), (Err("STT_RATE_LIMITED"), 1));
}

#[tokio::test]
async fn a_provider_that_is_slow_for_everybody_is_not_asked_twice_by_everybody() {
    // Nobody is answered before every second request that there may be has been made.
    let provider = provider((0..60).map(|_| (Asked(43), Ok(words("one")))));
    let recogniser = Recogniser::new(provider.clone(), true);
    let all = (0..40).map(|_| recogniser.awaited(Bytes::new(), None));
    futures::future::try_join_all(all).await.unwrap();
    let hedges = provider.seen.borrow().iter().filter(|(need, _)| *need == Need::Hedge).count();
    // Three that were saved up, and those that the first answers earn while the others still wait.
    assert!((3..=7).contains(&hedges), "{hedges} for 40 first ones");
}

#[tokio::test]
async fn a_pass_gets_a_second_request_only_once_somebody_waits_for_it() {
    let wanted = Notify::new();
    wanted.notify_one();
    let waits = provider([(Never, Ok(words("one"))), (Now, Ok(words("two")))]);
    let answer = Recogniser::new(waits, true).partial(Bytes::new(), None, &wanted).await;
    assert_eq!(outcome(answer), Ok("two".into()));
    // A second request would panic.
    let nobody = provider([(Never, Ok(words("one")))]);
    let answer = Recogniser::new(nobody, true).partial(Bytes::new(), None, &wanted).await;
    assert_eq!(outcome(answer), Err("STT_TIMEOUT"));
}
