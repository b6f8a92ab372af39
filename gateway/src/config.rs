//! The typed environment of the gateway.

use std::net::SocketAddr;

use axum::http::HeaderValue;
use secrecy::SecretString;
use voice_clips::Location;
use voice_server::{
    PemIdentity, ServerConfig,
    config::{Env, Problems, is_loopback_url},
    identity_from_env,
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
    /// Where the worker is.
    pub worker_addrs: String,
    /// What the gateway shows to whoever connects; without it, it speaks plainly.
    pub tls: Option<PemIdentity>,
    /// Origins whose pages may ask; `*` stands for any.
    pub allowed_origins: Vec<HeaderValue>,
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
        let server = ServerConfig::from_env_of_caller(
            &mut env,
            "GATEWAY_LISTEN_ADDR",
            SocketAddr::from(([127, 0, 0, 1], 8080)),
        );
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
            worker_addrs: env.text_or("WORKER_ADDRS", "http://127.0.0.1:50052"),
            tls: identity_from_env(&mut env, "GATEWAY_TLS_CERT_FILE", "GATEWAY_TLS_KEY_FILE"),
            allowed_origins: origins(&mut env),
        };
        env.finish(config)
    }
}

fn origins(env: &mut Env) -> Vec<HeaderValue> {
    let mut origins = Vec::new();
    for origin in env.list("CORS_ALLOWED_ORIGINS") {
        // A browser writes an origin without a path, and compares it letter by letter.
        let is_origin =
            origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
        match HeaderValue::from_str(&origin) {
            Ok(value) if is_origin || origin == "*" => origins.push(value),
            Ok(_) | Err(_) => env.problem(
                "CORS_ALLOWED_ORIGINS",
                format!("\"{origin}\" is not an origin such as https://app.example.com, nor *"),
            ),
        }
    }
    origins
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
            "CORS_ALLOWED_ORIGINS" => Some("https://app.example.com,https://app.example.com/".into()),
            _ => None,
        });
        let text = Config::from_env(env).unwrap_err().to_string();
        for name in [
            "GATEWAY_LISTEN_ADDR, API_TOKENS",
            "PUBLIC_BASE_URL, API_TOKENS",
            "VOICE_SECRET_KEY",
            "\"https://app.example.com/\" is not an origin",
        ] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_gateway_that_wants_tokens_must_have_one_for_the_others() {
        let env = Env::new(|name| match name {
            "API_TOKENS" => Some("an-api-token".into()),
            "VOICE_SECRET_KEY" => Some("0123456789abcdef".into()),
            _ => None,
        });
        let problems = Config::from_env(env).unwrap_err().0;
        let names: Vec<_> = problems.iter().map(|problem| &problem.name[..]).collect();
        assert_eq!(names, ["API_TOKENS, MESH_TOKEN"]);
    }
}
