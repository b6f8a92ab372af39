//! What the handlers share.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;

use super::{
    ear::Ear,
    faults::Faults,
    grammar::Grammar,
    journal::Journal,
    mouth::Mouth,
    script::Line,
    settings::{Settings, SttMode, TtsMode},
};

/// Models that Groq lists, as of October 2026.
const MODELS: [&str; 6] = [
    "openai/gpt-oss-20b",
    "openai/gpt-oss-120b",
    "qwen/qwen3.8-27b",
    "whisper-large-v3",
    "whisper-large-v3-turbo",
    "canopylabs/orpheus-v1-english",
];

/// The running simulator.
#[derive(Debug)]
pub(super) struct Sim {
    pub(super) api_key: String,
    pub(super) models: Vec<String>,
    pub(super) faults: Faults,
    pub(super) journal: Arc<Journal>,
    pub(super) ear: Ear,
    pub(super) mouth: Mouth,
    settings: Mutex<Settings>,
    grammar: Mutex<Arc<Grammar>>,
    script: Mutex<Arc<Vec<Line>>>,
    answered: AtomicU64,
}

impl Sim {
    pub(super) fn new(
        api_key: String,
        more_models: Vec<String>,
        settings: Settings,
        grammar: Grammar,
        script: Vec<Line>,
    ) -> Arc<Self> {
        Arc::new(Self {
            api_key,
            models: MODELS.iter().map(ToString::to_string).chain(more_models).collect(),
            faults: Faults::default(),
            journal: Arc::default(),
            ear: Ear::new(),
            mouth: Mouth::new(),
            settings: Mutex::new(settings),
            grammar: Mutex::new(Arc::new(grammar)),
            script: Mutex::new(Arc::new(script)),
            answered: AtomicU64::new(0),
        })
    }

    /// Makes sure that what the modes need is installed.
    pub(super) async fn check_programs(&self) -> anyhow::Result<()> {
        let settings = self.settings();
        if settings.stt == SttMode::Real {
            self.ear.check().await.context("--stt real (`--stt canned=TEXT` needs nothing)")?;
        }
        if settings.tts == TtsMode::Real {
            self.mouth.check().await.context("--tts real (`--tts canned` needs nothing)")?;
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings.lock().expect("no panic while locked").clone()
    }

    pub(super) fn set_settings(&self, settings: Settings) {
        *self.settings.lock().expect("no panic while locked") = settings;
    }

    pub(super) fn grammar(&self) -> Arc<Grammar> {
        Arc::clone(&self.grammar.lock().expect("no panic while locked"))
    }

    pub(super) fn set_grammar(&self, grammar: Grammar) {
        *self.grammar.lock().expect("no panic while locked") = Arc::new(grammar);
    }

    pub(super) fn script(&self) -> Arc<Vec<Line>> {
        Arc::clone(&self.script.lock().expect("no panic while locked"))
    }

    pub(super) fn set_script(&self, script: Vec<Line>) {
        *self.script.lock().expect("no panic while locked") = Arc::new(script);
    }

    /// Counts a request, for the headers that tell what is left of the day.
    pub(super) fn count(&self) -> u64 {
        self.answered.fetch_add(1, Ordering::Relaxed)
    }
}
