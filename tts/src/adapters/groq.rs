//! Groq's voices, or those of any server that speaks its dialect.

use std::time::Duration;

use async_stream::stream;
use bytes::BytesMut;
use futures::{FutureExt as _, StreamExt as _, stream::BoxStream};
use voice_audio::wav::Header;
use voice_groq::{Fault, Groq, ORPHEUS_MAX_INPUT_CHARS, SpeechRequest, StreamDeadlines};
use voice_quota::{Cost, Exhausted, Quota};

use crate::{
    error::{EngineError, Failure},
    ports::{Engine, Patience, Sound, Voice},
};

/// Samples of a piece are at least this many, so that a provider that dribbles does not cost a step a byte.
const LEAST: usize = 256;

/// Pieces that are taken together if they are there: providers send a few milliseconds in each.
const AT_ONCE: usize = 64;

const DEADLINES: StreamDeadlines =
    StreamDeadlines { first: Duration::from_secs(1), between: Duration::from_secs(1) };

/// A refusal that only the operator can mend is not worth asking for again soon.
const OPERATORS_FAULT: Duration = Duration::from_mins(1);

/// Orpheus' sample rate.
const HERTZ: u32 = 24_000;

/// Voices of the models that are known: model, languages, voices.
const VOICES: [(&str, &[&str], &[&str]); 2] = [
    ("canopylabs/orpheus-v1-english", &["en"], &["autumn", "diana", "hannah", "austin", "daniel", "troy"]),
    (
        "canopylabs/orpheus-arabic-saudi",
        &["ar-SA"],
        &["fahad", "sultan", "lulwa", "noura", "abdullah", "aisha"],
    ),
];

/// Characters of a token of text, as it is counted against the tokens of the plan.
const CHARS_PER_TOKEN: u64 = 4;

/// The preferred engine.
#[derive(Clone, Debug)]
pub(crate) struct GroqEngine {
    /// The client; `None` without a key.
    pub groq: Option<Groq>,
    /// What the plan allows; `None` for servers that nobody counts.
    pub quota: Option<Quota>,
    /// The model.
    pub model: String,
    /// The voice that is used when none is asked for.
    pub voice: String,
}

impl Engine for GroqEngine {
    fn name(&self) -> &'static str {
        "groq"
    }

    fn max_chars(&self) -> usize {
        ORPHEUS_MAX_INPUT_CHARS
    }

    fn default_voice(&self) -> &str {
        &self.voice
    }

    fn voices(&self) -> Vec<Voice> {
        let problem = self.groq.is_none().then(|| "GROQ_API_KEY is not set".to_owned());
        let (languages, names) = self.known().unwrap_or((&[], &[]));
        let voice = |name: &str, sample_rate_hertz| Voice {
            name: name.to_owned(),
            languages: languages.iter().map(ToString::to_string).collect(),
            sample_rate_hertz,
            problem: problem.clone(),
        };
        let configured = Some(&self.voice[..]).filter(|voice| !names.contains(voice));
        let known = names.iter().map(|name| voice(name, HERTZ));
        configured.map(|name| voice(name, 0)).into_iter().chain(known).collect()
    }

    fn has_voice(&self, name: &str) -> bool {
        let is_open = self.groq.is_some() && self.known().is_none();
        // Which voices an unknown model has, only its server can tell.
        is_open || self.voice == name || self.known().is_some_and(|(_, names)| names.contains(&name))
    }

    fn patience(&self) -> Patience {
        Patience { first: DEADLINES.first, between: DEADLINES.between }
    }

    fn speak(
        &self,
        text: &str,
        voice: &str,
        _language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>> {
        let request =
            SpeechRequest { model: self.model.clone(), voice: voice.to_owned(), input: text.to_owned() };
        let (groq, quota) = (self.groq.clone(), self.quota.clone());
        let sounds = stream! {
            let Some(groq) = groq else {
                yield Err(EngineError::new("GROQ_API_KEY is not set"));
                return;
            };
            if let Some(quota) = quota {
                let tokens = (request.input.chars().count() as u64).div_ceil(CHARS_PER_TOKEN);
                let cost = Cost { tokens, ..Cost::default() };
                if let Err(exhausted) = quota.reserve(&request.model, cost).await {
                    yield Err(to_quota_error(&exhausted));
                    return;
                }
            }
            let mut pieces = match groq.speech(&request, DEADLINES).await {
                Ok(pieces) => pieces.fuse(),
                Err(error) => {
                    yield Err(to_error(&error));
                    return;
                }
            };
            let mut buffer = BytesMut::new();
            let mut header: Option<Header> = None;
            let mut left = usize::MAX;
            let mut count = 0;
            let mut failure = None;
            while let Some(first) = pieces.next().await {
                let (mut next, mut taken) = (Some(first), 0);
                while let Some(piece) = next {
                    match piece {
                        Ok(piece) => buffer.extend_from_slice(&piece),
                        // The last item. What came before it is worth saying.
                        Err(error) => failure = Some(error),
                    }
                    taken += 1;
                    if taken == AT_ONCE {
                        break;
                    }
                    // The connection gives its next piece once this one has been taken.
                    tokio::task::yield_now().await;
                    next = pieces.next().now_or_never().flatten();
                }
                let known = match header {
                    Some(known) => known,
                    None => match Header::parse(&buffer) {
                        Ok(None) => continue,
                        Ok(Some(parsed)) => {
                            let _ = buffer.split_to(parsed.data_offset);
                            left = parsed.data_len.unwrap_or(usize::MAX);
                            header = Some(parsed);
                            yield Ok(Sound::Rate(parsed.sample_rate_hertz));
                            parsed
                        }
                        Err(error) => {
                            yield Err(EngineError::new(error.to_string()));
                            return;
                        }
                    },
                };
                // What follows the announced samples is not sound; half a sample waits for its other half.
                let whole = buffer.len().min(left) / known.block_bytes() * known.block_bytes();
                if whole / known.block_bytes() >= LEAST {
                    left -= whole;
                    count += whole;
                    yield Ok(Sound::Samples(known.decode(&buffer.split_to(whole))));
                }
            }
            let Some(known) = header else {
                let short = || EngineError::new("the answer ended within its header");
                yield Err(failure.as_ref().map_or_else(short, to_error));
                return;
            };
            let whole = buffer.len().min(left) / known.block_bytes() * known.block_bytes();
            if whole > 0 {
                count += whole;
                yield Ok(Sound::Samples(known.decode(&buffer[..whole])));
            }
            if let Some(error) = failure {
                yield Err(to_error(&error));
                return;
            }
            let is_cut = known.data_len.is_some_and(|announced| count + known.block_bytes() < announced);
            if count == 0 || is_cut {
                yield Err(EngineError::new("the answer holds less sound than it says"));
            }
        };
        sounds.boxed()
    }
}

impl GroqEngine {
    /// Languages and voices of the model, if they are known.
    fn known(&self) -> Option<(&'static [&'static str], &'static [&'static str])> {
        let (_, languages, names) = VOICES.iter().find(|(model, _, _)| *model == self.model)?;
        Some((languages, names))
    }
}

fn to_error(error: &voice_groq::Error) -> EngineError {
    let kind = if matches!(error, voice_groq::Error::Timeout(_)) { Failure::Late } else { Failure::Broken };
    let retry_after = match error.fault() {
        Fault::Operator => Some(OPERATORS_FAULT),
        Fault::Request | Fault::Provider => error.retry_after(),
    };
    EngineError { message: error.to_string(), retry_after, kind }
}

fn to_quota_error(exhausted: &Exhausted) -> EngineError {
    EngineError {
        message: exhausted.to_string(),
        retry_after: Some(exhausted.retry_after),
        kind: Failure::Quota,
    }
}
