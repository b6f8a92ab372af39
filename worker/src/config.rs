//! The typed environment of the worker.

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;
use voice_quota::Plan;
use voice_server::{
    ServerConfig,
    config::{Env, Problems},
};

/// Groq takes uploads up to 25 MB; a longer recording is not an utterance.
const LARGEST_RECORDING: usize = 25 * 1024 * 1024;

/// Groq itself.
const GROQ: &str = "https://api.groq.com";

/// One provider: where, and with which key.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Base address.
    pub base_url: String,
    /// Its key; local servers need none.
    pub api_key: Option<SecretString>,
    /// The model.
    pub model: String,
    /// What the provider allows, if anybody counts.
    pub plan: Option<Plan>,
}

/// What the worker is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listening, tokens, drain.
    pub server: ServerConfig,
    /// The broker.
    pub redis_url: SecretString,
    /// The queue that is read.
    pub job_queue: String,
    /// Jobs at the same time.
    pub concurrency: usize,
    /// Speech to text.
    pub stt: ProviderConfig,
    /// The language model.
    pub llm: ProviderConfig,
    /// What may be downloaded.
    pub recordings: voice_signalwire::recordings::Policy,
    /// Who decodes it.
    pub transcoder: voice_transcode::Engine,
    /// How long a turn may take.
    pub turn_budget: Duration,
    /// Requests a minute that may be spent on words of utterances that go on; `None` for none.
    pub stt_partials_per_minute: Option<u32>,
    /// Whether a slow request for words gets a second one beside it.
    pub stt_hedge: bool,
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
        let server =
            ServerConfig::from_env(&mut env, "WORKER_LISTEN_ADDR", SocketAddr::from(([127, 0, 0, 1], 50052)));
        let plans = [("free", Some(Plan::Free)), ("developer", Some(Plan::Developer))];
        let plan = env.choice_or("GROQ_PLAN", &plans, None);
        let stt = provider(&mut env, "STT", "whisper-large-v3", plan);
        let llm = provider(&mut env, "LLM", "openai/gpt-oss-20b", plan);
        let hosts = env.list("RECORDING_ALLOWED_HOSTS");
        let credentials =
            match (env.optional("SIGNALWIRE_PROJECT_ID"), env.optional_secret("SIGNALWIRE_TOKEN")) {
                (Some(project), Some(token)) => Some((project, token)),
                _ => None,
            };
        let recordings = voice_signalwire::recordings::Policy {
            allowed_hosts: if hosts.is_empty() { vec!["*.signalwire.com".to_owned()] } else { hosts },
            allow_private: env.parse_or("RECORDING_ALLOW_PRIVATE", false),
            credentials,
            max_bytes: LARGEST_RECORDING,
        };
        // Twenty requests a minute are few enough for the words that are needed.
        let has_spare = plan != Some(Plan::Free);
        let switch = [("on", true), ("off", false)];
        let wants_partials = env.choice_or("STT_PARTIALS", &switch, has_spare);
        let partials_per_minute = env.number_or("STT_PARTIALS_PER_MINUTE", 120, 1..=100_000) as u32;
        let config = Self {
            server,
            redis_url: env.text_or("REDIS_URL", "redis://127.0.0.1:6379/0").into(),
            job_queue: env.text_or("JOB_QUEUE", "celery"),
            concurrency: env.number_or("WORKER_CONCURRENCY", 64, 1..=10_000) as usize,
            stt,
            llm,
            recordings,
            transcoder: env.choice_or(
                "TRANSCODER",
                &voice_transcode::ENGINES,
                voice_transcode::Engine::Native,
            ),
            turn_budget: env.millis_or("TURN_BUDGET_MS", Duration::from_secs(8)),
            stt_partials_per_minute: wants_partials.then_some(partials_per_minute),
            stt_hedge: env.choice_or("STT_HEDGE", &switch, has_spare),
        };
        env.finish(config)
    }
}

/// Each kind of provider may have an address and a key of its own; a key is needed for Groq itself.
fn provider(env: &mut Env, kind: &str, default_model: &str, plan: Option<Plan>) -> ProviderConfig {
    let shared = env.url_or("GROQ_BASE_URL", GROQ);
    let base_url = env.url_or(&format!("GROQ_{kind}_BASE_URL"), &shared);
    let api_key =
        env.optional_secret(&format!("GROQ_{kind}_API_KEY")).or_else(|| env.optional_secret("GROQ_API_KEY"));
    if api_key.is_none() && base_url.contains("api.groq.com") {
        env.problem("GROQ_API_KEY", format!("is not set, and {kind} is asked of {base_url}"));
    }
    // Other servers count nothing, unless one says so.
    let plan = plan.or((base_url == GROQ).then_some(Plan::Developer));
    ProviderConfig {
        base_url,
        api_key,
        model: env.text_or(&format!("GROQ_{kind}_MODEL"), default_model),
        plan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_mistakes_are_told_at_once() {
        let env = Env::new(|name| match name {
            "WORKER_CONCURRENCY" => Some("0".into()),
            "RECORDING_ALLOW_PRIVATE" => Some("perhaps".into()),
            "GROQ_LLM_BASE_URL" => Some("ollama".into()),
            _ => None,
        });
        let text = Config::from_env(env).unwrap_err().to_string();
        for name in ["WORKER_CONCURRENCY", "RECORDING_ALLOW_PRIVATE", "GROQ_LLM_BASE_URL", "GROQ_API_KEY"] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
    }

    #[test]
    fn on_the_free_plan_nothing_is_asked_that_nobody_waits_for() {
        let read = |plan: &'static str, partials: &'static str| {
            let env = Env::new(move |name| match name {
                "GROQ_API_KEY" => Some("gsk_x".into()),
                "GROQ_PLAN" => Some(plan.into()),
                "STT_PARTIALS" => Some(partials.into()),
                _ => None,
            });
            let config = Config::from_env(env).unwrap();
            (config.stt_partials_per_minute, config.stt_hedge)
        };
        assert_eq!(read("free", ""), (None, false));
        assert_eq!(read("developer", ""), (Some(120), true));
        assert_eq!(read("", "off"), (None, true));
        assert_eq!(read("free", "on"), (Some(120), false), "whoever says so gets it");
    }

    #[test]
    fn a_local_server_needs_no_key() {
        let env = Env::new(|name| (name == "GROQ_BASE_URL").then(|| "http://127.0.0.1:11434/v1".into()));
        assert!(Config::from_env(env).is_ok());
    }
}
