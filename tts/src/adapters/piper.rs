//! Piper's voices in process: the network by `rten`, the phonemes by a child espeak-ng.
//!
//! A text is spoken clause by clause, and a clause in pieces, so that the first sound comes early and a stream that is
//! dropped stops the work within a piece. Sound is made only as fast as the stream is read.

mod about;
mod graph;
mod model;
mod phonemes;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_stream::try_stream;
use futures::{StreamExt as _, stream::BoxStream};
use rten::ThreadPool;
use tokio::sync::{OnceCell, Semaphore};

use self::{
    about::{About, VoiceError},
    model::{Model, Rest},
};
use crate::{
    error::EngineError,
    ports::{Engine, Patience, Sound, Voice},
};

/// For a voice that is still being read, and for others' sound to be made before ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// A clause of the longest kind takes a fraction of it, also beside others.
const FIRST: Duration = Duration::from_secs(3);

/// The engine that needs no network.
#[derive(Clone, Debug)]
pub(crate) struct Piper {
    voices: Arc<[Loaded]>,
    /// The names of all voices: which of them speaks is for the language to say.
    default_voice: Arc<str>,
    /// As many runs at the same time as there are threads; who comes first is served first.
    runs: Arc<Semaphore>,
    pool: Arc<ThreadPool>,
}

/// A voice that was asked for, loaded or not.
#[derive(Debug)]
struct Loaded {
    name: String,
    path: PathBuf,
    about: Result<About, VoiceError>,
    model: OnceCell<Result<Arc<Model>, VoiceError>>,
}

/// Who is to speak.
struct Chosen<'a> {
    voice: &'a Loaded,
    about: &'a About,
    speaker: Option<i32>,
}

impl Piper {
    /// Reads what the voices say of themselves. A voice that cannot be used stops no other: it is told in the log and
    /// among the voices. Networks are loaded by `load`, or when they are first needed.
    pub(crate) fn open(paths: &[PathBuf], threads: usize) -> Self {
        let mut names = BTreeSet::new();
        let mut voices: Vec<Loaded> = models(paths).into_iter().map(Loaded::open).collect();
        for voice in &mut voices {
            if !names.insert(voice.name.clone()) {
                let message = "there is another voice of this name";
                voice.about = Err(VoiceError::Misplaced { path: voice.path.clone(), message });
            }
            if let Err(error) = &voice.about {
                tracing::error!(voice = voice.name, %error, "a voice of PIPER_VOICE cannot be used");
            }
        }
        Self {
            voices: voices.into(),
            default_voice: names.into_iter().collect::<Vec<_>>().join(",").into(),
            runs: Arc::new(Semaphore::new(threads)),
            pool: Arc::new(ThreadPool::with_num_threads(threads)),
        }
    }

    /// Loads all networks, one after the other.
    pub(crate) async fn load(self) {
        for voice in &*self.voices {
            if let Ok(about) = &voice.about {
                // What went wrong has been told.
                let _ = voice.model(about, &self.pool).await;
            }
        }
    }

    /// The voice of that name, or one of the language.
    fn choose(&self, name: &str, language: &str) -> Result<Chosen<'_>, EngineError> {
        let usable = || self.voices.iter().filter_map(|voice| Some((voice, voice.usable()?)));
        let (named, speaker) = name.split_once('#').map_or((name, None), |(name, who)| (name, Some(who)));
        if let Some((voice, about)) = usable().find(|(voice, _)| voice.name == named) {
            let speaker = match speaker {
                Some(who) => Some(
                    about
                        .speakers
                        .get(who)
                        .copied()
                        .ok_or_else(|| EngineError::new(format!("{named} has no speaker \"{who}\"")))?,
                ),
                None => None,
            };
            return Ok(Chosen { voice, about, speaker });
        }
        let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_lowercase();
        let best = usable()
            .find(|(_, about)| about.language.eq_ignore_ascii_case(language))
            .or_else(|| usable().find(|(_, about)| primary(&about.language) == primary(language)));
        let (voice, about) =
            best.ok_or_else(|| EngineError::new(format!("no voice of PIPER_VOICE speaks {language}")))?;
        Ok(Chosen { voice, about, speaker: None })
    }
}

impl Engine for Piper {
    fn name(&self) -> &'static str {
        "piper"
    }

    fn max_chars(&self) -> usize {
        1_000
    }

    fn default_voice(&self) -> &str {
        &self.default_voice
    }

    fn patience(&self) -> Patience {
        Patience { first: FIRST, between: FIRST }
    }

    fn voices(&self) -> Vec<Voice> {
        self.voices.iter().flat_map(Loaded::told).collect()
    }

    fn speak(
        &self,
        text: &str,
        voice: &str,
        language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>> {
        let piper = self.clone();
        let (text, voice, language) = (text.to_owned(), voice.to_owned(), language.to_owned());
        let sounds = try_stream! {
            let Chosen { voice, about, speaker } = piper.choose(&voice, &language)?;
            let model = in_time(voice.model(about, &piper.pool)).await??;
            let mut has_begun = false;
            for clause in phonemes::clauses(&text) {
                let phonemes = phonemes::phonemes(&clause, &about.spelling, &about.alphabet).await?;
                for ids in about.alphabet.ids(&phonemes, model.ids_at_once()) {
                    let mut rest = Some(Rest::Ids(ids));
                    while let Some(todo) = rest {
                        let samples;
                        (samples, rest) = piper.step(&model, todo, speaker).await?;
                        if samples.is_empty() {
                            continue;
                        }
                        if !std::mem::replace(&mut has_begun, true) {
                            yield Sound::Rate(about.sample_rate);
                        }
                        yield Sound::Samples(samples);
                    }
                }
            }
        };
        sounds.boxed()
    }
}

impl Piper {
    /// One run off the async threads. Whoever stops waiting has at most this one run still going on.
    async fn step(
        &self,
        model: &Arc<Model>,
        rest: Rest,
        speaker: Option<i32>,
    ) -> Result<(Vec<f32>, Option<Rest>), EngineError> {
        let permit = in_time(self.runs.clone().acquire_owned()).await?;
        let model = model.clone();
        let run = tokio::task::spawn_blocking(move || {
            // The permit is the last to be let go: whoever has it next finds nothing left of this run.
            let (_permit, model) = (permit, model);
            model.step(rest, speaker)
        });
        in_time(run).await?.map_err(|error| EngineError::new(format!("the network broke off: {error}")))?
    }
}

impl Loaded {
    fn open(path: PathBuf) -> Self {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let about = if path.extension().is_some_and(|extension| extension == "onnx") {
            About::read(&path)
        } else {
            let message = "is neither an .onnx file nor a folder that holds some";
            Err(VoiceError::Misplaced { path: path.clone(), message })
        };
        Self { name, path, about, model: OnceCell::new() }
    }

    /// What it says of itself, unless it is known to be unusable.
    fn usable(&self) -> Option<&About> {
        let is_broken = self.model.get().is_some_and(Result::is_err);
        self.about.as_ref().ok().filter(|_| !is_broken)
    }

    /// The network; whoever asks first loads it, and the others wait.
    async fn model(&self, about: &About, pool: &Arc<ThreadPool>) -> Result<Arc<Model>, EngineError> {
        let load = async || {
            let started = Instant::now();
            let (path, about, pool) = (self.path.clone(), about.clone(), pool.clone());
            let loaded = tokio::task::spawn_blocking(move || Model::load(&path, &about, pool)).await;
            let loaded = loaded.unwrap_or_else(|error| {
                Err(VoiceError::Model {
                    path: self.path.clone(),
                    message: format!("cannot be loaded: {error}"),
                })
            });
            match &loaded {
                Ok(model) => {
                    let duration_ms = started.elapsed().as_millis() as u64;
                    tracing::info!(voice = self.name, duration_ms, ?model, "a voice is ready");
                }
                Err(error) => {
                    tracing::error!(voice = self.name, %error, "a voice of PIPER_VOICE cannot be used");
                }
            }
            loaded.map(Arc::new)
        };
        let model = self.model.get_or_init(load).await;
        model.as_ref().cloned().map_err(|error| EngineError::new(error.to_string()))
    }

    /// Itself and each of its speakers.
    fn told(&self) -> Vec<Voice> {
        let problem = self.model.get().and_then(|model| model.as_ref().err()).or(self.about.as_ref().err());
        let about = self.about.as_ref().ok();
        let voice = Voice {
            name: self.name.clone(),
            languages: about.map(|about| about.language.clone()).into_iter().collect(),
            sample_rate_hertz: about.map_or(0, |about| about.sample_rate),
            problem: problem.map(ToString::to_string),
        };
        let speakers = about.into_iter().flat_map(|about| about.speakers.keys());
        let named =
            speakers.map(|speaker| Voice { name: format!("{}#{speaker}", self.name), ..voice.clone() });
        std::iter::once(voice.clone()).chain(named).collect()
    }
}

/// The `.onnx` files that are named or lie in folders that are; a folder without any stands for itself.
fn models(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for path in paths {
        let mut inside = inside(path);
        inside.sort();
        if inside.is_empty() {
            all.push(path.clone());
        }
        all.extend(inside);
    }
    all
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "onnx")).collect()
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, EngineError> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| EngineError::new(format!("it was not done within {PATIENCE:?}")))
}

#[cfg(test)]
mod tests;
