//! The typed environment of tts.

use std::net::SocketAddr;

use secrecy::SecretString;
use voice_server::{
    ServerConfig,
    config::{Env, Problems},
};

/// What tts is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listening, tokens, drain.
    pub server: ServerConfig,
    /// Where the preferred engine is.
    pub groq_base_url: String,
    /// Its key; without one, and without an address of its own, it is left out.
    pub groq_api_key: Option<SecretString>,
    /// Its model.
    pub model: String,
    /// The voice that is used when none is asked for.
    pub voice: String,
    /// Where clips are fetched.
    pub public_base_url: String,
    /// Where clips are kept.
    pub clip_store_url: String,
    /// Who brings clips to the telephone's rate.
    pub transcoder: voice_transcode::Engine,
    /// Key of clip names.
    pub secret_key: SecretString,
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
        let shared = env.url_or("GROQ_BASE_URL", "https://api.groq.com");
        let config = Self {
            server,
            groq_base_url: env.url_or("GROQ_TTS_BASE_URL", &shared),
            groq_api_key: env
                .optional_secret("GROQ_TTS_API_KEY")
                .or_else(|| env.optional_secret("GROQ_API_KEY")),
            model: env.text_or("GROQ_TTS_MODEL", "canopylabs/orpheus-v1-english"),
            voice: env.text_or("GROQ_TTS_VOICE", "troy"),
            public_base_url: env.url_or("PUBLIC_BASE_URL", "http://127.0.0.1:8080"),
            clip_store_url: env.text_or("CLIP_STORE_URL", ".run/clips"),
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
