//! Speech while it is spoken: audio comes in, words go out before it is over.
//!
//! [`dictation`] decides what is asked of the recogniser and when, without a clock or a socket; [`listening`] does it.
//! [`audio`] keeps what was said, [`words`] knows which words are settled, [`schedule`] when it is worth asking again.

mod audio;
mod dictation;
mod listening;
mod schedule;
mod words;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use self::schedule::Budget;
pub(crate) use self::{
    audio::{Encoding, Format},
    listening::{Heard, Input, Listening},
};

/// What the speaker is known to have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// The words.
    pub text: String,
    /// Whether they will not change any more.
    pub is_final: bool,
    /// Code points of `text` that no later transcript changes.
    pub stable_length: usize,
    /// The flush that is answered.
    pub flush_id: Option<i32>,
    /// Playing time of the audio that was listened to.
    pub audio_duration: Duration,
}

impl Transcript {
    /// The same with words before it that were said earlier.
    #[must_use]
    pub(crate) fn after(mut self, earlier: &str) -> Self {
        if !earlier.is_empty() {
            let joint = if self.text.is_empty() { "" } else { " " };
            self.stable_length += earlier.chars().count() + usize::from(self.stable_length > 0);
            self.text = format!("{earlier}{joint}{}", self.text);
        }
        self
    }
}

/// What this process may spend on words that nobody has to have yet; `None` if nothing.
#[derive(Clone, Debug)]
pub(crate) struct Partials(Option<Arc<Mutex<Budget>>>);

impl Partials {
    /// Allows so many passes a minute in this process.
    pub(crate) fn new(per_minute: Option<u32>) -> Self {
        Self(per_minute.map(|per_minute| Arc::new(Mutex::new(Budget::new(per_minute)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_words_come_before_those_of_the_audio_and_are_as_stable() {
        let heard = |text: &str, stable_length: usize| {
            let transcript = Transcript {
                text: text.to_owned(),
                is_final: false,
                stable_length,
                flush_id: None,
                audio_duration: Duration::ZERO,
            };
            let Transcript { text, stable_length, .. } = transcript.after("Grüezi,");
            let stable: String = text.chars().take(stable_length).collect();
            (text, stable)
        };
        assert_eq!(heard("I want", 1), ("Grüezi, I want".into(), "Grüezi, I".into()));
        assert_eq!(heard("I want", 0), ("Grüezi, I want".into(), "Grüezi,".into()));
        assert_eq!(heard("", 0), ("Grüezi,".into(), "Grüezi,".into()));
    }
}
