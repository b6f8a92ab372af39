//! Callers' voices (flite) and somebody who understands them (pocketsphinx with the expected sentences as grammar).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
    task::JoinSet,
};

/// A sentence takes a fraction of this, on a machine that is not overloaded.
const LIMIT: Duration = Duration::from_mins(1);

/// Sentences that were not said, so that recognising the right one means something.
const DISTRACTORS: [&str; 12] = [
    "the weather is nice in the mountains today",
    "please bring the blue bicycle to the station",
    "my brother plays the piano every friday",
    "there are seven green bottles on the wall",
    "we walked along the river until midnight",
    "the doctor will call you back tomorrow",
    "she bought a new coat for the winter",
    "the train to the city leaves at noon",
    "he forgot his keys on the kitchen table",
    "they sold the old house last summer",
    "a cup of tea would be very welcome",
    "the children are playing in the garden",
];

/// A sentence in the caller's voice, as WAV. Made once for each sentence and kept.
///
/// # Errors
/// When flite is missing or fails.
pub async fn spoken(text: &str) -> anyhow::Result<Vec<u8>> {
    let folder = target_folder().join("voices");
    tokio::fs::create_dir_all(&folder).await?;
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let path = folder.join(format!("{}.wav", &name[..name.len().min(120)]));
    if !path.exists() {
        let made = tempfile::NamedTempFile::new_in(&folder)?.into_temp_path();
        let flite = Command::new("flite")
            .args(["-voice", "slt", "-t", text, "-o"])
            .arg(&made)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output =
            tokio::time::timeout(LIMIT, flite).await?.context("flite is missing: run `make setup`")?;
        if !output.status.success() {
            bail!("flite failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        made.persist(&path)?;
    }
    Ok(tokio::fs::read(path).await?)
}

/// Recognises which of `expected` a stretch of telephone audio is; it must tell it from the others and from
/// sentences that nobody said. Samples are 8 kHz.
///
/// # Errors
/// When pocketsphinx is missing or fails.
pub async fn recognised(samples: &[f32], expected: &[String]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let grammar = folder.path().join("sentences.gram");
    let sentences: Vec<String> =
        expected.iter().map(|text| words(text)).chain(DISTRACTORS.map(str::to_owned)).collect();
    std::fs::write(&grammar, format!("#JSGF V1.0;\ngrammar s;\npublic <s> = {};\n", sentences.join(" | ")))?;
    let wav = folder.path().join("heard.wav");
    // A sentence that begins at once is harder to find than one with a little silence around it.
    let edge = vec![0.0; 2_400];
    let samples = [&edge, samples, &edge].concat();
    let audio = voice_audio::Audio {
        samples: voice_audio::resample::resample(&samples, voice_audio::TELEPHONE_HERTZ, 16_000),
        sample_rate_hertz: 16_000,
    };
    std::fs::write(&wav, voice_audio::wav::write_pcm16(&audio))?;
    // The batch program takes the stretch as one utterance; the continuous one would cut it at pauses, and a part of
    // a sentence is not in the grammar.
    std::fs::write(folder.path().join("list"), "heard\n")?;
    let hypothesis = folder.path().join("hypothesis");
    let model = Path::new("/usr/share/pocketsphinx/model/en-us");
    let listening = Command::new("pocketsphinx_batch")
        .args(["-adcin", "yes", "-adchdr", "44", "-cepext", ".wav", "-cepdir"])
        .arg(folder.path())
        .arg("-ctl")
        .arg(folder.path().join("list"))
        .arg("-hyp")
        .arg(&hypothesis)
        .arg("-hmm")
        .arg(model.join("en-us"))
        .arg("-dict")
        .arg(model.join("cmudict-en-us.dict"))
        .arg("-jsgf")
        .arg(&grammar)
        // The telephone's band is half of what the model was trained on: its search must give up later.
        .args(["-beam", "1e-100", "-pbeam", "1e-100", "-wbeam", "1e-80"])
        .args(["-logfn", "/dev/null"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(LIMIT, listening).await?.context("pocketsphinx is missing: run `make setup`")?;
    if !output.status.success() {
        bail!("pocketsphinx failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    // The words, then the file's name and a score in parentheses.
    let line = std::fs::read_to_string(hypothesis)?;
    Ok(line.split('(').next().unwrap_or_default().trim().to_owned())
}

/// The words of a text, as a grammar has them.
pub fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '\'' { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where build products go.
pub fn target_folder() -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its own binary");
    let folder = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    folder.map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// Serves a recording to whoever asks, for as long as `tasks` live; gives its address.
///
/// # Errors
/// When no port is free.
pub async fn hosted(wav: Vec<u8>, tasks: &mut JoinSet<()>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/recording.wav", listener.local_addr()?);
    host(listener, wav, tasks);
    Ok(url)
}

/// Serves a recording at a place that is known already.
pub fn host(listener: TcpListener, wav: Vec<u8>, tasks: &mut JoinSet<()>) {
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                wav.len()
            );
            let _ = socket.read(&mut [0; 2_048]).await;
            let _ = socket.write_all(&[head.as_bytes(), &wav].concat()).await;
        }
    });
}
