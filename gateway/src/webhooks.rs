//! Webhooks of the telephony provider: signed, taken once each, and answered with what the call is to do.

mod document;
mod legs;
mod replays;
mod signature;

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use secrecy::SecretString;

pub(crate) use self::legs::Legs;
use self::{replays::Replays, signature::Signed};
use crate::{
    problem::Problem,
    reason::{INVALID_FORM, WEBHOOK_REFUSED, WEBHOOK_REPLAYED},
};

/// A webhook whose signature is good, and that has not been taken before.
#[derive(Debug)]
pub(crate) struct Webhook {
    /// Its fields: the first value of each name. Of a JSON body there are none.
    pub(crate) fields: BTreeMap<String, String>,
    /// Fields of its address.
    pub(crate) query: BTreeMap<String, String>,
}

/// What a request brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// From the first slash on, with the query.
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

/// Takes webhooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    /// Without a key none is believed.
    key: Option<SecretString>,
    /// The gateway's public address, as the provider calls it.
    base_url: String,
    replays: Replays,
}

impl Webhooks {
    pub(crate) fn new(key: Option<SecretString>, base_url: &str) -> Self {
        Self { key, base_url: without_credentials(base_url), replays: Replays::default() }
    }

    /// Believes a webhook, or does not.
    pub(crate) fn take(&self, received: Received<'_>) -> Result<Webhook, Problem> {
        let Some(key) = &self.key else {
            return Err(Problem::new(
                WEBHOOK_REFUSED,
                "SIGNALWIRE_SIGNING_KEY is not set, so no webhook is believed",
            ));
        };
        let Received { headers, path, body } = received;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let kind = text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let is_json =
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        let form = if is_json { Vec::new() } else { pairs(body) };
        let signed = Signed { base_url: &self.base_url, path, body, form: &form, is_json };
        let signature = signed.verify(key, text).ok_or_else(|| {
            Problem::new(WEBHOOK_REFUSED, "the webhook is not signed with SIGNALWIRE_SIGNING_KEY")
        })?;
        if !self.replays.is_new(&signature) {
            return Err(Problem::new(WEBHOOK_REPLAYED, "the same webhook was taken before"));
        }
        let query = path.split_once('?').map(|(_, query)| pairs(query.as_bytes())).unwrap_or_default();
        Ok(Webhook { fields: by_name(form), query: by_name(query) })
    }
}

impl Webhook {
    /// A field that must be there.
    pub(crate) fn field(&self, name: &str) -> Result<&str, Problem> {
        let value = self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| Problem::new(INVALID_FORM, format!("{name} is missing")))
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

fn by_name(pairs: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for (name, value) in pairs {
        named.entry(name).or_insert(value);
    }
    named
}

/// What is signed has no credentials in its address.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let from = rest[..end].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[from..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
