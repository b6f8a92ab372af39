//! Speech recognition by a `pocketsphinx_continuous` child.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    process::Command,
    sync::{OnceCell, Semaphore},
    time::timeout,
};
use voice_audio::{Audio, resample::resample, wav};

use super::grammar::Grammar;

const PROGRAM: &str = "pocketsphinx_continuous";
const PACKAGE: &str = "pocketsphinx-en-us";

/// The rate that the acoustic model was trained at; no other works.
const MODEL_HERTZ: u32 = 16_000;
/// Silence around the audio, without which the first and the last word go unheard.
const MARGIN: Duration = Duration::from_millis(300);
/// One sentence takes 0.3 s, ten times that on a busy machine.
const DEADLINE: Duration = Duration::from_secs(15);
/// Children at a time: the machine has other things to do.
const CHILDREN: usize = 2;

/// The recogniser.
#[derive(Debug)]
pub(super) struct Ear {
    model: OnceCell<Model>,
    children: Semaphore,
}

#[derive(Debug)]
struct Model {
    acoustic: PathBuf,
    dictionary: PathBuf,
    words: HashSet<String>,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self { model: OnceCell::new(), children: Semaphore::new(CHILDREN) }
    }

    /// Finds the model, once.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        self.model().await.map(drop)
    }

    /// Gives the sentences that are said, nothing if none is understood.
    pub(super) async fn recognise(&self, audio: Audio, grammar: &Grammar) -> anyhow::Result<String> {
        let model = self.model().await?;
        let grammar = grammar.pronounceable(&model.words);
        let folder = tempfile::tempdir().context("a folder for the recogniser")?;
        let (wav_path, grammar_path, log_path) =
            (folder.path().join("heard.wav"), folder.path().join("calls.gram"), folder.path().join("log"));
        let file = tokio::task::spawn_blocking(move || wav::write_pcm16(&prepare(&audio))).await?;
        tokio::fs::write(&wav_path, file).await?;
        tokio::fs::write(&grammar_path, grammar.to_jsgf()).await?;

        let _permit = self.children.acquire().await?;
        let child = Command::new(PROGRAM)
            .arg("-infile")
            .arg(&wav_path)
            .arg("-hmm")
            .arg(&model.acoustic)
            .arg("-dict")
            .arg(&model.dictionary)
            .arg("-jsgf")
            .arg(&grammar_path)
            .arg("-logfn")
            .arg(&log_path)
            // The telephone's band is half of what the model was trained on: its search must give up later.
            .args(["-beam", "1e-100", "-pbeam", "1e-100", "-wbeam", "1e-80"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output =
            timeout(DEADLINE, child).await.context("the recogniser takes too long")?.context(PROGRAM)?;
        if !output.status.success() {
            let log = tokio::fs::read_to_string(&log_path).await.unwrap_or_default();
            let error = log.lines().rev().find(|line| line.contains("ERROR")).unwrap_or("no reason given");
            anyhow::bail!("{PROGRAM} failed: {error}");
        }
        Ok(grammar.written(&String::from_utf8_lossy(&output.stdout)))
    }

    async fn model(&self) -> anyhow::Result<&Model> {
        self.model.get_or_try_init(find_model).await
    }
}

/// The folder of Debian's package, wherever it puts it.
async fn find_model() -> anyhow::Result<Model> {
    let usual = PathBuf::from("/usr/share/pocketsphinx/model/en-us");
    let folder = if usual.join("cmudict-en-us.dict").exists() {
        usual
    } else {
        let missing = || format!("speech recognition needs the packages pocketsphinx and {PACKAGE}");
        let listing = Command::new("dpkg").args(["-L", PACKAGE]).output().await.with_context(missing)?;
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        let dictionary =
            listing.lines().find(|line| line.ends_with("cmudict-en-us.dict")).with_context(missing)?;
        Path::new(dictionary).parent().with_context(missing)?.to_owned()
    };
    let dictionary = folder.join("cmudict-en-us.dict");
    let text =
        tokio::fs::read_to_string(&dictionary).await.with_context(|| dictionary.display().to_string())?;
    let words = text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    Ok(Model { acoustic: folder.join("en-us"), dictionary, words })
}

fn prepare(audio: &Audio) -> Audio {
    let margin = vec![0.0; (MARGIN.as_secs_f64() * f64::from(MODEL_HERTZ)) as usize];
    let speech = resample(&audio.samples, audio.sample_rate_hertz, MODEL_HERTZ);
    Audio { samples: [&margin[..], &speech, &margin].concat(), sample_rate_hertz: MODEL_HERTZ }
}
