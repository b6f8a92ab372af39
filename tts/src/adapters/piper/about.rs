//! What a voice's JSON file says, checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// That of a voice with a thousand speakers is 50 kB.
const MOST_JSON_BYTES: u64 = 4 << 20;
/// A phoneme has one id; a few have two or three.
const MOST_IDS: usize = 16;

/// Why a voice cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VoiceError {
    /// A file is missing or cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is far larger than any voice's.
    #[error("{}: has {bytes} bytes; a voice's has at most {most}", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A field of the JSON file is missing, unknown or out of range.
    #[error("{}: {field}: {message}", path.display())]
    Field {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
        /// What is wrong, and what would do.
        message: String,
    },
    /// The file is not JSON, or not that of a voice.
    #[error("{}: {source}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong where.
        source: serde_json::Error,
    },
    /// The model is not that of a Piper voice.
    #[error("{}: {message}", path.display())]
    Model {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A folder without voices, or a voice that is there twice.
    #[error("{}: {message}", path.display())]
    Misplaced {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong.
        message: &'static str,
    },
}

/// A voice, as its JSON file describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct About {
    /// BCP 47.
    pub language: String,
    pub sample_rate: u32,
    pub spelling: Spelling,
    pub alphabet: Alphabet,
    pub scales: Scales,
    /// Ids of speakers by name; empty for a voice with one.
    pub speakers: BTreeMap<String, i32>,
    /// Who speaks when no speaker is named.
    pub default_speaker: Option<i32>,
}

/// How text becomes phonemes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// By espeak-ng's rules for one of its voices.
    Espeak(String),
    /// Its characters are the phonemes.
    Text,
}

/// Ids of phonemes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alphabet {
    pub ids: BTreeMap<String, Vec<i32>>,
    /// Vowels that count as one phoneme when they follow each other.
    pub clusters: BTreeSet<Vec<String>>,
}

/// How a voice varies and how slowly it speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scales {
    pub noise: f32,
    pub length: f32,
    pub noise_w: f32,
}

/// Fields that are not named here are of no use in speaking; newer versions add more of them.
#[derive(Deserialize)]
struct Json {
    audio: Audio,
    espeak: Option<EspeakVoice>,
    phoneme_type: Option<String>,
    phoneme_id_map: BTreeMap<String, Vec<i32>>,
    num_symbols: Option<i32>,
    num_speakers: Option<i32>,
    speaker_id_map: Option<BTreeMap<String, i32>>,
    default_speaker_id: Option<i32>,
    inference: Option<Inference>,
    vowel_clusters: Option<Vec<Vec<String>>>,
    language: Option<Language>,
}

#[derive(Deserialize)]
struct Audio {
    sample_rate: i64,
}

#[derive(Deserialize)]
struct EspeakVoice {
    voice: String,
}

#[derive(Deserialize)]
struct Language {
    code: String,
}

#[derive(Default, Deserialize)]
struct Inference {
    noise_scale: Option<f32>,
    length_scale: Option<f32>,
    noise_w: Option<f32>,
}

impl About {
    /// Reads what lies beside a model.
    ///
    /// # Errors
    /// When the file is missing, or something in it cannot be used.
    pub(crate) fn read(model: &Path) -> Result<Self, VoiceError> {
        let path = PathBuf::from(format!("{}.json", model.display()));
        let text = read_at_most(&path, MOST_JSON_BYTES)?;
        let json = serde_json::from_slice(&text)
            .map_err(|source| VoiceError::Json { path: path.clone(), source })?;
        Self::check(json).map_err(|(field, message)| VoiceError::Field { path, field, message })
    }

    fn check(json: Json) -> Result<Self, (&'static str, String)> {
        let sample_rate = match json.audio.sample_rate {
            rate @ 8_000..=48_000 => rate as u32,
            rate => return Err(("audio.sample_rate", format!("{rate} is not between 8000 and 48000"))),
        };
        let espeak = json.espeak.map(|espeak| espeak.voice).unwrap_or_default();
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_+".contains(c));
        let spelling = match json.phoneme_type.as_deref() {
            None | Some("espeak") if !espeak.is_empty() && is_name(&espeak) && !espeak.starts_with('-') => {
                Spelling::Espeak(espeak.clone())
            }
            None | Some("espeak") => {
                return Err(("espeak.voice", format!("\"{espeak}\" is not the name of an espeak-ng voice")));
            }
            Some("text") => Spelling::Text,
            Some(other) => {
                let message = format!("\"{other}\" is not known here; voices of \"espeak\" and \"text\" are");
                return Err(("phoneme_type", message));
            }
        };
        let inference = json.inference.unwrap_or_default();
        let scales = Scales {
            noise: scale("inference.noise_scale", inference.noise_scale, 0.667, 0.0..=2.0)?,
            length: scale("inference.length_scale", inference.length_scale, 1.0, 0.2..=5.0)?,
            noise_w: scale("inference.noise_w", inference.noise_w, 0.8, 0.0..=2.0)?,
        };
        let most = json.num_symbols.unwrap_or(i32::MAX);
        for needed in ["_", "^", "$"] {
            if json.phoneme_id_map.get(needed).is_none_or(Vec::is_empty) {
                return Err(("phoneme_id_map", format!("\"{needed}\" has no id")));
            }
        }
        for (phoneme, ids) in &json.phoneme_id_map {
            if ids.len() > MOST_IDS || ids.iter().any(|id| !(0..most).contains(id)) {
                return Err((
                    "phoneme_id_map",
                    format!("the ids of \"{phoneme}\" are not below num_symbols"),
                ));
            }
        }
        let count = json.num_speakers.unwrap_or(1);
        let speakers = if count > 1 { json.speaker_id_map.unwrap_or_default() } else { BTreeMap::default() };
        let is_speaker = |id: &i32| (0..count).contains(id);
        if let Some((name, id)) = speakers.iter().find(|(_, id)| !is_speaker(id)) {
            return Err(("speaker_id_map", format!("{id} of \"{name}\" is not below num_speakers, {count}")));
        }
        let default_speaker = (count > 1).then(|| json.default_speaker_id.unwrap_or(0));
        if let Some(id) = default_speaker.filter(|id| !is_speaker(id)) {
            return Err(("default_speaker_id", format!("{id} is not below num_speakers, {count}")));
        }
        let clusters = json.vowel_clusters.unwrap_or_default().into_iter().filter(|one| one.len() > 1);
        Ok(Self {
            language: tag(&json.language.map_or(espeak, |language| language.code)),
            sample_rate,
            spelling,
            alphabet: Alphabet { ids: json.phoneme_id_map, clusters: clusters.collect() },
            scales,
            speakers,
            default_speaker,
        })
    }
}

/// Reads a file that is not absurdly large.
///
/// # Errors
/// When it is, or cannot be read.
pub(super) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, VoiceError> {
    let unreadable = |source| VoiceError::Unreadable { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > most {
        return Err(VoiceError::TooLarge { path: path.to_owned(), bytes, most });
    }
    fs::read(path).map_err(unreadable)
}

fn scale(
    field: &'static str,
    value: Option<f32>,
    default: f32,
    bounds: RangeInclusive<f32>,
) -> Result<f32, (&'static str, String)> {
    let value = value.unwrap_or(default);
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err((field, format!("{value} is not between {} and {}", bounds.start(), bounds.end())))
}

/// `en_US` and `en-us` as BCP 47 has them.
fn tag(code: &str) -> String {
    let mut parts = code.split(['-', '_']).map(str::to_owned);
    let primary = parts.next().unwrap_or_default().to_lowercase();
    let rest = parts.map(|part| if part.len() == 2 { part.to_uppercase() } else { part });
    std::iter::once(primary).chain(rest).collect::<Vec<_>>().join("-")
}
