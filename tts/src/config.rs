//! The typed environment of tts.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use voice_clips::{Limits, Location};
use voice_quota::Plan;
use voice_server::{
    ServerConfig,
    config::{Env, Problems},
};

const DAY: Duration = Duration::from_hours(24);
/// Groq itself.
const GROQ: &str = "https://api.groq.com";

/// What tts is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listening, tokens, drain.
    pub server: ServerConfig,
    /// What speaks.
    pub engines: EngineConfig,
    /// Where clips are fetched.
    pub public_base_url: String,
    /// Where clips are kept.
    pub clip_store: Location,
    /// What may be kept there.
    pub clip_limits: Limits,
    /// Who brings clips to the telephone's rate.
    pub transcoder: voice_transcode::Engine,
    /// Key of clip names.
    pub secret_key: SecretString,
}

/// What the engines are configured with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where the preferred engine is.
    pub groq_base_url: String,
    /// Its key; without one, and without an address of its own, it cannot be used.
    pub groq_api_key: Option<SecretString>,
    /// Its model.
    pub model: String,
    /// The voice that is used when none is asked for.
    pub voice: String,
    /// Piper's voices: `.onnx` files, or folders with them. Without any, Piper is left out.
    pub piper_voices: Vec<PathBuf>,
    /// Threads that Piper's voices share.
    pub piper_threads: usize,
    /// What Groq's plan allows, if anybody counts.
    pub plan: Option<Plan>,
    /// Where requests are counted.
    pub redis_url: SecretString,
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
            ServerConfig::from_env(&mut env, "TTS_LISTEN_ADDR", SocketAddr::from(([127, 0, 0, 1], 50053)));
        let clip_store = Location::read(|name| env.optional(name));
        if let Some(problem) = clip_store.problem() {
            env.problem("CLIP_STORE_URL", problem);
        }
        let clip_limits = Limits {
            bytes: env.number_or("CLIP_MAX_MB", 1_024, 1..=1_000_000_000) * 1_000_000,
            age: DAY * env.number_or("CLIP_MAX_AGE_DAYS", 30, 1..=36_500) as u32,
        };
        let config = Self {
            server,
            engines: EngineConfig::read(&mut env),
            public_base_url: env.url_or("PUBLIC_BASE_URL", "http://127.0.0.1:8080"),
            clip_store,
            clip_limits,
            transcoder: env.choice_or(
                "TRANSCODER",
                &voice_transcode::ENGINES,
                voice_transcode::Engine::Native,
            ),
            secret_key: env.long_secret("VOICE_SECRET_KEY", 16),
        };
        env.finish(config)
    }
}

impl EngineConfig {
    /// Reads the process environment for the engines alone.
    ///
    /// # Errors
    /// With every problem at once.
    pub fn from_process_env() -> Result<Self, Problems> {
        let mut env = Env::from_process();
        let config = Self::read(&mut env);
        env.finish(config)
    }

    fn read(env: &mut Env) -> Self {
        let shared = env.url_or("GROQ_BASE_URL", GROQ);
        let groq_base_url = env.url_or("GROQ_TTS_BASE_URL", &shared);
        // Other servers count nothing, unless one says so.
        let usual = (groq_base_url == GROQ).then_some(Plan::Developer);
        let plans = [("free", Some(Plan::Free)), ("developer", Some(Plan::Developer))];
        Self {
            groq_base_url,
            groq_api_key: env
                .optional_secret("GROQ_TTS_API_KEY")
                .or_else(|| env.optional_secret("GROQ_API_KEY")),
            model: env.text_or("GROQ_TTS_MODEL", "canopylabs/orpheus-v1-english"),
            voice: env.text_or("GROQ_TTS_VOICE", "troy"),
            piper_voices: env.list("PIPER_VOICE").into_iter().map(PathBuf::from).collect(),
            piper_threads: env.number_or("PIPER_THREADS", 1, 1..=64) as usize,
            plan: env.choice_or("GROQ_PLAN", &plans, usual),
            redis_url: env.text_or("REDIS_URL", "redis://127.0.0.1:6379/0").into(),
        }
    }
}
