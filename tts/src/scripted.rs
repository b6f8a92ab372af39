//! An engine for tests: it speaks tones, or does as it is told.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_stream::stream;
use futures::{StreamExt as _, stream::BoxStream};
use tokio::sync::Semaphore;

use crate::{
    error::{EngineError, Failure},
    ports::{Engine, Patience, Sound, Voice},
};

/// Milliseconds of sound for each character.
pub(crate) const MS_PER_CHAR: usize = 60;
pub(crate) const HERTZ: u32 = 24_000;

/// What an engine does to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    Speaks,
    Refuses,
    AsksToWait(Duration),
    HasNoQuota(Duration),
    IsSilent,
    Hangs,
    /// Fails after so many characters.
    BreaksOff(usize),
    /// Falls silent after so many characters, without an end.
    Stalls(usize),
    SpeaksForever,
}

/// The engine, and what is seen of it from outside.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) name: &'static str,
    pub(crate) amplitude: f32,
    pub(crate) voices: Vec<Voice>,
    pub(crate) max_chars: usize,
    /// What it does first; afterwards always `then`.
    pub(crate) acts: Arc<Mutex<VecDeque<Act>>>,
    pub(crate) then: Act,
    /// What it was asked to say.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Requests that are not over.
    pub(crate) live: Arc<AtomicUsize>,
    /// One permit for each 20 ms of sound.
    pub(crate) pace: Arc<Semaphore>,
}

impl Scripted {
    pub(crate) fn new(name: &'static str, then: Act) -> Self {
        let voice = |voice: String| Voice {
            name: voice,
            languages: vec!["en".to_owned()],
            sample_rate_hertz: HERTZ,
            problem: None,
        };
        Self {
            name,
            amplitude: 0.2,
            voices: ["one", "two"].map(|n| voice(format!("{name}-{n}"))).to_vec(),
            max_chars: 200,
            acts: Arc::default(),
            then,
            asked: Arc::default(),
            live: Arc::default(),
            pace: Arc::new(Semaphore::new(1_000_000)),
        }
    }

    pub(crate) fn first(self, acts: &[Act]) -> Self {
        self.acts.lock().unwrap().extend(acts);
        self
    }

    pub(crate) fn boxed(&self) -> Box<dyn Engine> {
        Box::new(self.clone())
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }
    fn max_chars(&self) -> usize {
        self.max_chars
    }
    fn default_voice(&self) -> &str {
        &self.voices[0].name
    }
    fn voices(&self) -> Vec<Voice> {
        self.voices.clone()
    }
    fn patience(&self) -> Patience {
        let acts = self.acts.lock().unwrap();
        let never = |act: &Act| matches!(act, Act::Hangs | Act::Stalls(_));
        let is_short = never(&self.then) || acts.iter().any(never);
        let patience = Duration::from_millis(if is_short { 200 } else { 10_000 });
        Patience { first: patience, between: patience }
    }
    fn speak(&self, text: &str, _: &str, _: &str) -> BoxStream<'static, Result<Sound, EngineError>> {
        assert!(text.chars().count() <= self.max_chars, "too much at once: {text}");
        self.asked.lock().unwrap().push(text.to_owned());
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(self.then);
        self.live.fetch_add(1, Ordering::SeqCst);
        let live = Live(self.live.clone());
        let pace = self.pace.clone();
        let chars = text.chars().count();
        let amplitude = if act == Act::IsSilent { 0.0 } else { self.amplitude };
        let sounds = stream! {
            let _live = live;
            let refused = |kind, retry_after| EngineError { message: "no".to_owned(), retry_after, kind };
            match act {
                Act::Refuses => yield Err(refused(Failure::Broken, None)),
                Act::AsksToWait(wait) => yield Err(refused(Failure::Broken, Some(wait))),
                Act::HasNoQuota(wait) => yield Err(refused(Failure::Quota, Some(wait))),
                Act::Hangs => std::future::pending().await,
                _ => {}
            }
            let (chars, is_whole) = match act {
                Act::Refuses | Act::AsksToWait(_) | Act::HasNoQuota(_) => return,
                Act::BreaksOff(chars) | Act::Stalls(chars) => (chars, false),
                Act::SpeaksForever => (usize::MAX / 1_000, false),
                Act::Speaks | Act::IsSilent | Act::Hangs => (chars, true),
            };
            yield Ok(Sound::Rate(HERTZ));
            for frame in 0..chars * MS_PER_CHAR / 20 {
                pace.acquire().await.unwrap().forget();
                let from = frame * 480;
                let samples = (from..from + 480).map(|n| amplitude * (n as f32 * 0.1).sin()).collect();
                yield Ok(Sound::Samples(samples));
            }
            match act {
                Act::Stalls(_) => std::future::pending().await,
                _ if !is_whole => yield Err(EngineError::new("cut")),
                _ => {}
            }
        };
        sounds.boxed()
    }
}
