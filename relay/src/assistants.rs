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
//! tools = ["end_call", "transfer_call"]
//! transfer_targets = { sales = "+15553330000" }
//! tool_server = "shop"
//!
//! [tool_servers.shop]
//! address = "127.0.0.1:50060"
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use serde::Deserialize;
use voice_call::{Config as CallConfig, Phrases};

use crate::{callers::CallerLimits, config::is_e164, doors::Door, greeting::Greeting, toolbox::BuiltIn};

/// What the assistant is told about itself unless the operator says otherwise.
const DEFAULT_PROMPT: &str = "You are a friendly assistant on the telephone. Answer in one to three short spoken \
    sentences. Never use markdown, lists, emoji or links. If you did not understand, ask.";

/// What somebody is told to whom a call is handed unless the operator says otherwise.
const DEFAULT_ANNOUNCEMENT: &str = "You have a call from {caller}.";

/// The longest announcement, in characters: half a minute, while the caller waits.
pub(crate) const LONGEST_ANNOUNCEMENT: usize = 500;

/// Nobody stays on the telephone for longer while a tool is at work, in seconds.
const LONGEST_TOOL: u64 = 60;

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
    /// What the language model may ask for beside its words.
    pub tools: Vec<BuiltIn>,
    /// Numbers that a call may be handed to, by the names that the model knows.
    pub transfer_targets: BTreeMap<String, TransferTarget>,
    /// What they are told of a call that is announced to them, where nothing else is said; `{caller}` is his number.
    pub announcement: String,
    /// Name of the server of the operator's own tools.
    pub tool_server: Option<String>,
    /// How often one number may call.
    pub caller_limits: CallerLimits,
    /// Whether the operator chose the fillers, so that no language changes them.
    has_own_fillers: bool,
}

/// All assistants.
#[derive(Clone, Debug)]
pub struct Assistants {
    default: Arc<Assistant>,
    contexts: BTreeMap<String, Arc<Assistant>>,
    numbers: BTreeMap<String, Arc<Assistant>>,
    servers: BTreeMap<String, ServerSettings>,
}

/// A server of an operator's own tools.
#[derive(Clone, Debug)]
pub struct ToolServer {
    /// Where it is: `host:port`, with `https://` over TLS.
    pub address: String,
    /// What it is shown.
    pub token: Option<SecretString>,
}

/// Somebody whom calls may be handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferTarget {
    /// E.164.
    pub number: String,
    /// What he is told before he is connected; `None` if the caller hears his telephone ring instead.
    pub announcement: Option<String>,
}

/// The same as it is written: a number, or more.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "a number, or { number, announcement }")]
enum TargetSettings {
    Number(String),
    Announced { number: String, announcement: String },
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
    #[serde(default)]
    tool_servers: BTreeMap<String, ServerSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerSettings {
    address: String,
    token_env: Option<String>,
    timeout_seconds: Option<u64>,
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
    tools: Option<Vec<String>>,
    transfer_targets: Option<BTreeMap<String, TargetSettings>>,
    announcement: Option<String>,
    transfer: Option<String>,
    hold: Option<String>,
    transfer_failed: Option<String>,
    tool_server: Option<String>,
    max_calls_per_caller: Option<u32>,
    max_calls_per_caller_hour: Option<u32>,
}

// === impl Assistants ===

impl Assistants {
    /// The built-in assistant alone.
    pub fn built_in(base: &CallConfig, door: Door) -> Self {
        let default = Arc::new(Assistant::new(base, door));
        Self { default, contexts: BTreeMap::new(), numbers: BTreeMap::new(), servers: BTreeMap::new() }
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
        let File { default, contexts, numbers, tool_servers: servers } = toml::from_str(text)?;
        check_servers(&servers)?;
        let place = Place { folder, servers: &servers };
        let default = Assistant::new(base, door).with("default", default, &place)?;
        let of = |kind: &str, all: BTreeMap<String, Settings>| {
            let made = all.into_iter().map(|(name, settings)| {
                let assistant = default.clone().with(&format!("{kind}.{name}"), settings, &place)?;
                Ok((name, Arc::new(assistant)))
            });
            made.collect::<Result<BTreeMap<_, _>, AssistantsError>>()
        };
        let (contexts, numbers) = (of("contexts", contexts)?, of("numbers", numbers)?);
        Ok(Self { default: Arc::new(default), contexts, numbers, servers })
    }

    /// The servers of operators' own tools, with tokens that `secret` finds by the names of their variables.
    ///
    /// # Errors
    /// With the names of variables that are not set.
    pub fn tool_servers(
        &self,
        mut secret: impl FnMut(&str) -> Option<SecretString>,
    ) -> Result<BTreeMap<String, ToolServer>, Vec<String>> {
        let (mut servers, mut missing) = (BTreeMap::new(), Vec::new());
        for (name, ServerSettings { address, token_env, .. }) in &self.servers {
            let token = token_env.as_deref().and_then(&mut secret);
            if let (Some(variable), None) = (token_env, &token) {
                missing.push(variable.clone());
            }
            servers.insert(name.clone(), ToolServer { address: address.clone(), token });
        }
        if missing.is_empty() { Ok(servers) } else { Err(missing) }
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

// === impl TransferTarget ===

impl From<TargetSettings> for TransferTarget {
    fn from(settings: TargetSettings) -> Self {
        match settings {
            TargetSettings::Number(number) => Self { number, announcement: None },
            TargetSettings::Announced { number, announcement } => {
                Self { number, announcement: Some(announcement) }
            }
        }
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
            tools: Vec::new(),
            transfer_targets: BTreeMap::new(),
            announcement: DEFAULT_ANNOUNCEMENT.into(),
            tool_server: None,
            caller_limits: CallerLimits::default(),
            has_own_fillers: false,
        }
    }

    fn with(mut self, name: &str, settings: Settings, place: &Place<'_>) -> Result<Self, AssistantsError> {
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
            tools,
            transfer_targets,
            announcement,
            transfer,
            hold,
            transfer_failed,
            tool_server,
            max_calls_per_caller,
            max_calls_per_caller_hour,
        } = settings;
        let wrong = |key, message: &str| wrong(name, key, message);
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
            self.greeting_file = Some(place.folder.join(file));
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
            transfer: own_transfer,
            hold: own_hold,
            transfer_failed: own_transfer_failed,
        } = &mut self.call.phrases;
        set(own_fillers, fillers);
        set(own_apology, apology);
        set(own_no_input, no_input);
        set(own_goodbye, goodbye);
        set(own_busy, busy);
        set(own_transfer, transfer);
        set(own_hold, hold);
        set(own_transfer_failed, transfer_failed);
        set(&mut self.announcement, announcement);
        set(&mut self.call.no_input_after, no_input_seconds.map(Duration::from_secs));
        set(&mut self.call.max_call, max_call_seconds.map(Duration::from_secs));
        set(&mut self.call.max_turns, max_turns);
        if max_calls_per_caller == Some(0) || max_calls_per_caller_hour == Some(0) {
            return Err(wrong("max_calls_per_caller", "limits must be above zero"));
        }
        let CallerLimits { at_once, an_hour } = self.caller_limits;
        self.caller_limits = CallerLimits {
            at_once: max_calls_per_caller.or(at_once),
            an_hour: max_calls_per_caller_hour.or(an_hour),
        };
        self.with_tools(name, place, tools, transfer_targets, tool_server)
    }

    fn with_tools(
        mut self,
        name: &str,
        place: &Place<'_>,
        tools: Option<Vec<String>>,
        targets: Option<BTreeMap<String, TargetSettings>>,
        server: Option<String>,
    ) -> Result<Self, AssistantsError> {
        if let Some(tools) = tools {
            let known = tools.iter().map(|tool| {
                BuiltIn::find(tool).ok_or_else(|| {
                    let all = BuiltIn::ALL.map(BuiltIn::name).join(", ");
                    wrong(name, "tools", &format!("\"{tool}\" is not one of {all}"))
                })
            });
            self.tools = known.collect::<Result<_, _>>()?;
        }
        let targets = targets
            .map(|targets| targets.into_iter().map(|(target, settings)| (target, settings.into())).collect());
        set(&mut self.transfer_targets, targets);
        for (target, TransferTarget { number, announcement }) in &self.transfer_targets {
            if !is_e164(number) {
                let message = format!("{target} is not a number such as +15551234567");
                return Err(wrong(name, "transfer_targets", &message));
            }
            let text = announcement.as_ref().unwrap_or(&self.announcement);
            if text.chars().count() > LONGEST_ANNOUNCEMENT {
                let message = format!("is longer than {LONGEST_ANNOUNCEMENT} characters for {target}");
                return Err(wrong(name, "announcement", &message));
            }
        }
        if self.tools.contains(&BuiltIn::TransferCall) && self.transfer_targets.is_empty() {
            return Err(wrong(name, "transfer_targets", "transfer_call needs somebody to hand calls to"));
        }
        if let Some(server) = server {
            let Some(settings) = place.servers.get(&server) else {
                let message = format!("there is no [tool_servers.{server}]");
                return Err(wrong(name, "tool_server", &message));
            };
            set(&mut self.call.tool_timeout, settings.timeout_seconds.map(Duration::from_secs));
            self.tool_server = Some(server);
        }
        Ok(self)
    }

    /// Everything that this assistant says of its own accord, the most important first; an empty text where it says
    /// nothing, so that places compare between assistants.
    pub fn phrases(&self) -> Vec<String> {
        let Phrases { greeting, fillers, apology, no_input, goodbye, busy, transfer, hold, transfer_failed } =
            &self.call.phrases;
        let (first, others) = fillers.split_first().map_or((None, &[][..]), |(f, others)| (Some(f), others));
        let first = first.cloned().unwrap_or_default();
        // Those who are never handed over need no words for it.
        let nothing = String::new();
        let [transfer, hold, transfer_failed] = if self.tools.contains(&BuiltIn::TransferCall) {
            [transfer, hold, transfer_failed]
        } else {
            [&nothing; 3]
        };
        let single =
            [greeting, apology, &first, no_input, goodbye, busy, transfer, hold, transfer_failed].into_iter();
        single.chain(others).cloned().collect()
    }
}

/// Where the file is, and what else is in it.
struct Place<'a> {
    folder: &'a Path,
    servers: &'a BTreeMap<String, ServerSettings>,
}

fn check_servers(servers: &BTreeMap<String, ServerSettings>) -> Result<(), AssistantsError> {
    for (name, server) in servers {
        let place = format!("tool_servers.{name}");
        if server.address.trim().is_empty() || server.address.contains(',') {
            return Err(wrong(&place, "address", "is not host:port or https://host:port"));
        }
        if server.timeout_seconds.is_some_and(|seconds| !(1..=LONGEST_TOOL).contains(&seconds)) {
            return Err(wrong(&place, "timeout_seconds", &format!("is not between 1 and {LONGEST_TOOL}")));
        }
    }
    Ok(())
}

fn wrong(assistant: &str, key: &'static str, message: &str) -> AssistantsError {
    AssistantsError::Value { assistant: assistant.to_owned(), key, message: message.to_owned() }
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
    fn tools_are_inherited_and_tokens_are_found_by_the_names_of_their_variables() {
        let assistants = parse(
            "[tool_servers.shop]\naddress = 'https://tools.example:443'\ntoken_env = 'SHOP_TOKEN'\n\
             timeout_seconds = 20\n[default]\ntools = ['end_call', 'transfer_call']\n\
             tool_server = 'shop'\n[default.transfer_targets]\nsales = '+15553330000'\n\
             support = { number = '+15553330001', announcement = 'A call from {caller} for support.' }\n\
             [contexts.quiet]\ntools = []",
        )
        .unwrap();
        let default = assistants.of("", "");
        assert_eq!(default.tools, [BuiltIn::EndCall, BuiltIn::TransferCall]);
        let sales = TransferTarget { number: "+15553330000".into(), announcement: None };
        assert_eq!(default.transfer_targets["sales"], sales);
        let support = TransferTarget {
            number: "+15553330001".into(),
            announcement: Some("A call from {caller} for support.".into()),
        };
        assert_eq!(default.transfer_targets["support"], support);
        assert_eq!(default.call.tool_timeout, Duration::from_secs(20));
        let quiet = assistants.of("quiet", "");
        assert_eq!((quiet.tools.len(), quiet.tool_server.as_deref()), (0, Some("shop")));
        let found = assistants.tool_servers(|name| Some(format!("secret of {name}").into())).unwrap();
        assert!(found["shop"].token.is_some() && !format!("{found:?}").contains("secret of"));
        assert_eq!(assistants.tool_servers(|_| None).unwrap_err(), ["SHOP_TOKEN"]);
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
            ("[default]\ntools = ['sing']", "tools"),
            ("[default]\ntools = ['transfer_call']", "transfer_targets"),
            ("[default]\ntransfer_targets = { sales = '0123' }", "transfer_targets"),
            ("[default]\ntransfer_targets = { sales = { nummer = '+15553330000' } }", "number, announcement"),
            ("[default]\ntool_server = 'shop'", "tool_server"),
            ("[tool_servers.shop]\naddress = ''", "address"),
            ("[tool_servers.shop]\naddress = 'a:1'\ntimeout_seconds = 0", "timeout_seconds"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(key), "{text}");
        }
    }
}
