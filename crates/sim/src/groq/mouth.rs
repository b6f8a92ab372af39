//! Speech by a `flite` child, or a tone.

use std::{collections::HashMap, f64::consts::TAU, process::Stdio, sync::Mutex, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::{process::Command, sync::Semaphore, time::timeout};
use voice_audio::{mulaw::to_i16, resample::resample, wav};

use super::settings::TtsMode;

/// The rate of Orpheus.
pub(super) const HERTZ: u32 = 24_000;

/// Flite takes 0.06 s for a sentence.
const DEADLINE: Duration = Duration::from_secs(15);
/// Children at a time.
const CHILDREN: usize = 2;
/// Texts that are remembered; a demonstration has a few dozen.
const REMEMBERED: usize = 512;
/// What a character takes to say, roughly: the tone is as long as speech would be.
const CANNED_SAMPLES_PER_CHAR: usize = HERTZ as usize * 60 / 1000;

/// The synthesiser.
#[derive(Debug)]
pub(super) struct Mouth {
    children: Semaphore,
    /// 16-bit samples by voice (none for the tone) and text.
    said: Mutex<HashMap<(Option<&'static str>, String), Bytes>>,
}

impl Mouth {
    pub(super) fn new() -> Self {
        Self { children: Semaphore::new(CHILDREN), said: Mutex::default() }
    }

    /// Finds flite.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        self.speak("rms", "ready").await.map(drop)
    }

    /// Gives little-endian 16-bit samples at [`HERTZ`].
    pub(super) async fn say(&self, mode: TtsMode, voice: &str, text: &str) -> anyhow::Result<Bytes> {
        let voice = match mode {
            TtsMode::Real => Some(flite_voice(voice)),
            TtsMode::Canned => None,
        };
        let key = (voice, text.to_owned());
        if let Some(known) = self.said.lock().expect("no panic while locked").get(&key) {
            return Ok(known.clone());
        }
        let samples = match voice {
            Some(voice) => self.speak(voice, text).await?,
            None => tone(text.chars().count() * CANNED_SAMPLES_PER_CHAR),
        };
        let pcm: Bytes = samples.iter().flat_map(|sample| to_i16(*sample).to_le_bytes()).collect();
        let mut said = self.said.lock().expect("no panic while locked");
        if said.len() >= REMEMBERED {
            said.clear();
        }
        said.insert(key, pcm.clone());
        Ok(pcm)
    }

    async fn speak(&self, voice: &str, text: &str) -> anyhow::Result<Vec<f32>> {
        let file = tempfile::NamedTempFile::new().context("a file for flite")?;
        let _permit = self.children.acquire().await?;
        let child = Command::new("flite")
            .args(["-voice", voice, "-t", text, "-o"])
            .arg(file.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(DEADLINE, child).await.context("flite takes too long")?.context("flite")?;
        anyhow::ensure!(output.status.success(), "flite failed: {}", String::from_utf8_lossy(&output.stderr));
        let bytes = tokio::fs::read(file.path()).await?;
        let audio = wav::read(&bytes).context("what flite wrote")?;
        let resampled = move || resample(&audio.samples, audio.sample_rate_hertz, HERTZ);
        Ok(tokio::task::spawn_blocking(resampled).await?)
    }
}

/// Gives Orpheus's voices flite's throats; `rms` is the one that recognisers understand best.
fn flite_voice(voice: &str) -> &'static str {
    match voice {
        "autumn" | "diana" | "hannah" => "slt",
        "austin" => "awb",
        "daniel" => "kal16",
        _ => "rms",
    }
}

fn tone(samples: usize) -> Vec<f32> {
    (0..samples).map(|at| (0.3 * (TAU * 440.0 * at as f64 / f64::from(HERTZ)).sin()) as f32).collect()
}
