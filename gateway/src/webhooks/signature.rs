//! The provider's two ways to sign a webhook: over the raw body, for JSON, and over the sorted fields, for forms.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::FixedOutput};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const SHA1_HEADERS: [&str; 2] = ["x-signalwire-signature", "x-twilio-signature"];
const SHA256_HEADER: &str = "x-signalwire-sha256-signature";

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// The public address, as configured.
    pub(super) base_url: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    pub(super) form: &'a [(String, String)],
    pub(super) is_json: bool,
}

impl Signed<'_> {
    /// Gives the signature that is good, if one of the headers has a good one.
    pub(super) fn verify<'h>(
        &self,
        key: &SecretString,
        header: impl Fn(&str) -> Option<&'h str>,
    ) -> Option<Vec<u8>> {
        let urls = self.urls();
        if self.is_json
            && let Some(shown) = header(SHA256_HEADER)
        {
            // Whoever shows the stronger one is held to it.
            return urls.iter().find_map(|url| {
                let good = hex(&mac::<Hmac<Sha256>>(key, [url.as_bytes(), self.body]));
                is_same(&good, shown)
            });
        }
        let shown = SHA1_HEADERS.into_iter().find_map(header)?;
        urls.iter().find_map(|url| {
            if !self.is_json || self.has_body_digest() {
                is_same(&STANDARD.encode(self.form_mac(key, url)), shown)
            } else {
                is_same(&hex(&mac::<Hmac<Sha1>>(key, [url.as_bytes(), self.body])), shown)
            }
        })
    }

    /// The address as it is, and with and without the port that its scheme implies.
    fn urls(&self) -> Vec<String> {
        let Self { base_url, path, .. } = self;
        let mut bases = vec![(*base_url).to_owned()];
        for (scheme, port) in [("https://", ":443"), ("http://", ":80")] {
            let Some(rest) = base_url.strip_prefix(scheme) else { continue };
            let (host, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            match host.strip_suffix(port) {
                Some(bare) => bases.push(format!("{scheme}{bare}{prefix}")),
                None => bases.push(format!("{scheme}{host}{port}{prefix}")),
            }
        }
        bases.into_iter().map(|base| format!("{base}{path}")).collect()
    }

    /// Whether the address has the digest of the body in it, and the body is that.
    fn has_body_digest(&self) -> bool {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let digest = query.split('&').find_map(|pair| pair.strip_prefix("bodySHA256="));
        digest.is_some_and(|digest| is_same(&hex(&Sha256::digest(self.body)), digest).is_some())
    }

    fn form_mac(&self, key: &SecretString, url: &str) -> Vec<u8> {
        let mut sorted: Vec<_> = self.form.iter().collect();
        // Values of one name keep their order.
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let fields = sorted.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        mac::<Hmac<Sha1>>(key, std::iter::once(url.as_bytes()).chain(fields))
    }
}

fn mac<'a, M: Mac + KeyInit + FixedOutput>(
    key: &SecretString,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut mac =
        <M as KeyInit>::new_from_slice(key.expose_secret().as_bytes()).expect("a key may have any length");
    for part in parts {
        Mac::update(&mut mac, part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("four bits are one digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0F)]).collect()
}

fn is_same(good: &str, shown: &str) -> Option<Vec<u8>> {
    bool::from(good.as_bytes().ct_eq(shown.as_bytes())).then(|| good.as_bytes().to_vec())
}
