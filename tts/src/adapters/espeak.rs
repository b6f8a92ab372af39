//! espeak-ng as a child process: no network, no voice file, nothing that can be away.

use std::{
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_stream::stream;
use futures::{StreamExt as _, stream::BoxStream};
use tokio::{io::AsyncWriteExt as _, process::Command};
use voice_audio::wav;

use crate::{
    error::EngineError,
    ports::{Engine, Patience, Sound, Voice},
};

/// It speaks a hundred times faster than life.
const LIMIT: Duration = Duration::from_secs(3);

/// Words a minute: slower than its default, to be understood over a telephone.
const SPEED: &str = "150";

/// What it speaks in.
const HERTZ: u32 = 22_050;

/// The engine of last resort.
#[derive(Clone, Debug, Default)]
pub(crate) struct Espeak {
    /// What is installed; empty until it has been looked up.
    installed: Arc<OnceLock<Vec<Voice>>>,
}

impl Espeak {
    /// Looks up which voices are installed.
    pub(crate) async fn look_up(self) {
        let found = match tokio::time::timeout(LIMIT, list()).await {
            Ok(Ok(voices)) => voices,
            Ok(Err(error)) => {
                tracing::warn!(%error, "espeak-ng cannot be used");
                vec![unusable(error.message)]
            }
            Err(_) => vec![unusable(format!("espeak-ng did not end within {LIMIT:?}"))],
        };
        let _ = self.installed.set(found);
    }
}

impl Engine for Espeak {
    fn name(&self) -> &'static str {
        "espeak-ng"
    }

    fn max_chars(&self) -> usize {
        1_000
    }

    /// The one of the text's language.
    fn default_voice(&self) -> &'static str {
        ""
    }

    fn voices(&self) -> Vec<Voice> {
        self.installed.get().cloned().unwrap_or_default()
    }

    fn patience(&self) -> Patience {
        Patience { first: LIMIT, ..Patience::default() }
    }

    fn speak(
        &self,
        text: &str,
        voice: &str,
        language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>> {
        let voice = voice_of(if voice.is_empty() { language } else { voice });
        let text = text.to_owned();
        let sounds = stream! {
            match speak(&text, &voice).await {
                Ok(audio) => {
                    yield Ok(Sound::Rate(audio.sample_rate_hertz));
                    yield Ok(Sound::Samples(audio.samples));
                }
                Err(error) => yield Err(error),
            }
        };
        sounds.boxed()
    }
}

async fn speak(text: &str, voice: &str) -> Result<voice_audio::Audio, EngineError> {
    let output = run(&["-v", voice, "-s", SPEED, "--stdin", "--stdout"], text).await?;
    wav::read(&output).map_err(|error| failed("said nothing", &error))
}

/// What a child says to a text.
///
/// # Errors
/// When it cannot be started, fails, or does not end in time.
pub(super) async fn run(args: &[&str], text: &str) -> Result<Vec<u8>, EngineError> {
    tokio::time::timeout(LIMIT, run_to_its_end(args, text))
        .await
        .unwrap_or_else(|_| Err(EngineError::new(format!("espeak-ng did not end within {LIMIT:?}"))))
}

async fn run_to_its_end(args: &[&str], text: &str) -> Result<Vec<u8>, EngineError> {
    let mut child = Command::new("espeak-ng")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("cannot be started", &error))?;
    let mut stdin = child.stdin.take().expect("it was piped above");
    stdin.write_all(text.as_bytes()).await.map_err(|error| failed("does not listen", &error))?;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(|error| failed("failed", &error))?;
    if !output.status.success() {
        return Err(failed("failed", &String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(output.stdout)
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> EngineError {
    EngineError::new(format!("espeak-ng {what}: {error}"))
}

/// The voices that are installed, by language: `-v` takes the language's tag.
async fn list() -> Result<Vec<Voice>, EngineError> {
    let output = Command::new("espeak-ng").arg("--voices").kill_on_drop(true).output().await;
    let output = output.map_err(|error| EngineError::new(format!("espeak-ng cannot be started: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tags = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    // Names that `voice_of` would change cannot be asked for.
    let mut tags: Vec<&str> = tags.filter(|tag| voice_of(tag) == **tag).collect();
    tags.dedup();
    if tags.is_empty() {
        return Err(EngineError::new("espeak-ng has no voices installed"));
    }
    let voice = |tag: &str| Voice {
        name: tag.to_owned(),
        languages: vec![tag.to_owned()],
        sample_rate_hertz: HERTZ,
        problem: None,
    };
    Ok(tags.into_iter().map(voice).collect())
}

fn unusable(problem: String) -> Voice {
    Voice { name: String::new(), languages: Vec::new(), sample_rate_hertz: HERTZ, problem: Some(problem) }
}

/// Its name for a language; only letters, digits and hyphens, since it becomes an argument.
fn voice_of(language: &str) -> String {
    let name: String = language
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(24)
        .collect::<String>()
        .to_lowercase();
    let name = name.trim_matches('-');
    if name.is_empty() { "en-us".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_speaks_whatever_is_said_to_it() {
        for text in ["Hello there.", "--help", "-w /tmp/x"] {
            let audio = speak(text, &voice_of("en-US")).await.unwrap();
            assert!(audio.duration() > Duration::from_millis(200), "{text}");
        }
        assert!(speak("Hello", "zz").await.is_err());
    }

    #[tokio::test]
    async fn it_lists_what_is_installed_and_each_can_be_asked_for() {
        let espeak = Espeak::default();
        espeak.clone().look_up().await;
        let voices = espeak.voices();
        for tag in ["de", "en-us", "fr-fr", "es-419", "en-gb-scotland"] {
            assert!(
                voices.iter().any(|voice| voice.name == tag && voice.problem.is_none()),
                "{tag}: {voices:?}"
            );
            assert!(speak("Hallo", &voice_of(tag)).await.is_ok());
        }
    }
}
