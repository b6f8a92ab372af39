//! ffmpeg as a child process: a file goes in at one end, samples come out at the other. It is given pipes and
//! nothing else: no file, no network, no playlist that would name one.

use std::{io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};
use voice_audio::{Audio, AudioError, decode::decode};

use crate::TranscodeError;

/// It works a hundred times faster than life; the longest file takes a few seconds.
const DEADLINE: Duration = Duration::from_secs(20);
/// What is kept of its complaints.
const COMPLAINTS: u64 = 2_048;
/// The most that it may hold in one piece.
const MOST_ALLOCATED: &str = "67108864";
/// Samples at this rate are the most that is read of an answer.
const MOST_HERTZ: u64 = 48_000;
/// More than a header of its answer.
const HEADER: u64 = 4_096;

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct Ffmpeg {
    program: String,
    deadline: Duration,
}

impl Default for Ffmpeg {
    fn default() -> Self {
        Self { program: "ffmpeg".to_owned(), deadline: DEADLINE }
    }
}

impl Ffmpeg {
    /// Looks whether it is there.
    pub(crate) async fn check(&self) -> Result<(), TranscodeError> {
        let run = Command::new(&self.program)
            .arg("-version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        let status = tokio::time::timeout(self.deadline, run)
            .await
            .map_err(|_| TranscodeError::TooSlow(self.deadline))?;
        let status = status.map_err(|error| no_ffmpeg("TRANSCODER=ffmpeg", error))?;
        if status.success() { Ok(()) } else { Err(TranscodeError::Ffmpeg(status.to_string())) }
    }

    /// One channel of a file, at a rate or at its own.
    pub(crate) async fn transcode(
        &self,
        file: &[u8],
        hertz: Option<u32>,
        limit: Duration,
        why: &str,
    ) -> Result<Audio, TranscodeError> {
        // Dropping it kills the child.
        let run = self.run(file, hertz, limit, why);
        let answer = tokio::time::timeout(self.deadline, run)
            .await
            .map_err(|_| TranscodeError::TooSlow(self.deadline))??;
        Ok(decode(&answer, limit)?)
    }

    async fn run(
        &self,
        file: &[u8],
        hertz: Option<u32>,
        limit: Duration,
        why: &str,
    ) -> Result<Vec<u8>, TranscodeError> {
        let mut child = Command::new(&self.program)
            .args(arguments(hertz, limit))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| no_ffmpeg(why, error))?;
        let mut stdin = child.stdin.take().expect("it was piped above");
        let stdout = child.stdout.take().expect("it was piped above");
        let stderr = child.stderr.take().expect("it was piped above");
        let broken = |error: io::Error| TranscodeError::Ffmpeg(error.to_string());
        let feed = async move {
            // It hangs up when it has read enough, or has failed: the status tells which.
            stdin.write_all(file).await.ok();
            Ok(())
        };
        let most = HEADER + (limit.as_secs() + 2) * MOST_HERTZ * 4;
        let answer = async move {
            let mut answer = Vec::new();
            stdout.take(most + 1).read_to_end(&mut answer).await.map_err(broken)?;
            if answer.len() as u64 > most { Err(AudioError::TooLong { limit }.into()) } else { Ok(answer) }
        };
        let complaints = async move { beginning(stderr).await.map_err(broken) };
        let ((), answer, complaints) = tokio::try_join!(feed, answer, complaints)?;
        let status = child.wait().await.map_err(broken)?;
        if !status.success() {
            let complaints = String::from_utf8_lossy(&complaints).trim().replace('\n', " ");
            return Err(TranscodeError::Ffmpeg(format!("{status}: {complaints}")));
        }
        Ok(answer)
    }
}

fn no_ffmpeg(why: &str, error: io::Error) -> TranscodeError {
    TranscodeError::NoFfmpeg { why: why.to_owned(), error }
}

/// Reads to the end and keeps the beginning.
async fn beginning(mut from: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut from).take(COMPLAINTS).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// What ffmpeg is asked for: the first sound of the file, one channel, floats, and not much more than the limit.
fn arguments(hertz: Option<u32>, limit: Duration) -> Vec<String> {
    let longest = format!("{:.3}", limit.as_secs_f64() + 1.0);
    let before = ["-v", "error", "-nostdin", "-max_alloc", MOST_ALLOCATED, "-protocol_whitelist", "pipe"];
    let input = ["-i", "pipe:0", "-map", "0:a:0", "-t", &longest, "-ac", "1"];
    let rate = hertz.map(|hertz| ["-ar".to_owned(), hertz.to_string()]);
    let output = ["-threads", "1", "-map_metadata", "-1", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    [owned(&before), owned(&input), rate.into_iter().flatten().collect(), owned(&output)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_one_channel_through_pipes_alone() {
        let asked = arguments(Some(8_000), Duration::from_mins(2)).join(" ");
        assert_eq!(
            asked,
            "-v error -nostdin -max_alloc 67108864 -protocol_whitelist pipe -i pipe:0 -map 0:a:0 -t 121.000 -ac 1 \
             -ar 8000 -threads 1 -map_metadata -1 -c:a pcm_f32le -f wav pipe:1"
        );
        assert!(!arguments(None, Duration::from_secs(1)).contains(&"-ar".to_owned()));
    }

    #[tokio::test]
    async fn one_that_is_not_installed_is_named_with_what_it_is_needed_for() {
        let none = Ffmpeg { program: "no-such-program".to_owned(), ..Ffmpeg::default() };
        let error = none.transcode(b"OggS", None, Duration::from_secs(1), "it is Opus").await.unwrap_err();
        assert!(matches!(error, TranscodeError::NoFfmpeg { .. }), "{error}");
        assert!(error.to_string().starts_with("it is Opus: ffmpeg is needed"), "{error}");
        assert!(matches!(none.check().await, Err(TranscodeError::NoFfmpeg { .. })));
    }

    /// A program that another thread's child has still open for writing cannot be run.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    type Script = (tempfile::TempPath, tokio::sync::MutexGuard<'static, ()>);

    /// A program of a test's own.
    async fn script(text: &str) -> (Script, Ffmpeg) {
        use std::os::unix::fs::PermissionsExt as _;
        let alone = ONE_AT_A_TIME.lock().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = file.into_temp_path();
        let program = path.to_str().unwrap().to_owned();
        ((path, alone), Ffmpeg { program, deadline: DEADLINE })
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_at_the_deadline() {
        let pid = tempfile::NamedTempFile::new().unwrap();
        let (_path, hanging) = script(&format!("echo $$ > {}; exec sleep 600", pid.path().display())).await;
        // Time enough for a busy machine to start it.
        let hanging = Ffmpeg { deadline: Duration::from_secs(3), ..hanging };
        let error = hanging.transcode(&vec![0; 1 << 20], None, Duration::from_secs(1), "").await.unwrap_err();
        assert!(matches!(error, TranscodeError::TooSlow(_)), "{error}");
        let pid = std::fs::read_to_string(pid).unwrap();
        let is_gone = || {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            status.map_or(true, |status| status.contains(" Z "))
        };
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_never_stops_writing_is_stopped() {
        let (_path, endless) = script("exec cat /dev/zero").await;
        let error = endless.transcode(b"", None, Duration::from_secs(1), "").await.unwrap_err();
        assert!(matches!(error, TranscodeError::Audio(AudioError::TooLong { .. })), "{error}");
    }

    #[tokio::test]
    async fn its_complaints_are_told_shortened() {
        let (_path, complaining) = script("yes 'no idea' | head -n 10000 >&2; exit 3").await;
        let error =
            complaining.transcode(b"", None, Duration::from_secs(1), "").await.unwrap_err().to_string();
        assert!(error.contains("no idea") && error.contains("exit status: 3"), "{error}");
        assert!(error.len() < 3_000, "{}", error.len());
    }
}
