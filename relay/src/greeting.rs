//! The operator's own greeting, made playable at start: whatever the transcoder reads becomes a clip.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use voice_audio::{TELEPHONE_HERTZ, duration_of, mulaw, wav};
use voice_clips::Clips;
use voice_transcode::Transcoder;

use crate::{
    assistants::Assistants,
    ports::{Clip, RECORDING},
};

/// A greeting longer than this is a mistake.
const LONGEST: Duration = Duration::from_mins(2);

/// A greeting that can be played, by either door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// For the platform to fetch.
    pub clip: Clip,
    /// Mu-law, to be sent.
    pub audio: Bytes,
}

/// A greeting that is to be kept in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its name there.
    pub filename: String,
    /// Mu-law, as it is played.
    pub file: Bytes,
}

/// Gives every assistant with a greeting of its own the clip, and what is to be put under its name.
pub(crate) async fn prepare(
    assistants: &mut Assistants,
    clips: &Clips,
    transcoder: &Transcoder,
    public_base_url: &str,
) -> anyhow::Result<Vec<Recorded>> {
    let mut all = Vec::new();
    for assistant in assistants.all_mut() {
        let Some(path) = assistant.greeting_file.clone() else { continue };
        let name = path.display().to_string();
        let bytes = Bytes::from(std::fs::read(&path).with_context(|| format!("greeting_file {name}"))?);
        let samples = transcoder
            .transcode(bytes.clone(), TELEPHONE_HERTZ, LONGEST)
            .await
            .with_context(|| format!("greeting_file {name}"))?;
        // Keyed on the content: the same greeting is the same clip, a changed one another.
        let content = String::from_utf8_lossy(&bytes).into_owned();
        let filename = clips.name_for(&content, "", "greeting", "");
        let audio = mulaw::encode(&samples);
        all.push(Recorded { filename: filename.clone(), file: wav::write_mulaw(&audio).into() });
        let clip = Clip {
            url: format!("{public_base_url}/audio/{filename}"),
            duration: duration_of(samples.len(), TELEPHONE_HERTZ),
            engine: RECORDING.to_owned(),
            is_cached: true,
            is_fallback: false,
        };
        assistant.greeting = Some(Greeting { clip, audio: audio.into() });
    }
    Ok(all)
}
