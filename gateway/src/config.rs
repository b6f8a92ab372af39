//! The typed environment of the gateway.

use std::net::SocketAddr;

use secrecy::SecretString;
use voice_clips::Location;
use voice_server::{
    ServerConfig,
    config::{Env, Problems, is_loopback_url},
};

/// What the gateway is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listening, tokens, drain.
    pub server: ServerConfig,
    /// Where clips are kept.
    pub clip_store: Location,
    /// Key of clip names and media tokens.
    pub secret_key: SecretString,
    /// Where the gateway is reached from outside.
    pub public_base_url: String,
    /// Key that the telephony provider signs webhooks with.
    pub signing_key: Option<SecretString>,
    /// Where tts is.
    pub tts_addrs: String,
    /// Where the relay is.
    pub relay_addrs: String,
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
            ServerConfig::from_env(&mut env, "GATEWAY_LISTEN_ADDR", SocketAddr::from(([127, 0, 0, 1], 8080)));
        let public_base_url = env.url_or("PUBLIC_BASE_URL", "http://127.0.0.1:8080");
        // A tunnel makes a loopback port public.
        if !is_loopback_url(&public_base_url) && env.list("API_TOKENS").is_empty() {
            env.problem(
                "PUBLIC_BASE_URL, API_TOKENS",
                format!(
                    "{public_base_url} is public: set API_TOKENS, or anyone may have speech made at your cost"
                ),
            );
        }
        let clip_store = Location::read(|name| env.optional(name));
        if let Some(problem) = clip_store.problem() {
            env.problem("CLIP_STORE_URL", problem);
        }
        let config = Self {
            server,
            clip_store,
            secret_key: env.long_secret("VOICE_SECRET_KEY", 16),
            public_base_url,
            signing_key: env.optional_secret("SIGNALWIRE_SIGNING_KEY"),
            tts_addrs: env.text_or("TTS_ADDRS", "http://127.0.0.1:50053"),
            relay_addrs: env.text_or("RELAY_ADDRS", "http://127.0.0.1:50051"),
        };
        env.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_mistakes_are_told_at_once_and_a_public_gateway_needs_tokens() {
        let env = Env::new(|name| match name {
            "GATEWAY_LISTEN_ADDR" => Some("0.0.0.0:8080".into()),
            "PUBLIC_BASE_URL" => Some("https://voice.example.com".into()),
            "VOICE_SECRET_KEY" => Some("short".into()),
            _ => None,
        });
        let text = Config::from_env(env).unwrap_err().to_string();
        for name in ["GATEWAY_LISTEN_ADDR, API_TOKENS", "PUBLIC_BASE_URL, API_TOKENS", "VOICE_SECRET_KEY"] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
    }
}
