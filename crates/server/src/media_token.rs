//! Tokens that let a media stream in: whoever has one may bring the audio of one call to the relay that owns it, once,
//! within a minute. The relay makes them and sees to it that each is used once; a gateway verifies them before it dials.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tonic::Code;

use crate::status::{Reason, Retry, ServiceError};

/// How long a token is good for: the platform connects within seconds.
pub const LIFETIME: Duration = Duration::from_mins(1);

/// Bytes of the signature that are kept: 128 bits are out of reach for guessing within a minute.
const SIGNATURE: usize = 16;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaToken {
    /// The call whose audio it is.
    pub call_id: String,
    /// Where the relay that owns the call is reached by other services.
    pub relay_addr: String,
    /// When it ceases to be good, to the millisecond: two tokens of one call differ.
    pub expires_at: Timestamp,
}

/// The token lets nobody in. Which of the reasons it is is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media token is forged or expired")]
pub struct TokenRefused;

impl ServiceError for TokenRefused {
    fn reason(&self) -> Reason {
        Reason { name: "MEDIA_TOKEN_REFUSED", code: Code::PermissionDenied, retry: Retry::Never }
    }
}

impl MediaToken {
    /// Makes a token of a call that is good from now on.
    pub fn new(call_id: &str, relay_addr: &str, now: Timestamp) -> Self {
        let millis = now.as_millisecond() + LIFETIME.as_millis() as i64;
        let expires_at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        Self { call_id: call_id.to_owned(), relay_addr: relay_addr.to_owned(), expires_at }
    }

    /// Writes and signs it. The form fits into the path of a URL.
    pub fn sign(&self, key: &SecretString) -> String {
        let Self { call_id, relay_addr, expires_at } = self;
        let payload = format!("{call_id}|{relay_addr}|{}", expires_at.as_millisecond());
        let signature = mac(key, &payload).finalize().into_bytes();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", encode(payload.as_bytes()), encode(&signature[..SIGNATURE]))
    }

    /// Reads a token that this key has signed and that is still good.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(text: &str, key: &SecretString, now: Timestamp) -> Result<Self, TokenRefused> {
        let (payload, signature) = text.split_once('.').ok_or(TokenRefused)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefused);
        let payload = String::from_utf8(decode(payload)?).map_err(|_| TokenRefused)?;
        let signature = decode(signature)?;
        if signature.len() != SIGNATURE {
            return Err(TokenRefused);
        }
        mac(key, &payload).verify_truncated_left(&signature).map_err(|_| TokenRefused)?;
        let mut parts = payload.splitn(3, '|');
        let mut part = || parts.next().ok_or(TokenRefused);
        let (call_id, relay_addr, expiry) = (part()?, part()?, part()?);
        let millis = expiry.parse().map_err(|_| TokenRefused)?;
        let expires_at = Timestamp::from_millisecond(millis).map_err(|_| TokenRefused)?;
        if expires_at <= now {
            return Err(TokenRefused);
        }
        Ok(Self { call_id: call_id.to_owned(), relay_addr: relay_addr.to_owned(), expires_at })
    }
}

fn mac(key: &SecretString, payload: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes())
        .expect("a key of any length can be used");
    // The same key names clips: what is signed here can never be taken for one of those.
    mac.update(b"media:");
    mac.update(payload.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_minute_and_for_its_key_alone() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let (key, other) = (SecretString::from("a key that is long"), SecretString::from("another key"));
        let token = MediaToken::new("ab12-call", "http://10.0.0.7:50051", now);
        let text = token.sign(&key);
        assert_eq!(MediaToken::verify(&text, &key, now), Ok(token.clone()));
        assert_eq!(MediaToken::verify(&text, &other, now), Err(TokenRefused));
        assert_eq!(MediaToken::verify(&text, &key, now + LIFETIME), Err(TokenRefused));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{text}");
        let later = MediaToken::new("ab12-call", "http://10.0.0.7:50051", now + Duration::from_millis(1));
        assert_ne!(later.sign(&key), text, "each is used once, so two of one call differ");
    }

    #[test]
    fn what_was_changed_or_cut_is_refused() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let key = SecretString::from("a key that is long");
        let text = MediaToken::new("call", "http://10.0.0.7:50051", now).sign(&key);
        let (payload, signature) = text.split_once('.').unwrap();
        let forged = MediaToken::new("other", "http://10.0.0.7:50051", now).sign(&"guess".into());
        let (forged_payload, _) = forged.split_once('.').unwrap();
        for wrong in [
            String::new(),
            ".".to_owned(),
            payload.to_owned(),
            format!("{payload}."),
            format!("{payload}.{}", &signature[..8]),
            format!("{forged_payload}.{signature}"),
        ] {
            assert_eq!(MediaToken::verify(&wrong, &key, now), Err(TokenRefused), "{wrong}");
        }
    }
}
