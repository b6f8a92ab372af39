//! Tells a program of the operator's what has happened: a signed POST, as Standard Webhooks describes it
//! (<https://www.standardwebhooks.com>), so that any of its libraries verifies it. Delivery is tried for a minute and a half, and
//! not beyond the end of the process.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde_json::Value;
use sha2::Sha256;
use tokio::time::sleep;
use url::Url;

/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);

/// Between attempts; one more than there are pauses is made.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15), Duration::from_secs(30)];

/// Prefix of secrets.
const PREFIX: &str = "whsec_";

/// Where to, and what to sign with.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: Client,
    url: Url,
    key: SecretSlice<u8>,
}

/// Why a webhook cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhook {
    /// The address is none.
    #[error("is not an http or https address")]
    Url,
    /// The secret is none.
    #[error(
        "is not whsec_ and the base64 of 24 to 64 bytes, as `echo whsec_$(openssl rand -base64 32)` makes one"
    )]
    Secret,
}

/// Nobody took a message.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// The answer was not one of success.
    #[error("the answer was {0}")]
    Status(u16),
    /// There was no answer.
    #[error("there was no answer")]
    Unreachable(#[source] reqwest::Error),
}

impl Webhook {
    /// Signs with `secret`, and posts to `url`.
    ///
    /// # Errors
    /// When either is not what it should be.
    pub fn new(url: &str, secret: &SecretString) -> Result<Self, InvalidWebhook> {
        let url: Url = url.parse().map_err(|_| InvalidWebhook::Url)?;
        let host = url.host_str().unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(InvalidWebhook::Url);
        }
        let key = secret.expose_secret().strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok());
        let key = key.filter(|key| (24..=64).contains(&key.len())).ok_or(InvalidWebhook::Secret)?;
        let mut builder =
            Client::builder().connect_timeout(CONNECT).timeout(ATTEMPT).redirect(Policy::none());
        if matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|_| InvalidWebhook::Url)?;
        Ok(Self { client, url, key: key.into() })
    }

    /// Posts a message until it is taken. `unix_seconds` is when it came to be; `id` is the same in every attempt, so that
    /// whoever gets it twice knows.
    ///
    /// # Errors
    /// With what came of the last attempt.
    pub async fn deliver(&self, id: &str, unix_seconds: i64, message: &Value) -> Result<(), Undelivered> {
        let body = message.to_string();
        let signature = self.sign(id, unix_seconds, &body);
        let mut pauses = PAUSES.into_iter();
        loop {
            let post = self
                .client
                .post(self.url.clone())
                .header("content-type", "application/json")
                .header("user-agent", concat!("Voicemesh/", env!("CARGO_PKG_VERSION")))
                .header("webhook-id", id)
                .header("webhook-timestamp", unix_seconds)
                .header("webhook-signature", &signature)
                .body(body.clone());
            let failure = match post.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => Undelivered::Status(answer.status().as_u16()),
                Err(error) => Undelivered::Unreachable(error.without_url()),
            };
            let Some(pause) = pauses.next() else { return Err(failure) };
            tracing::warn!(error = %failure, "a webhook was not taken; it is tried again");
            sleep(pause).await;
        }
    }

    fn sign(&self, id: &str, unix_seconds: i64, body: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose_secret()).expect("a key of any length will do");
        mac.update(format!("{id}.{unix_seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Svix' documentation, whose scheme became the standard.
    #[test]
    fn a_signature_is_what_others_compute() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let webhook = Webhook::new("https://example.com/hook", &secret).unwrap();
        let signature = webhook.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{webhook:?}").contains("MfKQ9r8"));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(Webhook::new("ftp://x", &secret).unwrap_err(), InvalidWebhook::Url);
        for weak in ["", "secret", "whsec_", "whsec_c2hvcnQ="] {
            let refused = Webhook::new("https://example.com", &weak.into()).unwrap_err();
            assert_eq!(refused, InvalidWebhook::Secret, "{weak}");
        }
    }
}
