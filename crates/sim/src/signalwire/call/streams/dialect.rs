//! The JSON of a media stream, in `SignalWire`'s dialect and in Twilio's.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::codec::Codec;
use crate::signalwire::switches::Dialect;

/// Longest name of a mark.
const LONGEST_NAME: usize = 256;

/// One stream's side of the talk: counts the messages.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) dialect: Dialect,
    pub(super) stream_id: String,
    pub(super) call_id: String,
    sequence: u64,
}

/// What a client says on its socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Media(Vec<u8>),
    Mark(String),
    Clear,
    Dtmf(String),
}

/// Place of a frame in its track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) track: &'static str,
    pub(super) chunk: u64,
    pub(super) timestamp_ms: u64,
}

impl Speaker {
    pub(super) fn new(dialect: Dialect, stream_id: String, call_id: String) -> Self {
        Self { dialect, stream_id, call_id, sequence: 0 }
    }

    pub(super) fn connected(&self) -> Value {
        let version = match self.dialect {
            Dialect::Signalwire => "0.2.0",
            Dialect::Twilio => "1.0.0",
        };
        json!({ "event": "connected", "protocol": "Call", "version": version })
    }

    pub(super) fn start(
        &mut self,
        codec: Codec,
        tracks: &[&str],
        parameters: &BTreeMap<String, String>,
    ) -> Value {
        let mut start = json!({ "streamSid": self.stream_id, "accountSid": "AC-voice-sim", "callSid": self.call_id,
            "tracks": tracks,
            "mediaFormat": { "encoding": codec.mime(), "sampleRate": codec.hertz, "channels": 1 } });
        // SignalWire leaves them out where there are none.
        if !parameters.is_empty() || self.dialect == Dialect::Twilio {
            start["customParameters"] = json!(parameters);
        }
        self.numbered("start", "start", start)
    }

    pub(super) fn media(&mut self, place: Place, bytes: &[u8]) -> Value {
        let Place { track, chunk, timestamp_ms } = place;
        let media = json!({ "track": track, "chunk": chunk.to_string(), "timestamp": timestamp_ms.to_string(),
            "payload": STANDARD.encode(bytes) });
        self.numbered("media", "media", media)
    }

    pub(super) fn dtmf(&mut self, digit: char) -> Value {
        let dtmf = match self.dialect {
            Dialect::Signalwire => json!({ "digit": digit.to_string(), "duration": 2_000 }),
            Dialect::Twilio => json!({ "track": "inbound_track", "digit": digit.to_string() }),
        };
        let mut message = self.numbered("dtmf", "dtmf", dtmf);
        message["streamSid"] = json!(self.stream_id);
        message
    }

    pub(super) fn mark(&mut self, name: &str) -> Value {
        match self.dialect {
            Dialect::Signalwire => {
                json!({ "event": "mark", "streamSid": self.stream_id, "mark": { "name": name } })
            }
            Dialect::Twilio => self.numbered("mark", "mark", json!({ "name": name })),
        }
    }

    pub(super) fn stop(&mut self) -> Value {
        match self.dialect {
            Dialect::Signalwire => {
                self.sequence += 1;
                json!({ "event": "stop", "sequenceNumber": self.sequence.to_string() })
            }
            Dialect::Twilio => {
                let stop = json!({ "accountSid": "AC-voice-sim", "callSid": self.call_id });
                self.numbered("stop", "stop", stop)
            }
        }
    }

    /// Takes a client's message apart, strictly.
    ///
    /// # Errors
    /// What a correct client would not have sent.
    pub(super) fn parse(&self, text: &str) -> Result<Said, String> {
        let message: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let event = message["event"].as_str().ok_or("no event")?;
        if message["streamSid"] != self.stream_id.as_str() {
            return Err(format!("{event} with streamSid {}", message["streamSid"]));
        }
        match event {
            "media" => {
                let payload = message["media"]["payload"].as_str().ok_or("media without a payload")?;
                let bytes =
                    STANDARD.decode(payload).map_err(|error| format!("a payload is no base64: {error}"))?;
                if bytes.is_empty() || bytes.starts_with(b"RIFF") {
                    return Err("a payload is empty, or has a file's header".into());
                }
                Ok(Said::Media(bytes))
            }
            "mark" => match message["mark"]["name"].as_str() {
                Some(name) if (1..=LONGEST_NAME).contains(&name.len()) => Ok(Said::Mark(name.to_owned())),
                _ => Err("a mark without a name".into()),
            },
            "clear" => Ok(Said::Clear),
            "dtmf" if self.dialect == Dialect::Signalwire => match message["dtmf"]["digit"].as_str() {
                Some(digit) if digit.chars().count() == 1 => Ok(Said::Dtmf(digit.to_owned())),
                _ => Err("dtmf without a digit".into()),
            },
            unknown => Err(format!("unknown event {unknown}")),
        }
    }

    fn numbered(&mut self, event: &str, key: &str, body: Value) -> Value {
        self.sequence += 1;
        let mut message = json!({ "event": event, "sequenceNumber": self.sequence.to_string(), key: body });
        if self.dialect == Dialect::Twilio {
            message["streamSid"] = json!(self.stream_id);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker(dialect: Dialect) -> Speaker {
        Speaker::new(dialect, "MZ1".into(), "CA1".into())
    }

    #[test]
    fn each_dialect_is_what_its_vendor_documents() {
        let place = Place { track: "inbound", chunk: 2, timestamp_ms: 20 };
        let codec = Codec::parse(Some("L16@24000h")).unwrap();
        let mut signalwire = speaker(Dialect::Signalwire);
        assert_eq!(signalwire.connected()["version"], "0.2.0");
        let start = signalwire.start(codec, &["inbound"], &BTreeMap::new());
        assert_eq!(
            start,
            json!({ "event": "start", "sequenceNumber": "1", "start": { "streamSid": "MZ1", "accountSid": "AC-voice-sim",
                "callSid": "CA1", "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-L16", "sampleRate": 24_000, "channels": 1 } } })
        );
        let media = signalwire.media(place, &[1, 2, 3]);
        assert_eq!(
            media,
            json!({ "event": "media", "sequenceNumber": "2", "media": { "track": "inbound", "chunk": "2",
                "timestamp": "20", "payload": "AQID" } })
        );
        assert_eq!(signalwire.stop(), json!({ "event": "stop", "sequenceNumber": "3" }));

        let mut twilio = speaker(Dialect::Twilio);
        assert_eq!(twilio.connected()["version"], "1.0.0");
        let start = twilio.start(Codec::parse(None).unwrap(), &["inbound"], &BTreeMap::new());
        assert_eq!((&start["streamSid"], &start["start"]["customParameters"]), (&json!("MZ1"), &json!({})));
        assert_eq!(start["start"]["mediaFormat"]["encoding"], "audio/x-mulaw");
        let mark = twilio.mark("m");
        assert_eq!(
            mark,
            json!({ "event": "mark", "sequenceNumber": "2", "streamSid": "MZ1", "mark": { "name": "m" } })
        );
        assert_eq!(twilio.stop()["stop"], json!({ "accountSid": "AC-voice-sim", "callSid": "CA1" }));
    }

    #[test]
    fn a_clients_messages_are_taken_strictly() {
        let signalwire = speaker(Dialect::Signalwire);
        let said = |text: &str| signalwire.parse(text);
        assert_eq!(
            said(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AQID"}}"#),
            Ok(Said::Media(vec![1, 2, 3]))
        );
        assert_eq!(
            said(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"m"}}"#),
            Ok(Said::Mark("m".into()))
        );
        assert_eq!(said(r#"{"event":"clear","streamSid":"MZ1"}"#), Ok(Said::Clear));
        let digit = r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"5"}}"#;
        assert_eq!(said(digit), Ok(Said::Dtmf("5".into())));
        assert!(speaker(Dialect::Twilio).parse(digit).is_err(), "Twilio has no such message");
        for wrong in [
            "{",
            r#"{"event":"clear"}"#,
            r#"{"event":"clear","streamSid":"MZ2"}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{}}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"A"}}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"UklGRg=="}}"#,
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":""}}"#,
            r#"{"event":"dance","streamSid":"MZ1"}"#,
        ] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
    }
}
