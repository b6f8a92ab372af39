//! The store of playable audio: written by tts and the relay, read by the gateway. Names are keyed hashes of what is
//! said and how, so the same speech is the same clip and nobody can guess one; a short tag, keyed on the name, tells
//! a clip that is gone from a name that never was.
//!
//! A clip is in use for [`IN_USE`] after it was handed out or fetched, and the store's own time of last change says
//! when that was: whoever hands one out brings it up to date, so that all processes agree and a restart forgets
//! nothing. [`Clips::sweep`] removes the least recently used of the others.

mod location;
mod name;
mod sweep;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion, path::Path as StorePath,
};
use secrecy::SecretString;
use tokio::sync::RwLock;

use crate::{location::Opened, name::Names};
pub use crate::{
    location::{Aws, Location},
    sweep::{Limits, Swept},
};

/// A clip is never removed within this time after it was handed out or fetched.
pub const IN_USE: Duration = Duration::from_hours(1);

/// A use is written down when the last one that was is older than this.
const NOTED: Duration = Duration::from_mins(15);

/// Locks between handing out and removing, by name.
const GATES: usize = 64;

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

/// A clip as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The whole file.
    pub bytes: Bytes,
    /// Whether its use should be written down with [`Clips::touch`].
    pub is_touch_due: bool,
}

/// A store of clips. Cheap to clone.
#[derive(Clone)]
pub struct Clips {
    store: Arc<dyn ObjectStore>,
    /// Where the store is a folder: its files' times are set there, which no object store offers.
    folder: Option<Arc<Path>>,
    names: Names,
    gates: Arc<[RwLock<()>; GATES]>,
}

impl std::fmt::Debug for Clips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clips").field("store", &self.store.to_string()).finish_non_exhaustive()
    }
}

impl Clips {
    /// Opens the store at `url` where no credentials are needed: a folder, as a path or `file://` address; it is made
    /// if it does not exist.
    ///
    /// # Errors
    /// When clips cannot be kept there.
    pub fn open(url: &str, secret: &SecretString) -> Result<Self, ClipsError> {
        Location { url: url.to_owned(), aws: Aws::default() }.open(secret)
    }

    fn new(Opened { store, folder }: Opened, secret: &SecretString) -> Self {
        let gates = Arc::new(std::array::from_fn(|_| RwLock::new(())));
        Self { store, folder, names: Names::new(secret), gates }
    }

    /// The name of the clip of a text in a voice of an engine.
    pub fn name_for(&self, text: &str, voice: &str, engine: &str, language: &str) -> String {
        self.names.of(text, voice, engine, language)
    }

    /// Keeps a clip, in one piece or not at all, and gives what is kept under its name: one that is there already, made
    /// by whoever was first, stays as it is and is handed out.
    ///
    /// # Errors
    /// When the name is not one of ours, or the store fails.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<Bytes, ClipsError> {
        let path = self.path(name)?;
        let _held = self.gate(name).read().await;
        loop {
            match self.create(&path, bytes.clone()).await {
                Ok(()) => return Ok(bytes),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(ClipsError::Store(error)),
            }
            match self.hand_out(&path, Timestamp::now()).await {
                // Removed by another process between the two; each round is one of its sweeps, so this ends.
                Err(ClipsError::Gone) => {}
                kept => return kept,
            }
        }
    }

    /// Hands a clip out: reads it and sees to it that it stays for as long as it may be in use.
    ///
    /// # Errors
    /// When there is none, or none any more.
    pub async fn get(&self, name: &str) -> Result<Bytes, ClipsError> {
        let path = self.path(name)?;
        let _held = self.gate(name).read().await;
        self.hand_out(&path, Timestamp::now()).await
    }

    /// Reads a clip and writes nothing, so that its first byte waits for nothing either.
    ///
    /// # Errors
    /// When there is none, or none any more.
    pub async fn read(&self, name: &str) -> Result<Found, ClipsError> {
        let (meta, bytes) = self.load(&self.path(name)?).await?;
        Ok(Found { bytes, is_touch_due: is_touch_due(&meta, Timestamp::now()) })
    }

    /// Writes down that a clip is in use.
    ///
    /// # Errors
    /// When there is none, or none any more.
    pub async fn touch(&self, name: &str) -> Result<(), ClipsError> {
        self.get(name).await.map(drop)
    }

    /// Under the gate: reads a clip and writes its use down if that is due.
    async fn hand_out(&self, path: &StorePath, now: Timestamp) -> Result<Bytes, ClipsError> {
        let (meta, bytes) = self.load(path).await?;
        if !is_touch_due(&meta, now) {
            return Ok(bytes);
        }
        let touched = match &self.folder {
            Some(folder) => touch_file(folder.join(path.as_ref())).await,
            None => self.rewrite(path, meta, bytes.clone()).await,
        };
        match touched {
            Ok(()) | Err(object_store::Error::Precondition { .. }) => {}
            // Another process has just removed it.
            Err(object_store::Error::NotFound { .. }) => match self.create(path, bytes.clone()).await {
                Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(ClipsError::Store(error)),
            },
            Err(error) => tracing::warn!(%error, "the use of a clip could not be written down"),
        }
        Ok(bytes)
    }

    async fn load(&self, path: &StorePath) -> Result<(ObjectMeta, Bytes), ClipsError> {
        let found = self.store.get(path).await.map_err(missing)?;
        let meta = found.meta.clone();
        Ok((meta, found.bytes().await.map_err(missing)?))
    }

    async fn create(&self, path: &StorePath, bytes: Bytes) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store.put_opts(path, bytes.into(), options).await.map(drop)
    }

    /// Writes the same bytes again, which sets the time; only over what was read, so that a clip that was removed and
    /// made anew in between is left alone.
    async fn rewrite(&self, path: &StorePath, meta: ObjectMeta, bytes: Bytes) -> object_store::Result<()> {
        let version = UpdateVersion { e_tag: meta.e_tag, version: meta.version };
        let options = PutOptions { mode: PutMode::Update(version), ..PutOptions::default() };
        self.store.put_opts(path, bytes.into(), options).await.map(drop)
    }

    /// Checks a name without touching the store.
    fn path(&self, name: &str) -> Result<StorePath, ClipsError> {
        if self.names.has_given(name) { Ok(StorePath::from(name)) } else { Err(ClipsError::NotFound) }
    }

    fn gate(&self, name: &str) -> &RwLock<()> {
        let first = name.get(..2).and_then(|digits| usize::from_str_radix(digits, 16).ok());
        &self.gates[first.unwrap_or_default() % GATES]
    }
}

/// How long ago a clip was last in use, as far as it was written down.
fn unused_for(meta: &ObjectMeta, now: Timestamp) -> Duration {
    let millis = now.as_millisecond() - meta.last_modified.timestamp_millis();
    Duration::from_millis(millis.max(0) as u64)
}

fn is_touch_due(meta: &ObjectMeta, now: Timestamp) -> bool {
    unused_for(meta, now) > NOTED
}

async fn touch_file(path: std::path::PathBuf) -> object_store::Result<()> {
    let shown = path.display().to_string();
    let touching = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::options().write(true).open(path)?;
        let now = Duration::from_micros(Timestamp::now().as_microsecond().max(0) as u64);
        file.set_modified(std::time::UNIX_EPOCH + now)
    });
    match touching.await.map_err(std::io::Error::other) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(object_store::Error::NotFound { path: shown, source: error.into() })
        }
        Ok(Err(error)) | Err(error) => {
            Err(object_store::Error::Generic { store: "folder", source: error.into() })
        }
    }
}

/// A name with a valid tag was given out once.
fn missing(error: object_store::Error) -> ClipsError {
    match error {
        object_store::Error::NotFound { .. } => ClipsError::Gone,
        other => ClipsError::Store(other),
    }
}
