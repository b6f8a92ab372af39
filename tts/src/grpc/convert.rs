//! Wire types from and to the domain's.

use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    tts::v1::{self as pb, synthesize_response::Payload},
};

use crate::{
    error::Error,
    synthesis::{Clip, Format, Speech, Streamed},
};

#[derive(Debug)]
pub(super) struct Synthesize {
    pub(super) speech: Speech,
    pub(super) format: Format,
}

impl TryFrom<pb::CreateClipRequest> for Speech {
    type Error = Error;

    fn try_from(request: pb::CreateClipRequest) -> Result<Self, Error> {
        let pb::CreateClipRequest { text, voice, language } = request;
        Self::new(&text, voice, language)
    }
}

impl TryFrom<pb::SynthesizeRequest> for Synthesize {
    type Error = Error;

    fn try_from(request: pb::SynthesizeRequest) -> Result<Self, Error> {
        let pb::SynthesizeRequest { text, voice, language, format } = request;
        let AudioFormat { encoding, sample_rate_hertz } = format.unwrap_or_default();
        let is_mulaw = match AudioEncoding::try_from(encoding) {
            Ok(AudioEncoding::Unspecified | AudioEncoding::Mulaw) => true,
            Ok(AudioEncoding::Linear16) => false,
            Err(_) => {
                return Err(Error::InvalidField {
                    field: "format.encoding",
                    message: format!("{encoding} is unknown"),
                });
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
        Ok(Self { speech: Speech::new(&text, voice, language)?, format: Format { is_mulaw, rate } })
    }
}

pub(super) fn to_response(clip: Clip, public_base_url: &str) -> pb::CreateClipResponse {
    let Clip { filename, duration, engine, is_cached } = clip;
    let play_duration =
        prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 };
    pb::CreateClipResponse {
        clip: Some(pb::Clip {
            uri: format!("{public_base_url}/audio/{filename}"),
            filename,
            play_duration: Some(play_duration),
            engine: engine.to_owned(),
        }),
        is_cached,
    }
}

pub(super) fn to_streamed(streamed: Streamed, format: Format) -> pb::SynthesizeResponse {
    let payload = match streamed {
        Streamed::Started { engine } => {
            let encoding = if format.is_mulaw { AudioEncoding::Mulaw } else { AudioEncoding::Linear16 };
            let format = AudioFormat { encoding: encoding.into(), sample_rate_hertz: format.rate as i32 };
            Payload::Started(pb::SynthesisStarted { format: Some(format), engine: engine.to_owned() })
        }
        Streamed::Audio(audio) => Payload::Audio(audio),
    };
    pb::SynthesizeResponse { payload: Some(payload) }
}
