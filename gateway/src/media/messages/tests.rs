//! What is read and written, byte by byte.

use serde_json::{Value, json};

use super::*;
use crate::media::close::{INVALID_MESSAGE, MESSAGE_TOO_LARGE, UNEXPECTED_MESSAGE, UNSUPPORTED_FORMAT};

const SIGNALWIRE_START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"S1","accountSid":"A","callSid":"C",
    "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-L16","sampleRate":24000,"channels":1}}}"#;

const TWILIO_START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1",
    "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
    "customParameters":{"from":"+1555","to":"+1556"}},"streamSid":"MZ1"}"#;

fn mulaw() -> Reader {
    Reader::new(Format::Mulaw)
}

fn media(chunk: &str, payload: &str) -> String {
    json!({ "event": "media", "sequenceNumber": "3", "media": { "track": "inbound", "chunk": chunk, "timestamp": "5",
        "payload": payload } })
    .to_string()
}

#[test]
fn both_vendors_begin_a_stream() {
    let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    assert_eq!(start(connected), Ok(None));
    let signalwire = start(SIGNALWIRE_START).unwrap().unwrap();
    assert_eq!(
        (signalwire.stream_sid.as_str(), signalwire.format),
        ("S1", Format::Linear16 { hertz: 24_000 })
    );
    assert!(signalwire.parameters.is_empty());
    let twilio = start(TWILIO_START).unwrap().unwrap();
    assert_eq!((twilio.stream_sid.as_str(), twilio.format), ("MZ1", Format::Mulaw));
    assert_eq!(twilio.parameters["from"], "+1555");
}

#[test]
fn what_cannot_begin_a_stream_is_refused_by_name() {
    for (text, reason) in [
        ("{".to_owned(), INVALID_MESSAGE),
        ("{}".to_owned(), INVALID_MESSAGE),
        (r#"{"event":"start"}"#.to_owned(), INVALID_MESSAGE),
        (media("1", "AQID"), UNEXPECTED_MESSAGE),
        (SIGNALWIRE_START.replace("24000", "44100"), UNSUPPORTED_FORMAT),
        (TWILIO_START.replace("\"channels\":1", "\"channels\":2"), UNSUPPORTED_FORMAT),
        (TWILIO_START.replace("x-mulaw", "x-opus"), UNSUPPORTED_FORMAT),
        (" ".repeat(70_000), MESSAGE_TOO_LARGE),
    ] {
        assert_eq!(start(&text), Err(reason), "{text}");
    }
}

#[test]
fn sound_is_decoded_in_order_and_once() {
    let mut reader = mulaw();
    let audio =
        |missing, bytes: &'static [u8]| Ok(Heard::Audio { missing, audio: Bytes::from_static(bytes) });
    assert_eq!(reader.read(&media("1", "AQID")), audio(0, &[1, 2, 3]));
    assert_eq!(reader.read(&media("2", "BAU=")), audio(0, &[4, 5]));
    assert_eq!(reader.read(&media("2", "BAU=")), Ok(Heard::Past));
    assert_eq!(reader.read(&media("4", "Bg==")), audio(1, &[6]));
    // An encoder that escapes slashes, and one that writes numbers as numbers.
    let escaped = r#"{"event":"media","media":{"chunk":5,"payload":"\/\/8="}}"#;
    assert_eq!(reader.read(escaped), audio(0, &[255, 255]));
    let ours = r#"{"event":"media","media":{"track":"outbound","chunk":"6","payload":"AQID"}}"#;
    assert_eq!(reader.read(ours), Ok(Heard::Nothing));
}

#[test]
fn blocks_are_used_again_once_what_was_in_them_is_gone() {
    let mut reader = mulaw();
    let payload = STANDARD.encode([7; 160]);
    let mut places = std::collections::BTreeSet::new();
    for chunk in 1..1_000 {
        let Ok(Heard::Audio { audio, .. }) = reader.read(&media(&chunk.to_string(), &payload)) else {
            panic!("it is sound")
        };
        places.insert(audio.as_ptr() as usize);
    }
    assert!(places.len() < 200, "a block or two, again and again: {}", places.len());
}

#[test]
fn keys_marks_and_the_end_are_heard_and_news_of_a_later_version_is_not() {
    let mut reader = mulaw();
    for (text, heard) in [
        (r#"{"event":"dtmf","streamSid":"S","dtmf":{"digit":"5","duration":2000}}"#, Heard::Digit('5')),
        (
            r#"{"event":"dtmf","streamSid":"S","dtmf":{"track":"inbound_track","digit":"d"}}"#,
            Heard::Digit('D'),
        ),
        (
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"S","mark":{"name":"c-1"}}"#,
            Heard::Mark("c-1".into()),
        ),
        (r#"{"event":"stop","sequenceNumber":"9"}"#, Heard::Stop),
        (r#"{"event":"stop","streamSid":"S","stop":{"accountSid":"A","callSid":"C"}}"#, Heard::Stop),
        (r#"{"event":"weather","weather":{"is":"fine"}}"#, Heard::Nothing),
    ] {
        assert_eq!(reader.read(text), Ok(heard), "{text}");
    }
}

#[test]
fn nonsense_within_a_stream_is_refused_by_name() {
    let mut reader = Reader::new(Format::Linear16 { hertz: 16_000 });
    for (text, reason) in [
        ("not json".to_owned(), INVALID_MESSAGE),
        (r#"{"event":"media"}"#.to_owned(), INVALID_MESSAGE),
        (r#"{"event":"media","media":{"payload":7}}"#.to_owned(), INVALID_MESSAGE),
        (media("1", "%%%%"), INVALID_MESSAGE),
        (media("1", "AQID"), INVALID_MESSAGE),
        (r#"{"event":"dtmf","dtmf":{"digit":"55"}}"#.to_owned(), INVALID_MESSAGE),
        (r#"{"event":"mark"}"#.to_owned(), INVALID_MESSAGE),
        (SIGNALWIRE_START.to_owned(), UNEXPECTED_MESSAGE),
    ] {
        assert_eq!(reader.read(&text), Err(reason), "{text}");
    }
}

#[test]
fn what_is_written_is_what_the_vendors_document() {
    let mut writer = Writer::new("MZ\"1");
    let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
    let stream = "MZ\"1";
    for length in [1, 2, 3, 160, 960] {
        let audio: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let expected =
            json!({ "event": "media", "streamSid": stream, "media": { "payload": STANDARD.encode(&audio) } });
        assert_eq!(read(writer.media(&audio)), expected);
    }
    let mark = json!({ "event": "mark", "streamSid": stream, "mark": { "name": "a \\ b" } });
    assert_eq!(read(writer.mark("a \\ b")), mark);
    assert_eq!(read(writer.clear()), json!({ "event": "clear", "streamSid": stream }));
}
