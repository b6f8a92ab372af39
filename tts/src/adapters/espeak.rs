//! espeak-ng as a child process: no network, no voice file, nothing that can be away.

use std::{process::Stdio, time::Duration};

use async_stream::stream;
use futures::{StreamExt as _, stream::BoxStream};
use tokio::{io::AsyncWriteExt as _, process::Command};
use voice_audio::wav;

use crate::{
    error::EngineError,
    ports::{Engine, Sound, Voice},
};

/// It speaks a hundred times faster than life.
const LIMIT: Duration = Duration::from_secs(3);

/// Words a minute: slower than its default, to be understood over a telephone.
const SPEED: &str = "150";

/// The engine of last resort.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Espeak;

impl Engine for Espeak {
    fn name(&self) -> &'static str {
        "espeak-ng"
    }

    fn max_chars(&self) -> usize {
        1_000
    }

    fn default_voice(&self) -> &'static str {
        ""
    }

    fn voices(&self) -> Vec<Voice> {
        vec![Voice { name: String::new(), languages: Vec::new(), sample_rate_hertz: 22_050, problem: None }]
    }

    fn speak(
        &self,
        text: &str,
        _voice: &str,
        language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>> {
        let (text, voice) = (text.to_owned(), voice_of(language));
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

/// Its name for a language; only letters and hyphens, since it becomes an argument.
fn voice_of(language: &str) -> String {
    let name: String = language
        .chars()
        .filter(|c| c.is_ascii_alphabetic() || *c == '-')
        .take(12)
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
}
