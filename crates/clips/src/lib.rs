//! The store of playable audio: written by tts and the relay, read by the gateway. Names are keyed hashes of what is
//! said and how, so the same speech is the same clip and nobody can guess one; a short tag, keyed on the name, tells
//! a clip that is gone from a name that never was.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, local::LocalFileSystem, path::Path as StorePath,
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Bytes of the hash that make up a name.
const NAME_BYTES: usize = 20;
/// Bytes of the tag.
const TAG_BYTES: usize = 5;
const SUFFIX: &str = ".wav";

/// What can go wrong with a clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipsError {
    /// `CLIP_STORE_URL` names nothing that clips can be kept in.
    #[error("CLIP_STORE_URL: {0}")]
    Config(String),
    /// No clip ever had this name.
    #[error("there is no such clip")]
    NotFound,
    /// There was such a clip once.
    #[error("the clip has expired")]
    Gone,
    /// The store fails.
    #[error("the clip store does not work")]
    Store(#[source] object_store::Error),
}

/// A store of clips. Cheap to clone.
#[derive(Clone)]
pub struct Clips {
    store: Arc<dyn ObjectStore>,
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for Clips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clips").finish_non_exhaustive()
    }
}

impl Clips {
    /// Opens the store at `url`: a folder, as a path or `file://` address; it is made if it does not exist.
    ///
    /// # Errors
    /// When clips cannot be kept there.
    pub fn open(url: &str, secret: &SecretString) -> Result<Self, ClipsError> {
        let path = match url.split_once("://") {
            None => PathBuf::from(url),
            Some(("file", path)) => PathBuf::from(path),
            Some((scheme, _)) => {
                return Err(ClipsError::Config(format!(
                    "\"{scheme}://\" is not supported; use a folder or file://"
                )));
            }
        };
        let failed =
            |error: &dyn std::fmt::Display| ClipsError::Config(format!("{}: {error}", path.display()));
        std::fs::create_dir_all(&path).map_err(|error| failed(&error))?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(|error| failed(&error))?;
        let key =
            Hmac::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        Ok(Self { store: Arc::new(store), key })
    }

    /// The name of the clip of a text in a voice of an engine.
    pub fn name_for(&self, text: &str, voice: &str, engine: &str, language: &str) -> String {
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

    /// Keeps a clip. One that is there already stays as it is: the same name is the same speech.
    ///
    /// # Errors
    /// When the name is not one of ours, or the store fails.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), ClipsError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.path(name)?, bytes.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(ClipsError::Store(error)),
        }
    }

    /// Reads a clip.
    ///
    /// # Errors
    /// When there is none, or none any more.
    pub async fn get(&self, name: &str) -> Result<Bytes, ClipsError> {
        let found = self.store.get(&self.path(name)?).await.map_err(missing)?;
        found.bytes().await.map_err(missing)
    }

    /// The size of a clip in bytes.
    ///
    /// # Errors
    /// When there is none, or none any more.
    pub async fn size(&self, name: &str) -> Result<u64, ClipsError> {
        Ok(self.store.head(&self.path(name)?).await.map_err(missing)?.size)
    }

    /// Checks a name without touching the store.
    fn path(&self, name: &str) -> Result<StorePath, ClipsError> {
        let parts = name.strip_suffix(SUFFIX).and_then(|stem| stem.split_once('-'));
        let (stem, tag) = parts.ok_or(ClipsError::NotFound)?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if stem.len() != 2 * NAME_BYTES || tag.len() != 2 * TAG_BYTES || !is_hex(stem) || !is_hex(tag) {
            return Err(ClipsError::NotFound);
        }
        if !bool::from(self.tag(stem).as_bytes().ct_eq(tag.as_bytes())) {
            return Err(ClipsError::NotFound);
        }
        Ok(StorePath::from(name))
    }

    fn tag(&self, stem: &str) -> String {
        let mut mac = self.key.clone();
        mac.update(b"tag:");
        mac.update(stem.as_bytes());
        hex(&mac.finalize().into_bytes()[..TAG_BYTES])
    }
}

/// A name with a valid tag was given out once.
fn missing(error: object_store::Error) -> ClipsError {
    match error {
        object_store::Error::NotFound { .. } => ClipsError::Gone,
        other => ClipsError::Store(other),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &std::path::Path, secret: &str) -> Clips {
        Clips::open(&folder.display().to_string(), &secret.to_owned().into()).unwrap()
    }

    #[tokio::test]
    async fn a_clip_is_written_once_and_found_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let clips = open(folder.path(), "first secret");
        let name = clips.name_for("Hello.", "troy", "groq", "en-US");
        clips.put(&name, Bytes::from_static(b"one")).await.unwrap();
        clips.put(&name, Bytes::from_static(b"two")).await.unwrap();
        let again = open(folder.path(), "first secret");
        assert_eq!(again.get(&again.name_for("Hello.", "troy", "groq", "en-US")).await.unwrap(), "one");
        assert_eq!(again.size(&name).await.unwrap(), 3);
        let other = open(folder.path(), "other secret");
        assert!(matches!(other.get(&name).await, Err(ClipsError::NotFound)));
    }

    #[tokio::test]
    async fn what_is_gone_is_told_from_what_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let clips = open(folder.path(), "secret");
        let name = clips.name_for("a", "b", "c", "d");
        assert!(matches!(clips.get(&name).await, Err(ClipsError::Gone)));
        let forged = name.replace('-', "0").replacen('0', "-", 1);
        let upper = name.to_uppercase();
        let inside = format!("../{name}");
        for bad in [
            "",
            "x.wav",
            "../../etc/passwd",
            "..%2f",
            forged.as_str(),
            upper.as_str(),
            inside.as_str(),
            "welcome.wav",
        ] {
            assert!(matches!(clips.get(bad).await, Err(ClipsError::NotFound)), "{bad}");
            assert!(matches!(clips.put(bad, Bytes::new()).await, Err(ClipsError::NotFound)), "{bad}");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other_and_other_stores_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let clips = open(folder.path(), "secret");
        assert_ne!(clips.name_for("ab", "c", "", ""), clips.name_for("a", "bc", "", ""));
        let error = Clips::open("s3://bucket", &"secret".to_owned().into()).unwrap_err();
        assert!(error.to_string().contains("CLIP_STORE_URL"), "{error}");
    }
}
