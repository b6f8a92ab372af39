//! Who answers: one assistant by default, others by context or by called number (`ASSISTANTS_FILE`, TOML).
//!
//! ```toml
//! [default]
//! prompt = "You answer the telephone of a bakery. Be brief."
//!
//! [contexts.office]
//! greeting_text = "Office, good day."
//! language = "en-GB"
//!
//! [numbers."+15552220000"]
//! greeting_file = "welcome.mp3"
//! max_turns = 20
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use voice_call::{Config as CallConfig, Phrases};

use crate::{doors::Door, greeting::Greeting};

/// What the assistant is told about itself unless the operator says otherwise.
const DEFAULT_PROMPT: &str = "You are a friendly assistant on the telephone. Answer in one to three short spoken \
    sentences. Never use markdown, lists, emoji or links. If you did not understand, ask.";

/// How an assistant behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assistant {
    /// System prompt.
    pub prompt: String,
    /// BCP 47 tag.
    pub language: String,
    /// Name of a voice; empty for the configured one.
    pub voice: String,
    /// How the audio of its calls reaches us.
    pub door: Door,
    /// The operator's own greeting, once it has been made playable.
    pub(crate) greeting: Option<Greeting>,
    /// The operator's own greeting.
    pub greeting_file: Option<PathBuf>,
    /// Phrases and limits.
    pub call: CallConfig,
    /// Whether the operator chose the fillers, so that no language changes them.
    has_own_fillers: bool,
}

/// All assistants.
#[derive(Clone, Debug)]
pub struct Assistants {
    default: Arc<Assistant>,
    contexts: BTreeMap<String, Arc<Assistant>>,
    numbers: BTreeMap<String, Arc<Assistant>>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum AssistantsError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be; the message names line and key.
    #[error("{0}")]
    Parse(#[from] toml::de::Error),
    /// A key has a value that cannot be.
    #[error("{assistant}.{key}: {message}")]
    Value {
        /// Which assistant.
        assistant: String,
        /// Which key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Settings,
    #[serde(default)]
    contexts: BTreeMap<String, Settings>,
    #[serde(default)]
    numbers: BTreeMap<String, Settings>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    prompt: Option<String>,
    language: Option<String>,
    voice: Option<String>,
    door: Option<String>,
    greeting_text: Option<String>,
    greeting_file: Option<PathBuf>,
    fillers: Option<Vec<String>>,
    apology: Option<String>,
    no_input: Option<String>,
    goodbye: Option<String>,
    busy: Option<String>,
    no_input_seconds: Option<u64>,
    max_call_seconds: Option<u64>,
    max_turns: Option<u32>,
}

// === impl Assistants ===

impl Assistants {
    /// The built-in assistant alone.
    pub fn built_in(base: &CallConfig, door: Door) -> Self {
        let default = Arc::new(Assistant::new(base, door));
        Self { default, contexts: BTreeMap::new(), numbers: BTreeMap::new() }
    }

    /// Reads the file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// When it cannot be read, or says something that cannot be.
    pub fn read(path: &Path, base: &CallConfig, door: Door) -> Result<Self, AssistantsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| AssistantsError::Read { path: path.display().to_string(), source })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")), base, door)
    }

    fn parse(text: &str, folder: &Path, base: &CallConfig, door: Door) -> Result<Self, AssistantsError> {
        let File { default, contexts, numbers } = toml::from_str(text)?;
        let default = Assistant::new(base, door).with("default", default, folder)?;
        let of = |kind: &str, all: BTreeMap<String, Settings>| {
            let made = all.into_iter().map(|(name, settings)| {
                let assistant = default.clone().with(&format!("{kind}.{name}"), settings, folder)?;
                Ok((name, Arc::new(assistant)))
            });
            made.collect::<Result<BTreeMap<_, _>, AssistantsError>>()
        };
        let (contexts, numbers) = (of("contexts", contexts)?, of("numbers", numbers)?);
        Ok(Self { default: Arc::new(default), contexts, numbers })
    }

    /// The assistant for a call: by number, else by context, else the default one.
    pub fn of(&self, context: &str, called_number: &str) -> Arc<Assistant> {
        let found = self.numbers.get(called_number).or_else(|| self.contexts.get(context));
        found.unwrap_or(&self.default).clone()
    }

    /// Every assistant once.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Assistant>> {
        std::iter::once(&self.default).chain(self.contexts.values()).chain(self.numbers.values())
    }

    /// How long calls may last.
    pub(crate) fn longest_call(&self) -> Duration {
        self.all().map(|assistant| assistant.call.max_call).max().unwrap_or_default()
    }

    /// Every assistant, to be completed at start.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Assistant> {
        let others = self.contexts.values_mut().chain(self.numbers.values_mut());
        std::iter::once(&mut self.default).chain(others).map(Arc::make_mut)
    }
}

// === impl Assistant ===

impl Assistant {
    fn new(base: &CallConfig, door: Door) -> Self {
        Self {
            prompt: DEFAULT_PROMPT.into(),
            language: "en-US".into(),
            voice: String::new(),
            door,
            greeting: None,
            greeting_file: None,
            call: base.clone(),
            has_own_fillers: false,
        }
    }

    fn with(mut self, name: &str, settings: Settings, folder: &Path) -> Result<Self, AssistantsError> {
        let Settings {
            prompt,
            language,
            voice,
            door,
            greeting_text,
            greeting_file,
            fillers,
            apology,
            no_input,
            goodbye,
            busy,
            no_input_seconds,
            max_call_seconds,
            max_turns,
        } = settings;
        let wrong = |key, message: &str| AssistantsError::Value {
            assistant: name.to_owned(),
            key,
            message: message.to_owned(),
        };
        match door.as_deref() {
            None => {}
            Some("recording") => self.door = Door::Recording,
            Some("stream") => self.door = Door::Stream,
            Some(_) => return Err(wrong("door", "is neither \"recording\" nor \"stream\"")),
        }
        if greeting_text.is_some() && greeting_file.is_some() {
            return Err(wrong("greeting_file", "cannot be set together with greeting_text"));
        }
        if max_call_seconds == Some(0) || max_turns == Some(0) || no_input_seconds == Some(0) {
            return Err(wrong("max_call_seconds", "limits must be above zero"));
        }
        if let Some(file) = greeting_file {
            self.greeting_file = Some(folder.join(file));
            self.call.phrases.greeting = String::new();
        }
        if let Some(text) = greeting_text {
            self.greeting_file = None;
            self.call.phrases.greeting = text;
        }
        set(&mut self.prompt, prompt);
        if let Some(language) = language {
            if !self.has_own_fillers {
                self.call.phrases.fillers = voice_call::fillers(&language);
            }
            self.call.language.clone_from(&language);
            self.language = language;
        }
        self.has_own_fillers |= fillers.is_some();
        set(&mut self.voice, voice);
        let Phrases {
            greeting: _,
            fillers: own_fillers,
            apology: own_apology,
            no_input: own_no_input,
            goodbye: own_goodbye,
            busy: own_busy,
        } = &mut self.call.phrases;
        set(own_fillers, fillers);
        set(own_apology, apology);
        set(own_no_input, no_input);
        set(own_goodbye, goodbye);
        set(own_busy, busy);
        set(&mut self.call.no_input_after, no_input_seconds.map(Duration::from_secs));
        set(&mut self.call.max_call, max_call_seconds.map(Duration::from_secs));
        set(&mut self.call.max_turns, max_turns);
        Ok(self)
    }

    /// Everything that this assistant says of its own accord, the most important first; an empty text where it says
    /// nothing, so that places compare between assistants.
    pub fn phrases(&self) -> Vec<String> {
        let Phrases { greeting, fillers, apology, no_input, goodbye, busy } = &self.call.phrases;
        let (first, others) = fillers.split_first().map_or((None, &[][..]), |(f, others)| (Some(f), others));
        let first = first.cloned().unwrap_or_default();
        let single = [greeting, apology, &first, no_input, goodbye, busy].into_iter();
        single.chain(others).cloned().collect()
    }
}

fn set<T>(own: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *own = given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Assistants, AssistantsError> {
        Assistants::parse(text, Path::new("/etc/voice"), &CallConfig::default(), Door::Recording)
    }

    #[test]
    fn a_number_wins_over_a_context_and_both_inherit_from_the_default() {
        let assistants = parse(
            "[default]\nprompt = 'Be brief.'\n[contexts.office]\ngreeting_text = 'Office.'\n\
             [numbers.'+15552220000']\ngreeting_file = 'hi.mp3'\nmax_turns = 3",
        )
        .unwrap();
        let office = assistants.of("office", "+1000");
        assert_eq!((office.prompt.as_str(), office.call.phrases.greeting.as_str()), ("Be brief.", "Office."));
        let number = assistants.of("office", "+15552220000");
        assert_eq!(number.greeting_file.as_deref(), Some(Path::new("/etc/voice/hi.mp3")));
        assert_eq!(number.call.max_turns, 3);
        assert_eq!(assistants.of("other", "+1000").call.phrases, Phrases::default());
    }

    #[test]
    fn fillers_follow_the_language_until_the_operator_chooses() {
        let assistants = parse(
            "[contexts.de]\nlanguage = 'de-DE'\n[contexts.own]\nlanguage = 'fr'\nfillers = ['Voilà.']\n\
             [numbers.'+1']\nfillers = []",
        )
        .unwrap();
        let fillers =
            |context: &str, number: &str| assistants.of(context, number).call.phrases.fillers.clone();
        assert_eq!(fillers("de", ""), voice_call::fillers("de"));
        assert_eq!(fillers("own", ""), ["Voilà."]);
        assert_eq!(fillers("", "+1"), Vec::<String>::new());
        let chosen = parse("[default]\nfillers = ['Hm.']\n[contexts.de]\nlanguage = 'de'").unwrap();
        assert_eq!(chosen.of("de", "").call.phrases.fillers, ["Hm."]);
    }

    #[test]
    fn every_assistant_may_choose_its_door() {
        let assistants = parse("[contexts.live]\ndoor = 'stream'").unwrap();
        assert_eq!(assistants.of("live", "").door, Door::Stream);
        assert_eq!(assistants.of("other", "").door, Door::Recording);
    }

    #[test]
    fn mistakes_name_the_key() {
        for (text, key) in [
            ("[default]\npromt = 'x'", "promt"),
            ("[default]\ndoor = 'window'", "door"),
            ("[default]\ngreeting_text = 'a'\ngreeting_file = 'b'", "greeting_file"),
            ("[contexts.a]\nmax_turns = -1", "max_turns"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(key), "{text}");
        }
    }
}
