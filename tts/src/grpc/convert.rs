//! Wire types from and to the domain's.

use std::time::Duration;

use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    tts::v1::{self as pb, streaming_synthesize_response, synthesize_response},
};

use crate::{
    engines::{EngineHealth, Status, Wish},
    error::Error,
    ports::Voice,
    synthesis::{Chunk, Clip, Format, Speech, Streamed},
};

#[derive(Debug)]
pub(super) struct Synthesize {
    pub(super) speech: Speech,
    pub(super) format: Format,
}

impl TryFrom<pb::CreateClipRequest> for Speech {
    type Error = Error;

    fn try_from(request: pb::CreateClipRequest) -> Result<Self, Error> {
        let pb::CreateClipRequest { text, voice, language, engine } = request;
        Self::new(&text, Wish { engine, voice, language })
    }
}

impl TryFrom<pb::SynthesizeRequest> for Synthesize {
    type Error = Error;

    fn try_from(request: pb::SynthesizeRequest) -> Result<Self, Error> {
        let pb::SynthesizeRequest { text, voice, language, format, engine } = request;
        let format = format.unwrap_or_default().try_into()?;
        Ok(Self { speech: Speech::new(&text, Wish { engine, voice, language })?, format })
    }
}

pub(super) fn to_config(config: pb::StreamingSynthesizeConfig) -> Result<(Wish, Format), Error> {
    let pb::StreamingSynthesizeConfig { voice, language, format, engine } = config;
    Ok((Wish { engine, voice, language }, format.unwrap_or_default().try_into()?))
}

impl TryFrom<AudioFormat> for Format {
    type Error = Error;

    fn try_from(format: AudioFormat) -> Result<Self, Error> {
        let AudioFormat { encoding, sample_rate_hertz } = format;
        let is_mulaw = match AudioEncoding::try_from(encoding) {
            Ok(AudioEncoding::Unspecified | AudioEncoding::Mulaw) => true,
            Ok(AudioEncoding::Linear16) => false,
            Err(_) => {
                let message = format!("{encoding} is unknown");
                return Err(Error::InvalidField { field: "format.encoding", message });
            }
        };
        let rate = match sample_rate_hertz {
            0 => voice_audio::TELEPHONE_HERTZ,
            8_000..=48_000 => sample_rate_hertz as u32,
            _ => {
                let message = format!("{sample_rate_hertz} is not between 8000 and 48000");
                return Err(Error::InvalidField { field: "format.sample_rate_hertz", message });
            }
        };
        Ok(Self { is_mulaw, rate })
    }
}

pub(super) fn to_response(clip: Clip, public_base_url: &str) -> pb::CreateClipResponse {
    let Clip { filename, duration, engine, is_cached, is_fallback } = clip;
    pb::CreateClipResponse {
        clip: Some(pb::Clip {
            uri: format!("{public_base_url}/audio/{filename}"),
            filename,
            play_duration: Some(to_duration(duration)),
            engine: engine.to_owned(),
        }),
        is_cached,
        is_fallback,
    }
}

pub(super) fn to_streamed(streamed: Streamed, format: Format) -> pb::SynthesizeResponse {
    use synthesize_response::Payload;
    let payload = match streamed {
        Streamed::Started { engine } => Payload::Started(to_started(engine, format)),
        Streamed::Audio(chunk) => Payload::Audio(to_chunk(chunk)),
    };
    pb::SynthesizeResponse { payload: Some(payload) }
}

pub(super) fn to_streamed_by_pieces(streamed: Streamed, format: Format) -> pb::StreamingSynthesizeResponse {
    use streaming_synthesize_response::Payload;
    let payload = match streamed {
        Streamed::Started { engine } => Payload::Started(to_started(engine, format)),
        Streamed::Audio(chunk) => Payload::Audio(to_chunk(chunk)),
    };
    pb::StreamingSynthesizeResponse { payload: Some(payload) }
}

fn to_started(engine: &str, format: Format) -> pb::SynthesisStarted {
    let encoding = if format.is_mulaw { AudioEncoding::Mulaw } else { AudioEncoding::Linear16 };
    let format = AudioFormat { encoding: encoding.into(), sample_rate_hertz: format.rate as i32 };
    pb::SynthesisStarted { format: Some(format), engine: engine.to_owned() }
}

fn to_chunk(chunk: Chunk) -> pb::AudioChunk {
    let Chunk { audio, start, span, engine } = chunk;
    pb::AudioChunk {
        audio,
        start_offset: Some(to_duration(start)),
        span: Some(pb::TextSpan { start: span.start as i32, end: span.end as i32 }),
        engine: engine.to_owned(),
    }
}

pub(super) fn to_engine(status: Status) -> pb::Engine {
    let Status { name, health, default_voice, voices } = status;
    let (state, problem, retry_after) = match health {
        EngineHealth::Up => (pb::EngineState::Up, String::new(), None),
        EngineHealth::Failing(wait) => {
            (pb::EngineState::Failing, "it failed and is left alone".to_owned(), Some(wait))
        }
        EngineHealth::Probing => {
            (pb::EngineState::Probing, "it failed; a request is finding out how it is".to_owned(), None)
        }
        EngineHealth::QuotaExhausted(wait) => {
            (pb::EngineState::QuotaExhausted, "the plan allows no more requests now".to_owned(), Some(wait))
        }
        EngineHealth::Unusable(problem) => (pb::EngineState::Unusable, problem, None),
    };
    pb::Engine {
        name: name.to_owned(),
        state: state.into(),
        problem,
        retry_after: retry_after.map(to_duration),
        default_voice,
        voices: voices.into_iter().map(to_voice).collect(),
    }
}

fn to_voice(voice: Voice) -> pb::Voice {
    let Voice { name, languages, sample_rate_hertz, problem } = voice;
    pb::Voice {
        name,
        languages,
        sample_rate_hertz: sample_rate_hertz as i32,
        problem: problem.unwrap_or_default(),
    }
}

fn to_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}
