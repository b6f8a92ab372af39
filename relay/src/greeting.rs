//! The operator's own greeting, made playable at start: any WAV, MP3, FLAC or Ogg Vorbis becomes a clip.

use std::time::Duration;

use anyhow::Context as _;
use voice_audio::{TELEPHONE_HERTZ, decode::decode, duration_of, mulaw, resample::resample, wav};
use voice_clips::Clips;

use crate::{assistants::Assistants, config::Config, ports::Clip};

/// A greeting longer than this is a mistake.
const LONGEST: Duration = Duration::from_mins(2);

pub(crate) async fn prepare(assistants: &mut Assistants, config: &Config) -> anyhow::Result<()> {
    if assistants.all().all(|assistant| assistant.greeting_file.is_none()) {
        return Ok(());
    }
    let clips = Clips::open(&config.clip_store_url, &config.secret_key).context("CLIP_STORE_URL")?;
    for assistant in assistants.all_mut() {
        let Some(path) = assistant.greeting_file.clone() else { continue };
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).with_context(|| format!("greeting_file {name}"))?;
        let audio = decode(&bytes, LONGEST).with_context(|| format!("greeting_file {name}"))?;
        let samples = resample(&audio.samples, audio.sample_rate_hertz, TELEPHONE_HERTZ);
        // Keyed on the content: the same greeting is the same clip, a changed one another.
        let content = String::from_utf8_lossy(&bytes).into_owned();
        let filename = clips.name_for(&content, "", "greeting", "");
        let file = wav::write_mulaw(&mulaw::encode(&samples));
        clips.put(&filename, file.into()).await.with_context(|| format!("greeting_file {name}"))?;
        assistant.greeting_clip = Some(Clip {
            url: format!("{}/audio/{filename}", config.public_base_url),
            duration: duration_of(samples.len(), TELEPHONE_HERTZ),
            engine: String::new(),
        });
    }
    Ok(())
}
