//! Engines that do as they are told.

use super::*;
use crate::{
    error::Error,
    scripted::{Act, Scripted},
};

fn wish(engine: &str, voice: &str) -> Wish {
    Wish { engine: engine.into(), voice: voice.into(), language: "en".into() }
}

async fn begin(engines: &Engines, n: usize) -> Option<Spoken> {
    engines.begin(n, "Hello.", "a-one", "en", None).await
}

/// Whether it was asked and spoke.
async fn speaks(engines: &Engines, n: usize) -> bool {
    let Some(mut spoken) = begin(engines, n).await else { return false };
    spoken.succeeded(Manner::default());
    true
}

#[test]
fn an_engine_is_chosen_by_its_name_or_by_its_voice() {
    let all = ["a", "b", "c"].map(|name| Scripted::new(name, Act::Speaks).boxed());
    let engines = Engines::new(all.into());
    for (engine, voice, order) in
        [("", "", [0, 1, 2]), ("c", "", [2, 0, 1]), ("", "b-two", [1, 0, 2]), ("c", "b-two", [2, 0, 1])]
    {
        assert_eq!(engines.order(&wish(engine, voice)).unwrap(), order, "{engine} {voice}");
    }
    let wish_b = wish("", "b-two");
    assert_eq!([0, 1, 2].map(|n| engines.voice(n, &wish_b)), ["a-one", "b-two", "c-one"]);
    let refused = |wish| match engines.order(&wish) {
        Err(Error::InvalidField { field, message }) => (field, message),
        other => panic!("{other:?}"),
    };
    let (field, message) = refused(wish("d", ""));
    assert_eq!((field, &message[..]), ("engine", "\"d\" does not exist; there are a, b, c"));
    let (field, message) = refused(wish("a", "x"));
    assert!(field == "voice" && message.contains("a-one, a-two, b-one"), "{message}");
}

#[tokio::test]
async fn an_engine_that_keeps_failing_is_asked_again_by_one_request_at_a_time() {
    let engine = Scripted::new("a", Act::Hangs);
    let engines = Engines::new(vec![engine.boxed()]);
    for _ in 0..10 {
        assert!(!speaks(&engines, 0).await);
    }
    assert_eq!(engine.asked().len(), 3);
    let EngineHealth::Failing(wait) = engines.status()[0].health else { panic!("{:?}", engines.status()) };
    assert!(wait <= Duration::from_secs(5) && wait > Duration::ZERO, "{wait:?}");
    assert_eq!(engine.live.load(std::sync::atomic::Ordering::SeqCst), 0, "nothing is left of a timeout");
}

#[tokio::test]
async fn one_probe_at_a_time_and_one_that_is_dropped_leaves_room_for_the_next() {
    let acts = [Act::AsksToWait(Duration::ZERO)];
    let engine = Scripted::new("a", Act::Speaks).first(&acts);
    let engines = Engines::new(vec![engine.boxed()]);
    assert!(!speaks(&engines, 0).await);
    let probe = begin(&engines, 0).await.unwrap();
    assert_eq!(engines.status()[0].health, EngineHealth::Probing);
    assert!(begin(&engines, 0).await.is_none(), "one at a time");
    drop(probe);
    assert!(speaks(&engines, 0).await);
    assert_eq!(engines.status()[0].health, EngineHealth::Up);
    assert_eq!(engine.asked().len(), 3);
}

#[tokio::test]
async fn health_tells_why_an_engine_is_not_asked() {
    let minute = Duration::from_mins(1);
    let mut broken = Scripted::new("c", Act::Speaks);
    broken.voices.iter_mut().for_each(|voice| voice.problem = Some("no key".into()));
    let engines = Engines::new(vec![
        Scripted::new("a", Act::AsksToWait(minute)).boxed(),
        Scripted::new("b", Act::HasNoQuota(minute)).boxed(),
        broken.boxed(),
        Scripted::new("d", Act::Speaks).boxed(),
    ]);
    for n in 0..4 {
        assert_eq!(speaks(&engines, n).await, n == 3);
    }
    let health: Vec<_> = engines.status().into_iter().map(|status| status.health).collect();
    assert!(matches!(health[0], EngineHealth::Failing(wait) if wait > minute / 2), "{health:?}");
    assert!(matches!(health[1], EngineHealth::QuotaExhausted(wait) if wait > minute / 2), "{health:?}");
    assert_eq!(health[2], EngineHealth::Unusable("no key".into()));
    assert_eq!(health[3], EngineHealth::Up);
    assert_eq!(broken.asked(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_broken_voice_is_passed_over_and_its_engine_is_not() {
    let mut engine = Scripted::new("a", Act::Speaks);
    engine.voices[1].problem = Some("its file is damaged".into());
    let engines = Engines::new(vec![engine.boxed()]);
    assert!(engines.begin(0, "Hello.", "a-two", "en", None).await.is_none());
    assert!(engines.begin(0, "Hello.", "a-one", "en", None).await.is_some());
    assert_eq!(engines.status()[0].health, EngineHealth::Up);
}

#[tokio::test]
async fn an_engine_that_does_not_stop_speaking_is_stopped() {
    let engines = Engines::new(vec![Scripted::new("a", Act::SpeaksForever).boxed()]);
    let mut spoken = begin(&engines, 0).await.unwrap();
    let mut samples = 0;
    let error = loop {
        match spoken.next().await.unwrap() {
            Ok(more) => samples += more.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.message, "it does not stop speaking");
    assert!(samples < 24_000 * 14, "{samples}");
}
