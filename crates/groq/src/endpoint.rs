//! Where a service is, and how it knows us.

use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

/// One server: its address and the key it wants, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    api: Url,
    /// Marked sensitive, so that its `Debug` shows nothing.
    authorization: Option<HeaderValue>,
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The base URL is not one.
    #[error("not an http or https URL: {0:?}")]
    Url(String),
    /// The key holds characters that no HTTP header may carry, a line break for instance.
    #[error("the API key holds characters that cannot be sent")]
    Key,
}

impl Endpoint {
    /// Names a server. A `base_url` without a path means Groq's own layout (`/openai/v1` is added); one that ends in
    /// `/v1` is taken as it stands, which is how Ollama, vLLM, llama.cpp and `OpenAI` itself are named.
    /// An absent or empty key sends no `Authorization`.
    ///
    /// # Errors
    /// When the URL is not http(s), or the key cannot be put into a header.
    pub fn new(base_url: &str, api_key: Option<SecretString>) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint::Url(base_url.to_owned());
        let mut api = Url::parse(base_url).map_err(|_| invalid())?;
        if !matches!(api.scheme(), "http" | "https") || api.host_str().is_none() {
            return Err(invalid());
        }
        api.set_query(None);
        api.set_fragment(None);
        let path = api.path().trim_end_matches('/').to_owned();
        let path = if path.ends_with("/v1") { path } else { format!("{path}/openai/v1") };
        api.set_path(&path);
        let authorization = match api_key {
            Some(key) if !key.expose_secret().is_empty() => Some(bearer(&key)?),
            _ => None,
        };
        Ok(Self { api, authorization })
    }

    /// The address of one operation, `audio/speech` for instance.
    pub(crate) fn url(&self, operation: &str) -> Url {
        let mut url = self.api.clone();
        url.set_path(&format!("{}/{operation}", self.api.path()));
        url
    }

    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, InvalidEndpoint> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
        .map_err(|_| InvalidEndpoint::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_and_the_short_form_of_a_base_url_are_both_understood() {
        for (base, models) in [
            ("https://api.groq.com", "https://api.groq.com/openai/v1/models"),
            ("https://api.groq.com/", "https://api.groq.com/openai/v1/models"),
            ("https://api.groq.com/openai/v1/", "https://api.groq.com/openai/v1/models"),
            ("http://localhost:11434/v1", "http://localhost:11434/v1/models"),
            ("http://proxy/groq", "http://proxy/groq/openai/v1/models"),
        ] {
            assert_eq!(Endpoint::new(base, None).unwrap().url("models").as_str(), models);
        }
    }

    #[test]
    fn what_is_not_a_url_or_not_a_key_is_refused() {
        assert!(matches!(Endpoint::new("api.groq.com", None), Err(InvalidEndpoint::Url(_))));
        assert!(matches!(Endpoint::new("file:///etc", None), Err(InvalidEndpoint::Url(_))));
        let key = Some(SecretString::from("gsk_a\nb"));
        assert!(matches!(Endpoint::new("http://x", key), Err(InvalidEndpoint::Key)));
    }

    #[test]
    fn a_key_is_never_shown() {
        let endpoint = Endpoint::new("http://x", Some(SecretString::from("gsk_secret"))).unwrap();
        assert!(!format!("{endpoint:?}").contains("gsk_secret"));
        assert_eq!(Endpoint::new("http://x", Some(SecretString::from(""))).unwrap().authorization(), None);
    }
}
