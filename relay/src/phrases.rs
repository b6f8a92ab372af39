//! What assistants say of their own accord, made before anybody calls: a filler that has to be synthesised first
//! bridges nothing, and an apology must not depend on the service that failed.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    assistants::{Assistant, Assistants},
    ports::{Clip, Speech},
};

/// Between attempts while tts is away.
const RETRY: Duration = Duration::from_secs(2);

/// Clips live as long as the store keeps them; asking again finds them or makes them anew.
const REFRESH: Duration = Duration::from_mins(10);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: String,
    voice: String,
    language: String,
}

/// Clips by what they say and how.
#[derive(Debug, Default)]
pub(crate) struct PhraseBook {
    clips: RwLock<HashMap<Key, Clip>>,
}

impl PhraseBook {
    /// The clip of a phrase, if it has been made.
    pub(crate) fn find(&self, assistant: &Assistant, text: &str) -> Option<Clip> {
        self.clips.read().unwrap_or_else(PoisonError::into_inner).get(&key(assistant, text)).cloned()
    }

    /// Keeps every phrase of every assistant ready, for as long as the relay lives.
    pub(crate) async fn keep(self: Arc<Self>, assistants: Assistants, speech: Arc<dyn Speech>) {
        loop {
            let mut is_complete = true;
            for assistant in assistants.all() {
                for text in assistant.phrases() {
                    match speech.clip(&text, &assistant.voice, &assistant.language, "").await {
                        Ok(clip) => {
                            let mut clips = self.clips.write().unwrap_or_else(PoisonError::into_inner);
                            clips.insert(key(assistant, &text), clip);
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a phrase could not be made yet");
                            is_complete = false;
                            break;
                        }
                    }
                }
            }
            tokio::time::sleep(if is_complete { REFRESH } else { RETRY }).await;
        }
    }
}

fn key(assistant: &Assistant, text: &str) -> Key {
    Key { text: text.to_owned(), voice: assistant.voice.clone(), language: assistant.language.clone() }
}
