//! Groq's voices, or those of any server that speaks its dialect.

use std::time::Duration;

use async_stream::stream;
use bytes::BytesMut;
use futures::{StreamExt as _, stream::BoxStream};
use voice_audio::wav::Header;
use voice_groq::{Groq, ORPHEUS_MAX_INPUT_CHARS, SpeechRequest, StreamDeadlines};

use crate::{
    error::EngineError,
    ports::{Engine, Sound, Voice},
};

/// Samples of a piece are at least this many, so that a provider that dribbles does not cost a step a byte.
const LEAST: usize = 256;

/// The voices of `canopylabs/orpheus-v1-english`.
const ENGLISH_ORPHEUS: [&str; 6] = ["autumn", "diana", "hannah", "austin", "daniel", "troy"];

const DEADLINES: StreamDeadlines =
    StreamDeadlines { first: Duration::from_secs(1), between: Duration::from_secs(1) };

/// The preferred engine.
#[derive(Clone, Debug)]
pub(crate) struct GroqEngine {
    /// The client.
    pub groq: Groq,
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
        let is_english_orpheus = self.model.ends_with("orpheus-v1-english");
        let names: &[&str] = if is_english_orpheus { &ENGLISH_ORPHEUS } else { &[&self.voice] };
        let languages = if is_english_orpheus { vec!["en".to_owned()] } else { Vec::new() };
        let voice = |name: &&str| Voice {
            name: (*name).to_owned(),
            languages: languages.clone(),
            sample_rate_hertz: if is_english_orpheus { 24_000 } else { 0 },
            problem: None,
        };
        names.iter().map(voice).collect()
    }

    fn speak(
        &self,
        text: &str,
        voice: &str,
        _language: &str,
    ) -> BoxStream<'static, Result<Sound, EngineError>> {
        let request =
            SpeechRequest { model: self.model.clone(), voice: voice.to_owned(), input: text.to_owned() };
        let groq = self.groq.clone();
        let sounds = stream! {
            let mut pieces = match groq.speech(&request, DEADLINES).await {
                Ok(pieces) => pieces,
                Err(error) => {
                    yield Err(to_error(&error));
                    return;
                }
            };
            let mut buffer = BytesMut::new();
            let mut header: Option<Header> = None;
            let mut left = usize::MAX;
            let mut count = 0;
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(piece) => buffer.extend_from_slice(&piece),
                    Err(error) => {
                        yield Err(to_error(&error));
                        return;
                    }
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
                yield Err(EngineError::new("the answer ended within its header"));
                return;
            };
            let whole = buffer.len().min(left) / known.block_bytes() * known.block_bytes();
            if whole > 0 {
                count += whole;
                yield Ok(Sound::Samples(known.decode(&buffer[..whole])));
            }
            let is_cut = known.data_len.is_some_and(|announced| count + known.block_bytes() < announced);
            if count == 0 || is_cut {
                yield Err(EngineError::new("the answer holds less sound than it says"));
            }
        };
        sounds.boxed()
    }
}

fn to_error(error: &voice_groq::Error) -> EngineError {
    EngineError { message: error.to_string(), retry_after: error.retry_after() }
}
