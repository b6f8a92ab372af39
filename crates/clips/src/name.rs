//! Names of clips: `<40 hex digits>-<10 hex digits>.wav`, a keyed hash and a tag keyed on that.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Bytes of the hash that make up a name.
const NAME_BYTES: usize = 20;
/// Bytes of the tag.
const TAG_BYTES: usize = 5;
const SUFFIX: &str = ".wav";

/// Gives names, and knows those that it has given.
#[derive(Clone)]
pub(crate) struct Names {
    key: Hmac<Sha256>,
}

impl Names {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key =
            Hmac::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        Self { key }
    }

    pub(crate) fn of(&self, text: &str, voice: &str, engine: &str, language: &str) -> String {
        let mut mac = self.key.clone();
        for field in [text, voice, engine, language] {
            // The length first, so that no two lists of fields are the same bytes.
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        let stem = hex(&mac.finalize().into_bytes()[..NAME_BYTES]);
        let tag = self.tag(&stem);
        format!("{stem}-{tag}{SUFFIX}")
    }

    /// Whether a name was given under our key.
    pub(crate) fn has_given(&self, name: &str) -> bool {
        parts(name).is_some_and(|(stem, tag)| self.tag(stem).as_bytes().ct_eq(tag.as_bytes()).into())
    }

    fn tag(&self, stem: &str) -> String {
        let mut mac = self.key.clone();
        mac.update(b"tag:");
        mac.update(stem.as_bytes());
        hex(&mac.finalize().into_bytes()[..TAG_BYTES])
    }
}

/// Whether a name has the form of a clip's, under whichever key.
pub(crate) fn has_form(name: &str) -> bool {
    parts(name).is_some()
}

fn parts(name: &str) -> Option<(&str, &str)> {
    let (stem, tag) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let has_lengths = stem.len() == 2 * NAME_BYTES && tag.len() == 2 * TAG_BYTES;
    (has_lengths && is_hex(stem) && is_hex(tag)).then_some((stem, tag))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
