//! The typed environment of the relay.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use voice_call::Endpoint;
use voice_clips::Location;
use voice_server::{
    ServerConfig,
    config::{Env, Problems, is_loopback_url},
};
use voice_webhook::{InvalidWebhook, Webhook};

use crate::{
    assistants::{Assistants, ToolServer},
    doors::{Door, StreamSettings},
};

/// Half of the ten requests a minute that the free plan allows; the others are for those who call.
const FREE_PACE: Duration = Duration::from_secs(12);

/// When silence within a turn is bridged, by door.
const RECORDING_FILLER: Duration = Duration::from_secs(2);
const STREAM_FILLER: Duration = Duration::from_secs(1);

/// Silences shorter than this are within words.
const LEAST_SILENCE: Duration = Duration::from_millis(200);

/// What the relay is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listening, tokens, drain.
    pub server: ServerConfig,
    /// The `SignalWire` project.
    pub project: String,
    /// Its token.
    pub token: SecretString,
    /// Where the Relay protocol is spoken.
    pub relay_url: String,
    /// Contexts whose calls are taken.
    pub contexts: Vec<String>,
    /// The broker.
    pub redis_url: SecretString,
    /// The queue that workers read.
    pub job_queue: String,
    /// Where tts is.
    pub tts_addrs: String,
    /// Where workers are.
    pub worker_addrs: String,
    /// Where other services reach this relay.
    pub advertise_addr: String,
    /// How calls whose audio comes in frames are conducted.
    pub stream: StreamSettings,
    /// Where the provider fetches clips.
    pub public_base_url: String,
    /// Where clips are kept, for operators' own greetings.
    pub clip_store: Location,
    /// Who makes operators' own greetings playable.
    pub transcoder: voice_transcode::Engine,
    /// Key of clip names.
    pub secret_key: SecretString,
    /// Who answers.
    pub assistants: Assistants,
    /// Who is told of messages that callers leave.
    pub message_webhook: Option<Webhook>,
    /// Servers of operators' own tools, by name.
    pub tool_servers: BTreeMap<String, ToolServer>,
    /// Calls at the same time.
    pub max_calls: usize,
    /// The same of calls that one of `API_TOKENS` has placed or brought.
    pub token_calls: usize,
    /// Where callers go when turn after turn fails.
    pub fallback_number: Option<String>,
    /// What numbers must begin with to be called; none may be if there is nothing here.
    pub dial_allowed_prefixes: Vec<String>,
    /// Numbers that may be called a day.
    pub dial_daily_cap: u64,
    /// Silence after speech that ends an utterance.
    pub end_silence: Duration,
    /// Between phrases that a provider with few requests a minute is made to speak beforehand.
    pub phrase_pace: Duration,
    /// Whether a call that has moved to another engine stays with its voice.
    pub is_voice_sticky: bool,
}

impl Config {
    /// Reads the process environment.
    ///
    /// # Errors
    /// With every problem at once.
    pub fn from_process_env() -> Result<Self, Problems> {
        Self::from_env(Env::from_process())
    }

    /// Reads through `env`.
    ///
    /// # Errors
    /// With every problem at once.
    pub fn from_env(mut env: Env) -> Result<Self, Problems> {
        let fallback_number = env.optional("FALLBACK_NUMBER");
        if fallback_number.as_deref().is_some_and(|number| !is_e164(number)) {
            env.problem("FALLBACK_NUMBER", "is not a number such as +15551234567");
        }
        let filler_after =
            env.optional("TURN_FILLER_MS").map(|_| env.millis_or("TURN_FILLER_MS", RECORDING_FILLER));
        let early = early_replies(&mut env);
        let base = voice_call::Config {
            filler_after: filler_after.unwrap_or(RECORDING_FILLER),
            turn_budget: env.millis_or("TURN_BUDGET_MS", Duration::from_secs(8)),
            can_transfer: fallback_number.is_some(),
            speculation: early == EarlyReplies::InBothDoors,
            ..voice_call::Config::default()
        };
        if base.turn_budget < Duration::from_secs(1) || base.filler_after >= base.turn_budget {
            env.problem(
                "TURN_FILLER_MS, TURN_BUDGET_MS",
                "the filler must come before the end of the budget (≥ 1000)",
            );
        }
        let door = env.choice_or(
            "CALL_AUDIO",
            &[("recording", Door::Recording), ("stream", Door::Stream)],
            Door::Recording,
        );
        let stream = stream_settings(&mut env, filler_after, early);
        let assistants = match env.optional("ASSISTANTS_FILE").map(PathBuf::from) {
            None => Assistants::built_in(&base, door),
            Some(path) => Assistants::read(&path, &base, door).unwrap_or_else(|error| {
                env.problem("ASSISTANTS_FILE", error.to_string().trim().replace('\n', " "));
                Assistants::built_in(&base, door)
            }),
        };
        for file in assistants.all().filter_map(|assistant| assistant.greeting_file.clone()) {
            if !file.is_file() {
                env.problem("ASSISTANTS_FILE", format!("greeting_file {} does not exist", file.display()));
            }
        }
        let tool_servers =
            assistants.tool_servers(|name| env.optional_secret(name)).unwrap_or_else(|missing| {
                for name in missing {
                    env.problem(
                        name,
                        "is not set, and ASSISTANTS_FILE names it as a tool server's token_env",
                    );
                }
                BTreeMap::new()
            });
        let message_webhook = message_webhook(&mut env);
        let relay_url = env.text_or("SIGNALWIRE_RELAY_URL", "wss://relay.signalwire.com");
        let public_base_url = env.url_or("PUBLIC_BASE_URL", "http://127.0.0.1:8080");
        if !is_loopback_url(&relay_url) && is_loopback_url(&public_base_url) {
            env.problem(
                "SIGNALWIRE_RELAY_URL, PUBLIC_BASE_URL",
                format!(
                    "{relay_url} cannot fetch clips from {public_base_url}: callers would hear silence; set \
                     PUBLIC_BASE_URL to the gateway's public address"
                ),
            );
        }
        let prefixes = env.list("DIAL_ALLOWED_PREFIXES");
        if prefixes.iter().any(|prefix| !is_prefix(prefix)) {
            env.problem(
                "DIAL_ALLOWED_PREFIXES",
                "prefixes are + and at least one digit, such as +1555,+4930",
            );
        }
        let contexts = env.list("SIGNALWIRE_CONTEXTS");
        let clip_store = Location::read(|name| env.optional(name));
        if let Some(problem) = clip_store.problem() {
            env.problem("CLIP_STORE_URL", problem);
        }
        let server = ServerConfig::from_env_of_caller(
            &mut env,
            "RELAY_LISTEN_ADDR",
            SocketAddr::from(([127, 0, 0, 1], 50051)),
        );
        let advertise_addr = advertise_addr(&mut env, &server);
        let max_calls = env.number_or("MAX_CALLS", 300, 1..=100_000) as usize;
        let config = Self {
            server,
            advertise_addr,
            stream,
            worker_addrs: env.text_or("WORKER_ADDRS", "http://127.0.0.1:50052"),
            project: env.required("SIGNALWIRE_PROJECT_ID"),
            token: env.required_secret("SIGNALWIRE_TOKEN"),
            relay_url,
            contexts: if contexts.is_empty() { vec!["default".into()] } else { contexts },
            redis_url: env.text_or("REDIS_URL", "redis://127.0.0.1:6379/0").into(),
            job_queue: env.text_or("JOB_QUEUE", "celery"),
            tts_addrs: env.text_or("TTS_ADDRS", "http://127.0.0.1:50053"),
            public_base_url,
            clip_store,
            transcoder: env.choice_or(
                "TRANSCODER",
                &voice_transcode::ENGINES,
                voice_transcode::Engine::Native,
            ),
            secret_key: env.long_secret("VOICE_SECRET_KEY", 16),
            assistants,
            tool_servers,
            message_webhook,
            max_calls,
            token_calls: env.number_or("TOKEN_CALLS", max_calls as u64, 1..=100_000) as usize,
            fallback_number,
            phrase_pace: env.choice_or(
                "GROQ_PLAN",
                &[("free", FREE_PACE), ("developer", Duration::ZERO)],
                Duration::ZERO,
            ),
            is_voice_sticky: env.choice_or("VOICE_STICKY", &[("call", true), ("clause", false)], true),
            dial_allowed_prefixes: prefixes,
            dial_daily_cap: env.number_or("DIAL_DAILY_CAP", 100, 0..=1_000_000),
            end_silence: env.millis_or("END_SILENCE_MS", Duration::from_millis(800)),
        };
        env.finish(config)
    }
}

/// Where other services reach this relay: it is known by that, and its calls are.
fn advertise_addr(env: &mut Env, server: &ServerConfig) -> String {
    let listen_addr = server.listen_addr;
    if listen_addr.ip().is_unspecified() && env.optional("RELAY_ADVERTISE_ADDR").is_none() {
        env.problem(
            "RELAY_ADVERTISE_ADDR, RELAY_LISTEN_ADDR",
            format!(
                "{listen_addr} tells nobody where this relay is: set RELAY_ADVERTISE_ADDR to the address at which \
                 gateways and other relays reach this very one"
            ),
        );
    }
    let scheme = if server.tls.is_for_servers() { "https" } else { "http" };
    env.url_or("RELAY_ADVERTISE_ADDR", &format!("{scheme}://{listen_addr}"))
}

fn message_webhook(env: &mut Env) -> Option<Webhook> {
    let (url, secret) = (env.optional("MESSAGE_WEBHOOK_URL"), env.optional_secret("MESSAGE_WEBHOOK_SECRET"));
    let (url, secret) = match (url, secret) {
        (None, None) => return None,
        (Some(url), Some(secret)) => (url, secret),
        (Some(_), None) | (None, Some(_)) => {
            env.problem("MESSAGE_WEBHOOK_URL, MESSAGE_WEBHOOK_SECRET", "are of use together only: set both");
            return None;
        }
    };
    match Webhook::new(&url, &secret) {
        Ok(webhook) => Some(webhook),
        Err(error) => {
            let name = match error {
                InvalidWebhook::Url => "MESSAGE_WEBHOOK_URL",
                InvalidWebhook::Secret => "MESSAGE_WEBHOOK_SECRET",
            };
            env.problem(name, error.to_string());
            None
        }
    }
}

/// Where replies are begun before it is certain what they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EarlyReplies {
    Nowhere,
    InTheStreamDoor,
    InBothDoors,
}

fn early_replies(env: &mut Env) -> EarlyReplies {
    use EarlyReplies::{InBothDoors, InTheStreamDoor, Nowhere};
    // Work that may come to nothing is not worth one of few requests a minute.
    let plans = [("free", Nowhere), ("developer", InTheStreamDoor)];
    let usual = env.choice_or("GROQ_PLAN", &plans, InTheStreamDoor);
    env.choice_or("SPECULATION", &[("on", InBothDoors), ("stream", InTheStreamDoor), ("off", Nowhere)], usual)
}

fn stream_settings(env: &mut Env, filler_after: Option<Duration>, early: EarlyReplies) -> StreamSettings {
    let endpoint = Endpoint {
        silence: env.millis_or("ENDPOINT_SILENCE_MS", Endpoint::default().silence),
        long_silence: env.millis_or("ENDPOINT_LONG_SILENCE_MS", Endpoint::default().long_silence),
    };
    if endpoint.silence < LEAST_SILENCE || endpoint.long_silence < endpoint.silence {
        env.problem(
            "ENDPOINT_SILENCE_MS, ENDPOINT_LONG_SILENCE_MS",
            "must be at least 200, and the long silence no shorter than the other",
        );
    }
    StreamSettings {
        filler_after: filler_after.unwrap_or(STREAM_FILLER),
        endpoint,
        speculation: early != EarlyReplies::Nowhere,
    }
}

fn is_prefix(prefix: &str) -> bool {
    let digits = prefix.strip_prefix('+').unwrap_or_default();
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is a number as the platform wants it.
pub(crate) fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &'static [(&'static str, &'static str)]) -> String {
        let env = Env::new(move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        Config::from_env(env).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_relay_without_credentials_says_all_that_it_needs() {
        let text = problems(&[
            ("FALLBACK_NUMBER", "call me"),
            ("MAX_CALLS", "0"),
            ("CALL_AUDIO", "pigeon"),
            ("DIAL_ALLOWED_PREFIXES", "+1555,+"),
            ("ENDPOINT_SILENCE_MS", "50"),
            ("SPECULATION", "perhaps"),
        ]);
        for name in [
            "SIGNALWIRE_PROJECT_ID",
            "SIGNALWIRE_TOKEN",
            "VOICE_SECRET_KEY",
            "FALLBACK_NUMBER",
            "MAX_CALLS",
            "CALL_AUDIO",
            "DIAL_ALLOWED_PREFIXES",
            "ENDPOINT_SILENCE_MS",
            "SPECULATION",
        ] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_relay_that_listens_everywhere_must_say_where_it_is() {
        let text = problems(&[("RELAY_LISTEN_ADDR", "0.0.0.0:50051"), ("API_TOKENS", "a")]);
        assert!(
            text.contains("RELAY_ADVERTISE_ADDR, RELAY_LISTEN_ADDR: 0.0.0.0:50051 tells nobody"),
            "{text}"
        );
        let told = [
            ("RELAY_LISTEN_ADDR", "0.0.0.0:50051"),
            ("RELAY_ADVERTISE_ADDR", "http://10.0.0.7:50051"),
            ("API_TOKENS", "a"),
        ];
        let text = problems(Box::leak(Box::new(told)));
        assert!(!text.contains("RELAY_ADVERTISE_ADDR"), "{text}");
    }

    #[test]
    fn a_relay_that_wants_tokens_must_have_one_for_the_others() {
        let problem = "API_TOKENS, MESH_TOKEN";
        assert!(problems(&[("API_TOKENS", "a")]).contains(problem));
        for settings in [&[][..], &[("MESH_TOKEN", "b")], &[("API_TOKENS", "a"), ("MESH_TOKEN", "b")]] {
            assert!(!problems(settings).contains(problem), "{settings:?}");
        }
    }

    #[test]
    fn a_real_platform_with_a_loopback_gateway_is_refused() {
        let text = problems(&[
            ("SIGNALWIRE_PROJECT_ID", "p"),
            ("SIGNALWIRE_TOKEN", "t"),
            ("VOICE_SECRET_KEY", "0123456789abcdef"),
        ]);
        assert!(text.contains("PUBLIC_BASE_URL") && text.contains("SIGNALWIRE_RELAY_URL"), "{text}");
    }
}
