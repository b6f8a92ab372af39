//! What assistants say of their own accord, made before anybody calls: a filler that has to be synthesised first
//! bridges nothing, and an apology must not depend on the service that failed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::time::sleep;
use voice_audio::{mulaw, wav};
use voice_clips::Clips;

use crate::{
    assistants::{Assistant, Assistants},
    greeting::Recorded,
    ports::{Clip, Speech, SpeechFailed},
    sound::{AudioFormat, LiveClip},
};

/// Making a phrase beforehand is in no hurry.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between attempts while tts is away: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// After this many failures of one phrase the others get their turn.
const ATTEMPTS: u32 = 4;

/// Asking for a clip again keeps it in use, so this is well below the time for which a clip in use stays. It also gives
/// a phrase that a fallback engine spoke back to the preferred one.
const REFRESH: Duration = Duration::from_mins(10);

/// The engine whose plan may allow few requests a minute.
const METERED_ENGINE: &str = "groq";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: String,
    voice: String,
    language: String,
}

/// Clips by what they say and how.
#[derive(Debug, Default)]
pub(crate) struct PhraseBook {
    clips: RwLock<HashMap<Key, Phrase>>,
}

/// A phrase that was made.
#[derive(Clone, Debug)]
struct Phrase {
    clip: Clip,
    /// Mu-law, for calls that are spoken to in frames.
    audio: Option<Bytes>,
}

/// What a book is kept with.
pub(crate) struct Keeper {
    pub assistants: Assistants,
    pub speech: Arc<dyn Speech>,
    /// Between phrases that a metered engine speaks.
    pub pace: Duration,
    /// Greetings that need no engine, and where they are kept.
    pub recorded: Vec<Recorded>,
    pub clips: Clips,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl PhraseBook {
    /// The clip of a phrase, if it has been made.
    pub(crate) fn find(&self, assistant: &Assistant, text: &str) -> Option<Clip> {
        self.phrase(assistant, text).map(|phrase| phrase.clip)
    }

    /// A phrase as audio, if it has been made.
    pub(crate) fn audio(&self, assistant: &Assistant, text: &str, format: AudioFormat) -> Option<LiveClip> {
        let Phrase { clip, audio } = self.phrase(assistant, text)?;
        Some(LiveClip::from_mulaw(&audio?, &clip.engine, format))
    }

    fn phrase(&self, assistant: &Assistant, text: &str) -> Option<Phrase> {
        self.clips.read().unwrap_or_else(PoisonError::into_inner).get(&key(assistant, text)).cloned()
    }

    /// Keeps every phrase of every assistant ready, for as long as the relay lives: one at a time, the most important
    /// first, so that neither callers nor a provider's quota suffer.
    pub(crate) async fn keep(self: Arc<Self>, keeper: Keeper) {
        loop {
            tokio::join!(put_recorded(&keeper.clips, &keeper.recorded), self.make_all(&keeper));
            sleep(REFRESH).await;
        }
    }

    async fn make_all(&self, keeper: &Keeper) {
        let mut round = Round::new(wanted(&keeper.assistants), keeper.pace);
        while let Some(key) = round.next() {
            let made = keeper.speech.clip(&key.text, &key.voice, &key.language, "", PATIENCE).await;
            let pause = round.pause_after(key.clone(), made.as_ref());
            if let Ok(clip) = made {
                // Whoever uses it finds it made.
                let clip = Clip { is_cached: true, ..clip };
                let audio = match stored(&keeper.clips, &clip).await {
                    Some(audio) => Some(audio),
                    None => spoken(&*keeper.speech, &key, &clip.engine).await,
                };
                let phrase = Phrase { clip, audio };
                self.clips.write().unwrap_or_else(PoisonError::into_inner).insert(key, phrase);
            }
            sleep(pause).await;
        }
    }
}

/// What is to be made, one after the other, and how long to wait in between.
#[derive(Debug)]
struct Round {
    /// With how often each failed.
    waiting: VecDeque<(Key, u32)>,
    failures: u32,
    retry: Duration,
    pace: Duration,
}

impl Round {
    fn new(wanted: Vec<Key>, pace: Duration) -> Self {
        let waiting = wanted.into_iter().map(|key| (key, 0)).collect();
        Self { waiting, failures: 0, retry: FIRST_RETRY, pace }
    }

    fn next(&mut self) -> Option<Key> {
        let (key, failures) = self.waiting.pop_front()?;
        self.failures = failures;
        Some(key)
    }

    fn pause_after(&mut self, key: Key, made: Result<&Clip, &SpeechFailed>) -> Duration {
        match made {
            Ok(clip) => {
                self.retry = FIRST_RETRY;
                let has_cost = !clip.is_cached && clip.engine == METERED_ENGINE;
                if has_cost { self.pace } else { Duration::ZERO }
            }
            Err(SpeechFailed { message, is_final: true }) => {
                tracing::error!(error = message, "a phrase of an assistant cannot be spoken");
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(%error, "a phrase could not be made yet");
                let failures = self.failures + 1;
                if failures.is_multiple_of(ATTEMPTS) {
                    self.waiting.push_back((key, failures));
                } else {
                    self.waiting.push_front((key, failures));
                }
                let pause = self.retry;
                self.retry = (pause * 2).min(LONGEST_RETRY);
                pause
            }
        }
    }
}

/// Keeps operators' own greetings in the store; one that is there is in use again.
async fn put_recorded(clips: &Clips, recorded: &[Recorded]) {
    for Recorded { filename, file } in recorded {
        let mut retry = FIRST_RETRY;
        while let Err(error) = clips.put(filename, file.clone()).await {
            tracing::warn!(error = %voice_server::status::chain(&error), "a greeting could not be kept yet");
            sleep(retry).await;
            retry = (retry * 2).min(LONGEST_RETRY);
        }
    }
}

/// The audio of a clip from the store that all services share.
async fn stored(clips: &Clips, clip: &Clip) -> Option<Bytes> {
    let filename = clip.url.rsplit('/').next()?;
    let file = clips.read(filename).await.ok()?;
    let audio = wav::read(&file.bytes).ok()?;
    (audio.sample_rate_hertz == AudioFormat::Mulaw.hertz()).then(|| mulaw::encode(&audio.samples).into())
}

/// The same from whoever has just made it, where the store is not ours to read.
async fn spoken(speech: &dyn Speech, key: &Key, engine: &str) -> Option<Bytes> {
    let Key { text, voice, language } = key;
    let mut pieces = speech.stream(text, voice, language, engine, AudioFormat::Mulaw);
    let mut audio = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        audio.extend_from_slice(&piece.ok()?.audio);
    }
    Some(audio.freeze())
}

/// Every phrase once, the most important of all assistants first.
fn wanted(assistants: &Assistants) -> Vec<Key> {
    let phrases: Vec<Vec<Key>> = assistants
        .all()
        .map(|assistant| assistant.phrases().iter().map(|text| key(assistant, text)).collect())
        .collect();
    let longest = phrases.iter().map(Vec::len).max().unwrap_or_default();
    let mut all: Vec<Key> = Vec::new();
    for rank in 0..longest {
        for key in phrases.iter().filter_map(|own| own.get(rank)) {
            if !key.text.is_empty() && !all.contains(key) {
                all.push(key.clone());
            }
        }
    }
    all
}

fn key(assistant: &Assistant, text: &str) -> Key {
    Key { text: text.to_owned(), voice: assistant.voice.clone(), language: assistant.language.clone() }
}

#[cfg(test)]
mod tests;
