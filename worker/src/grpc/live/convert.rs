//! Wire types of live audio from and to the domain's.

use std::time::Duration;

use serde_json::{Map, Value};
use voice_jobs::ToolCall;
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    worker::v1 as pb,
};

use crate::{
    error::Error,
    live::{Encoding, Format, Transcript},
    ports::{Message, Speaker, Tool, ToolUse},
    request::{self, TurnRequest},
};

/// How speech is to be recognised.
#[derive(Debug)]
pub(in crate::grpc) struct TranscribeConfig {
    pub(super) format: Format,
    pub(super) language: Option<String>,
    pub(super) wants_partials: bool,
}

/// What a turn begins with.
#[derive(Debug)]
pub(in crate::grpc) struct TurnConfig {
    pub(super) call_id: String,
    pub(super) format: Format,
    pub(super) request: TurnRequest,
    pub(super) timeout: Option<Duration>,
    pub(super) wants_partials: bool,
}

impl TryFrom<pb::TranscribeConfig> for TranscribeConfig {
    type Error = Error;

    fn try_from(config: pb::TranscribeConfig) -> Result<Self, Error> {
        let pb::TranscribeConfig { format, language, wants_partials } = config;
        Ok(Self { format: to_format(format)?, language: request::language(&language), wants_partials })
    }
}

impl TryFrom<pb::TurnConfig> for TurnConfig {
    type Error = Error;

    fn try_from(config: pb::TurnConfig) -> Result<Self, Error> {
        let pb::TurnConfig {
            call_id,
            format,
            language,
            prompt,
            history,
            earlier_text,
            turn_timeout,
            wants_partials,
            tools,
        } = config;
        let mut messages: Vec<Message> = Vec::with_capacity(history.len() + 1);
        for message in history {
            let speaker = match message.speaker() {
                pb::Speaker::User => Speaker::User,
                pb::Speaker::Assistant => Speaker::Assistant,
                pb::Speaker::Unspecified => {
                    return Err(invalid("config.history.speaker", "is neither user nor assistant"));
                }
            };
            let tools = message.tool_uses.into_iter().map(to_tool_use).collect::<Result<_, _>>()?;
            request::push(&mut messages, Message { speaker, content: message.content, tools });
        }
        let timeout = turn_timeout.map(Duration::try_from).transpose();
        Ok(Self {
            call_id,
            format: to_format(format)?,
            request: TurnRequest {
                pieces: Vec::new(),
                earlier_text: earlier_text.trim().to_owned(),
                history: messages,
                prompt: request::prompt(&prompt),
                tools: tools.into_iter().map(to_tool).collect::<Result<_, _>>()?,
                language: request::language(&language),
                deadline: None,
                answered_text: String::new(),
                wants_bare_reply: false,
            },
            timeout: timeout.map_err(|_| invalid("config.turn_timeout", "is not a length of time"))?,
            wants_partials,
        })
    }
}

fn to_tool_use(tool_use: pb::TurnToolUse) -> Result<ToolUse, Error> {
    let pb::TurnToolUse { call, result } = tool_use;
    let Some(pb::TurnToolCall { tool_call_id: id, name, arguments }) = call else {
        return Err(invalid("config.history.tool_uses.call", "is missing"));
    };
    Ok(ToolUse { call: ToolCall { id, name, arguments }, result })
}

fn to_tool(tool: pb::TurnTool) -> Result<Tool, Error> {
    let pb::TurnTool { name, description, parameters_schema } = tool;
    let parameters: Map<String, Value> = serde_json::from_str(&parameters_schema).map_err(|error| {
        invalid("config.tools.parameters_schema", format!("of {name} is not a JSON object: {error}"))
    })?;
    Ok(Tool { name, description, parameters: parameters.into() })
}

fn to_format(format: Option<AudioFormat>) -> Result<Format, Error> {
    let AudioFormat { encoding, sample_rate_hertz } = format.unwrap_or_default();
    let encoding = match AudioEncoding::try_from(encoding) {
        Ok(AudioEncoding::Unspecified | AudioEncoding::Mulaw) => Encoding::Mulaw,
        Ok(AudioEncoding::Linear16) => Encoding::Linear16,
        Err(_) => return Err(invalid("config.format.encoding", format!("{encoding} is unknown"))),
    };
    let hertz = match sample_rate_hertz {
        0 => voice_audio::TELEPHONE_HERTZ,
        8_000..=48_000 => sample_rate_hertz as u32,
        _ => {
            let message = format!("{sample_rate_hertz} is not between 8000 and 48000");
            return Err(invalid("config.format.sample_rate_hertz", message));
        }
    };
    Ok(Format { encoding, hertz })
}

pub(super) fn to_transcript(transcript: Transcript) -> pb::Transcript {
    let Transcript { text, is_final, stable_length, flush_id, audio_duration } = transcript;
    pb::Transcript {
        text,
        is_final,
        stable_length: stable_length as i32,
        flush_id: flush_id.unwrap_or_default(),
        audio_duration: Some(prost_types::Duration {
            seconds: audio_duration.as_secs() as i64,
            nanos: audio_duration.subsec_nanos() as i32,
        }),
    }
}

fn invalid(field: &'static str, message: impl Into<String>) -> Error {
    Error::InvalidField { field, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_that_says_nothing_means_mulaw_at_8_khz_and_the_workers_own_prompt() {
        let config = TurnConfig::try_from(pb::TurnConfig::default()).unwrap();
        assert_eq!(config.format, Format { encoding: Encoding::Mulaw, hertz: 8_000 });
        assert!(config.request.prompt.contains("telephone") && config.request.language.is_none());
        assert!(!config.wants_partials && config.timeout.is_none());
    }

    #[test]
    fn a_config_is_taken_as_a_jobs_headers_are() {
        let say = |speaker: pb::Speaker, content: &str| pb::HistoryMessage {
            speaker: speaker.into(),
            content: content.into(),
            ..pb::HistoryMessage::default()
        };
        let config = pb::TurnConfig {
            language: "de-CH".into(),
            history: vec![
                say(pb::Speaker::User, "Hallo"),
                say(pb::Speaker::User, "ich"),
                say(pb::Speaker::Assistant, "Ja?"),
            ],
            earlier_text: " und ".into(),
            prompt: "Be brief.".into(),
            turn_timeout: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
            ..pb::TurnConfig::default()
        };
        let config = TurnConfig::try_from(config).unwrap();
        let contents: Vec<_> = config.request.history.iter().map(|message| &message.content[..]).collect();
        assert_eq!(contents, ["Hallo ich", "Ja?"]);
        assert_eq!(
            (config.request.language.as_deref(), &config.request.earlier_text[..]),
            (Some("de"), "und")
        );
        assert_eq!(config.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_wrong_in_a_config_is_named() {
        let format = |encoding: i32, sample_rate_hertz: i32| pb::TurnConfig {
            format: Some(AudioFormat { encoding, sample_rate_hertz }),
            ..pb::TurnConfig::default()
        };
        let unknown =
            pb::TurnConfig { history: vec![pb::HistoryMessage::default()], ..pb::TurnConfig::default() };
        let negative = pb::TurnConfig {
            turn_timeout: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            ..pb::TurnConfig::default()
        };
        for (config, wanted) in [
            (format(9, 0), "config.format.encoding"),
            (format(1, 4_000), "config.format.sample_rate_hertz"),
            (unknown, "config.history.speaker"),
            (negative, "config.turn_timeout"),
        ] {
            let error = TurnConfig::try_from(config).unwrap_err();
            assert!(matches!(error, Error::InvalidField { field, .. } if field == wanted), "{error}");
        }
    }
}
