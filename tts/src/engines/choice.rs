//! Which engines a request goes to, in which order, and with which voice.

use super::Engines;
use crate::{error::Error, ports::Voice};

/// Names that an error lists.
const LISTED: usize = 20;

/// How a text is to be spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The engine to be asked first; empty for the order of preference.
    pub(crate) engine: String,
    /// The voice; empty for the default one of whichever engine speaks.
    pub(crate) voice: String,
    /// BCP 47 tag of the language.
    pub(crate) language: String,
}

impl Engines {
    /// The engines to ask, in order.
    ///
    /// # Errors
    /// When the engine or the voice does not exist.
    pub(crate) fn order(&self, wish: &Wish) -> Result<Vec<usize>, Error> {
        let Wish { engine, voice, language } = wish;
        let numbers = 0..self.all.len();
        let lists = |n: &usize| self.get(*n).voices().iter().any(|own| own.name == *voice);
        let takes = |n: &usize| self.get(*n).has_voice(voice);
        let owner = numbers.clone().find(lists).or_else(|| numbers.clone().find(takes));
        let owner = owner.filter(|_| !voice.is_empty());
        if owner.is_none() && !voice.is_empty() {
            let all = numbers.flat_map(|n| self.get(n).voices().into_iter().map(|voice| voice.name));
            return Err(unknown("voice", voice, all.collect()));
        }
        let named = numbers.clone().find(|n| self.get(*n).name() == engine);
        if named.is_none() && !engine.is_empty() {
            let all = numbers.map(|n| self.get(n).name().to_owned());
            return Err(unknown("engine", engine, all.collect()));
        }
        let first = named.or(owner);
        // Those that do not know the language come last: a wrong accent is better than silence.
        let (able, unable): (Vec<_>, Vec<_>) =
            numbers.filter(|n| Some(*n) != first).partition(|n| self.speaks(*n, language));
        Ok(first.into_iter().chain(able).chain(unable).collect())
    }

    /// Whether an engine has a voice for a language.
    fn speaks(&self, n: usize, language: &str) -> bool {
        let primary = |tag: &str| tag.split(['-', '_']).next().unwrap_or_default().to_lowercase();
        let has = |own: &Voice| own.languages.iter().any(|tag| primary(tag) == primary(language));
        let voices = self.get(n).voices();
        language.is_empty() || voices.iter().any(|own| own.languages.is_empty() || has(own))
    }

    /// The voice that an engine speaks with.
    pub(crate) fn voice<'a>(&'a self, n: usize, wish: &'a Wish) -> &'a str {
        let engine = self.get(n);
        let is_its_own = !wish.voice.is_empty() && engine.has_voice(&wish.voice);
        if is_its_own { &wish.voice } else { engine.default_voice() }
    }
}

fn unknown(field: &'static str, name: &str, all: Vec<String>) -> Error {
    let short: String = name.chars().take(80).collect();
    let dots = if all.len() > LISTED { ", … (see ListVoices)" } else { "" };
    let known = all.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    Error::InvalidField { field, message: format!("\"{short}\" does not exist; there are {known}{dots}") }
}
