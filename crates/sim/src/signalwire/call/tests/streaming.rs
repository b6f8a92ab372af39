//! Media streams and documents, message by message.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::signalwire::{
    params::{Seconds, StreamTo},
    switches::{Dialect, StreamEvents},
};

fn device(extra: Value) -> Value {
    let mut params = json!({ "url": "wss://bot/media/token" });
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({ "tag": "t", "devices": [[{ "type": "stream", "params": params }]] })
}

/// A call that is connected to a stream whose socket is open.
fn connected(extra: Value) -> Table {
    connected_under(Switches::default(), extra)
}

fn connected_under(switches: Switches, extra: Value) -> Table {
    let mut table = Table::answered().with(switches);
    table.command("calling.connect", device(extra)).unwrap();
    table.open();
    table
}

impl Table {
    fn stream(&self) -> String {
        self.opened.last().unwrap().stream_id.clone()
    }

    fn open(&mut self) {
        let id = self.stream();
        self.call.stream_opened(&id, Ok(()), &self.world);
        self.sort();
    }

    fn said(&mut self, mut message: Value) {
        let id = self.stream();
        message["streamSid"] = json!(id);
        self.call.stream_said(&id, &Message::Text(message.to_string()), self.world.now);
        self.sort();
    }

    fn media(&mut self, bytes: &[u8]) {
        self.said(json!({ "event": "media", "media": { "payload": STANDARD.encode(bytes) } }));
    }

    fn mark(&mut self, name: &str) {
        self.said(json!({ "event": "mark", "mark": { "name": name } }));
    }

    /// What was written, and how much later than at once.
    fn messages(&self) -> Vec<(Value, f64)> {
        let text = |to_socket: &ToSocket| match to_socket {
            ToSocket::Message { message: Message::Text(text), delay_ms } => {
                Some((serde_json::from_str(text).unwrap(), *delay_ms))
            }
            ToSocket::Message { message: Message::Binary(_), .. } | ToSocket::Close => None,
        };
        self.written.iter().filter_map(text).collect()
    }

    fn heard_events(&self) -> Vec<String> {
        self.messages().iter().map(|(message, _)| message["event"].as_str().unwrap().to_owned()).collect()
    }

    fn log(&self) -> Value {
        self.call.view()["streams"][0].clone()
    }
}

#[test]
fn a_connected_stream_hears_every_frame_of_the_caller_numbered_and_timed() {
    let mut table = connected(json!({ "custom_parameters": { "session": "42" } }));
    assert_eq!(table.names(), ["connect connecting", "connect connected"]);
    table.say(0.1, "hello");
    table.ticks(3);
    assert_eq!(table.heard_events(), ["connected", "start", "media", "media", "media"]);
    let messages = table.messages();
    assert_eq!(messages[1].0["start"]["customParameters"], json!({ "session": "42" }));
    let (third, _) = &messages[4];
    assert_eq!(
        (&third["sequenceNumber"], &third["media"]["chunk"], &third["media"]["timestamp"]),
        (&json!("4"), &json!("3"), &json!("40"))
    );
    let payload = STANDARD.decode(third["media"]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload.len(), 160);
    assert!(mulaw::decode(&payload).iter().any(|sample| sample.abs() > 0.3), "it is the caller's voice");
}

#[test]
fn what_a_stream_says_is_heard_in_true_time_and_marks_come_back_when_they_are_reached() {
    let mut table = connected(json!({}));
    table.ticks(5);
    table.media(&mulaw::encode(&[0.5; 480]));
    table.mark("clause");
    table.ticks(2);
    assert!(!table.heard_events().contains(&"mark".to_owned()));
    table.ticks(1);
    assert_eq!(table.heard_events().iter().filter(|event| *event == "mark").count(), 1);
    let heard = mulaw::decode(&table.call.heard());
    assert_eq!(heard.iter().position(|sample| *sample > 0.1), Some(5 * 160));
    assert_eq!(heard.iter().filter(|sample| **sample > 0.1).count(), 480);
    let log = table.log();
    assert_eq!((&log["played_ms"], &log["most_ahead_ms"]), (&json!(60.0), &json!(60.0)));
    assert_eq!((&log["marks"][0]["echoed_at_ms"], &log["underruns"]), (&json!(160.0), &json!(0)));
}

#[test]
fn a_clear_silences_at_once_and_gives_back_every_mark() {
    let mut table = connected(json!({}));
    table.media(&mulaw::encode(&vec![0.5; 8_000]));
    table.mark("one");
    table.media(&mulaw::encode(&vec![0.5; 8_000]));
    table.mark("two");
    table.ticks(10);
    table.said(json!({ "event": "clear" }));
    let heard = table.heard_events();
    assert_eq!(heard[heard.len() - 2..], ["mark", "mark"]);
    table.ticks(10);
    let sounding = mulaw::decode(&table.call.heard()).iter().filter(|sample| **sample > 0.1).count();
    assert_eq!(sounding, 10 * 160);
    let log = table.log();
    assert_eq!(log["clears"], json!([{ "at_ms": 200.0, "dropped_ms": 1_800.0 }]));
    assert!(log["marks"].as_array().unwrap().iter().all(|mark| mark["was_cleared"] == true));
}

#[test]
fn wide_codecs_carry_the_same_sound_in_both_directions() {
    for (codec, bytes, hertz) in [("L16@16000h", 640, 16_000), ("L16@24000h@40i", 1_920, 24_000)] {
        let mut table = connected(json!({ "codec": codec }));
        let format = table.messages()[1].0["start"]["mediaFormat"].clone();
        assert_eq!(format, json!({ "encoding": "audio/x-L16", "sampleRate": hertz, "channels": 1 }));
        table.say(0.2, "hello");
        table.ticks(8);
        let (last, _) = table.messages().pop().unwrap();
        let payload = STANDARD.decode(last["media"]["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload.len(), bytes);
        table.media(&payload);
        table.ticks(4);
        let heard = mulaw::decode(&table.call.heard());
        assert!(heard.iter().any(|sample| sample.abs() > 0.3), "{codec}: the caller hears himself");
    }
}

#[test]
fn frames_are_lost_doubled_and_late_as_told_and_their_numbers_show_it() {
    let mut table = connected(json!({}));
    table.world.stream_faults =
        StreamFaults { lose_percent: 20, double_percent: 20, jitter_ms: 40, ..StreamFaults::default() };
    table.ticks(200);
    let log = table.log();
    let (lost, doubled) =
        (log["frames_lost"].as_u64().unwrap() as usize, log["frames_doubled"].as_u64().unwrap() as usize);
    assert!(lost > 20 && doubled > 15, "{log}");
    let messages = table.messages();
    let media: Vec<_> = messages.iter().filter(|(message, _)| message["event"] == "media").collect();
    assert_eq!(media.len(), 200 - lost + doubled);
    let chunks: Vec<u64> = media
        .iter()
        .map(|(message, _)| message["media"]["chunk"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(chunks.is_sorted() && *chunks.last().unwrap() >= 195);
    assert!(media.iter().any(|(_, delay_ms)| *delay_ms > 20.0));
}

#[test]
fn keys_reach_the_stream_and_a_stop_tells_it_and_everybody() {
    for (dialect, duration) in [(Dialect::Signalwire, json!(2_000)), (Dialect::Twilio, Value::Null)] {
        let mut table =
            connected_under(Switches { stream_dialect: dialect, ..Switches::default() }, json!({}));
        table.call.press("5", table.world.now);
        table.sort();
        let (digit, _) = table.messages().pop().unwrap();
        assert_eq!((&digit["dtmf"]["digit"], &digit["dtmf"]["duration"]), (&json!("5"), &duration));
        table.command("calling.disconnect", json!({})).unwrap();
        assert_eq!(table.heard_events().last().unwrap(), "stop");
        assert_eq!(table.written.last(), Some(&ToSocket::Close));
        assert_eq!(table.names(), ["connect connecting", "connect connected", "connect disconnected"]);
        assert_eq!(table.call.view()["state"], "answered");
        table.command("calling.connect", device(json!({}))).unwrap();
    }
}

#[test]
fn the_end_of_a_socket_is_told_in_every_reading_and_may_end_the_call() {
    for (stream_connect_events, told) in [
        (StreamEvents::Connect, &["connect connecting", "connect connected", "connect disconnected"][..]),
        (StreamEvents::Stream, &["stream streaming", "stream finished"]),
        (StreamEvents::None, &[]),
    ] {
        let mut table = connected_under(Switches { stream_connect_events, ..Switches::default() }, json!({}));
        let id = table.stream();
        table.call.stream_closed(&id, "1000 ", &table.world.clone());
        table.sort();
        assert_eq!(table.names(), told);
        assert_eq!(table.log()["closed_by"], "1000 ");
    }
    let mut table = connected_under(Switches { stream_end_hangs_up: true, ..Switches::default() }, json!({}));
    let id = table.stream();
    table.call.stream_closed(&id, "1000 ", &table.world.clone());
    assert!(table.call.is_ended());
}

#[test]
fn a_socket_that_cannot_be_opened_fails_the_connect_and_the_call_goes_on() {
    let mut table = Table::answered();
    table.command("calling.connect", device(json!({}))).unwrap();
    let id = table.stream();
    table.call.stream_opened(&id, Err("connection_refused".into()), &table.world.clone());
    table.sort();
    assert_eq!(table.names(), ["connect connecting", "connect failed"]);
    assert_eq!(table.events[1].1["failed_reason"], "connection_refused");
    table.world.connect_fails = Some("busy".into());
    table.command("calling.connect", device(json!({}))).unwrap();
    table.ticks(1);
    assert_eq!(table.events.last().unwrap().1["failed_reason"], "busy");
    assert_eq!(table.call.view()["state"], "answered");
}

#[test]
fn streams_that_only_listen_hear_the_tracks_they_asked_for_and_have_no_say() {
    let mut table = Table::answered();
    let stream =
        json!({ "control_id": "s", "url": "ws://127.0.0.1:1/x", "track": "both_tracks", "name": "n" });
    table.command("calling.stream", stream.clone()).unwrap();
    let again = json!({ "control_id": "s2", "url": "wss://x/y", "name": "n" });
    assert!(table.command("calling.stream", again).is_err());
    table.open();
    table.ticks(1);
    let tracks: Vec<Value> =
        table.messages().iter().map(|(message, _)| message["media"]["track"].clone()).collect();
    assert_eq!(tracks[2..], [json!("inbound"), json!("outbound")]);
    table.media(&[0xFF; 160]);
    assert_eq!(table.call.view()["violations"].as_array().unwrap().len(), 2, "one-way, and the name");
    table.command("calling.stream.stop", json!({ "control_id": "s" })).unwrap();
    assert_eq!(table.names(), ["stream streaming", "stream finished"]);
    let twice = table.command("calling.stream.stop", json!({ "control_id": "s" })).unwrap_err();
    assert_eq!(code(&twice), ("404".into(), false));
}

#[test]
fn a_tap_is_sent_bare_bytes() {
    let mut table = Table::answered();
    let tap = json!({ "control_id": "t", "tap": { "type": "audio", "params": { "direction": "both" } },
        "device": { "type": "ws", "params": { "uri": "wss://x/tap" } } });
    let done = table.command("calling.tap", tap).unwrap();
    assert_eq!(done["source_device"]["type"], "rtp");
    table.open();
    table.ticks(2);
    let bare = |to_socket: &ToSocket| matches!(to_socket, ToSocket::Message { message: Message::Binary(bytes), .. } if bytes.len() == 160);
    assert!(table.written.len() == 2 && table.written.iter().all(bare));
    table.command("calling.tap.stop", json!({ "control_id": "t" })).unwrap();
    assert_eq!(table.names(), ["tap tapping", "tap finished"]);
}

#[test]
fn what_cannot_be_streamed_is_refused_and_nonsense_on_a_socket_is_remembered() {
    let mut table = Table::answered();
    for wrong in [
        json!({ "url": "ws://example.com/x" }),
        json!({ "url": "wss://example.com/x?session=1" }),
        json!({ "url": "https://example.com/x" }),
        json!({ "codec": "OPUS" }),
    ] {
        let refusal = table.command("calling.connect", device(wrong.clone())).unwrap_err();
        assert_eq!((refusal.layer, refusal.is_violation), (Layer::Protocol(-32_602), true), "{wrong}");
    }
    table.world.switches.stream_dialect = Dialect::Twilio;
    assert!(table.command("calling.connect", device(json!({ "codec": "L16@16000h" }))).is_err());
    let mut table = connected(json!({ "codec": "L16@16000h" }));
    table.said(json!({ "event": "dance" }));
    table.media(&[1, 2, 3]);
    let id = table.stream();
    table.call.stream_said(&id, &Message::Binary(vec![0]), table.world.now);
    table.call.stream_said(&id, &Message::Text("{".into()), table.world.now);
    assert_eq!(table.call.view()["violations"].as_array().unwrap().len(), 4);
}

#[test]
fn a_document_connects_the_call_and_the_next_one_takes_over_when_the_socket_closes() {
    let ring = Ring { from: "+1".into(), to: "+2".into(), context: String::new() };
    let world = Table::ringing().world;
    let url = "http://bot/voice".to_owned();
    let call = Call::conducted("call-1".into(), ring, url, "http://sim".into(), 1, world.now);
    let mut table = Table::of(call, world);
    let (url, form) = table.fetched[0].clone();
    let form: BTreeMap<_, _> = form.into_iter().collect();
    assert_eq!(
        (url.as_str(), form["CallSid"].as_str(), form["From"].as_str()),
        ("http://bot/voice", "call-1", "+1")
    );
    assert_eq!(form["CallStatus"], "ringing");
    let to = StreamTo { url: "wss://bot/media/t".into(), ..StreamTo::default() };
    let verbs = vec![Verb::ConnectStream(to), Verb::Redirect("http://bot/again".into())];
    table.call.document(Ok(verbs), &table.world.clone());
    table.sort();
    assert_eq!(table.call.view()["state"], "answered");
    table.open();
    table.ticks(1);
    let id = table.stream();
    table.call.stream_closed(&id, "dropped", &table.world.clone());
    table.sort();
    assert_eq!(table.fetched.len(), 2);
    assert_eq!(table.fetched[1].0, "http://bot/again");
    table.call.document(Ok(vec![Verb::Pause(Seconds(0.1)), Verb::Hangup]), &table.world.clone());
    table.ticks(4);
    assert!(!table.call.is_ended());
    table.ticks(1);
    assert!(table.call.is_ended());
    assert_eq!(table.call.owner(), None, "there is no RELAY client to tell");
}
