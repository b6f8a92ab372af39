//! How each voice speaks, learnt from what it has said: how loud, so that the next clause begins at the right
//! loudness, and how fast, so that it is known what had sounded when an engine breaks off.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Voices that are remembered: more than anybody has.
const MOST: usize = 1_000;
/// What is new counts for this much.
const WEIGHT: f32 = 0.3;

/// How a voice speaks, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Manner {
    /// Loudness of its voiced samples.
    pub(crate) rms: Option<f32>,
    /// Seconds that a character of text takes.
    pub(crate) seconds_per_char: Option<f32>,
}

#[derive(Debug, Default)]
pub(super) struct Manners(Mutex<HashMap<String, Manner>>);

impl Manners {
    pub(super) fn of(&self, voice: &str) -> Manner {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(voice).copied().unwrap_or_default()
    }

    pub(super) fn learn(&self, voice: &str, heard: Manner) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(voice) {
            all.clear();
        }
        let known = all.entry(voice.to_owned()).or_default();
        known.rms = mixed(known.rms, heard.rms);
        known.seconds_per_char = mixed(known.seconds_per_char, heard.seconds_per_char);
    }
}

fn mixed(known: Option<f32>, heard: Option<f32>) -> Option<f32> {
    match (known, heard) {
        (Some(known), Some(heard)) => Some(known + WEIGHT * (heard - known)),
        (known, heard) => heard.or(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_known_after_its_first_clause_and_follows_slowly() {
        let manners = Manners::default();
        assert_eq!(manners.of("a"), Manner::default());
        manners.learn("a", Manner { rms: Some(0.1), seconds_per_char: None });
        manners.learn("a", Manner { rms: Some(0.2), seconds_per_char: Some(0.06) });
        let Manner { rms, seconds_per_char } = manners.of("a");
        assert!((rms.unwrap() - 0.13).abs() < 1e-6);
        assert_eq!(seconds_per_char, Some(0.06));
        for n in 0..2 * MOST {
            manners.learn(&n.to_string(), Manner::default());
        }
        assert!(manners.0.lock().unwrap().len() <= MOST);
    }
}
