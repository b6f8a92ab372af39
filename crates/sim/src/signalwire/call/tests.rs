//! Timelines of a call, tick by tick, without a clock.

use serde_json::{Value, json};
use voice_audio::Audio;

use super::*;
use crate::signalwire::{
    telephones::{Does, Telephone},
    wire::{Layer, Refusal},
};

/// A call whose outputs are sorted as they come.
struct Table {
    call: Call,
    world: World,
    events: Vec<(String, Value)>,
    published: Vec<usize>,
    loads: usize,
}

impl Table {
    fn ringing() -> Self {
        let now = Now { at_ms: 0.0, unix: 1_000.0 };
        let ring = Ring { from: "+1".into(), to: "+2".into(), context: "lab".into() };
        let call = Call::new("call-1".into(), ring, "http://sim/recordings".into(), 1, now);
        let world = World {
            now,
            switches: Switches::default(),
            connect_fails: None,
            telephones: Telephones::default(),
        };
        let mut table = Self { call, world, events: Vec::new(), published: Vec::new(), loads: 0 };
        table.sort();
        table
    }

    fn answered() -> Self {
        let mut table = Self::ringing();
        table.call.offer_to("client".into(), "p", table.world.now);
        table.command("calling.answer", json!({})).unwrap();
        table.events.clear();
        table
    }

    fn with(mut self, switches: Switches) -> Self {
        self.world.switches = switches;
        self
    }

    fn command(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        let done = self.call.command(&self.world, method, &params);
        self.sort();
        done
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.world.now.at_ms += FRAME_MS;
            self.world.now.unix += FRAME_MS / 1e3;
            self.call.tick(&self.world);
            self.sort();
        }
    }

    /// Sounds that were asked for have this many samples each.
    fn load(&mut self, control_id: &str, item: usize, samples: usize) {
        let sound = Ok(vec![0.5; samples].into());
        self.call.loaded(&ControlId(control_id.into()), item, sound, self.world.now);
        self.sort();
    }

    fn say(&mut self, seconds: f32, text: &str) {
        let voice = |n: usize| 0.4 * (n as f32 * 0.5).sin();
        let samples = (0..(seconds * 8_000.0) as usize).map(voice).collect();
        let utterance = Utterance::new(&Audio { samples, sample_rate_hertz: 8_000 }, text);
        self.call.say(utterance, self.world.now).unwrap();
    }

    fn sort(&mut self) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Event { event_type, state, params } => {
                    self.events.push((format!("{event_type} {state}"), params));
                }
                Output::Publish { samples, .. } => self.published.push(samples.len()),
                Output::Load { .. } => self.loads += 1,
                Output::Note { .. } | Output::Offer { .. } | Output::Join { .. } | Output::Part { .. } => {}
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.events.iter().map(|(name, _)| name.strip_prefix("calling.call.").unwrap_or(name)).collect()
    }
}

fn play(control_id: &str) -> Value {
    json!({ "control_id": control_id, "play": [
        { "type": "audio", "params": { "url": "http://x/a.wav" } },
        { "type": "silence", "params": { "duration": 1 } },
    ] })
}

fn tape(initial: f64, end_silence: f64) -> Value {
    json!({ "control_id": "tape", "record": { "audio": { "format": "wav", "initial_timeout": initial,
        "end_silence_timeout": end_silence, "terminators": "#" } } })
}

fn ear(extra: Value) -> Value {
    let mut params = json!({ "control_id": "ear", "speech": { "end_silence_timeout": 0.4 }, "partial_results": true,
        "send_start_of_input": true, "start_input_timers": false });
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    params
}

fn code(refusal: &Refusal) -> (String, bool) {
    (refusal.code(), refusal.is_violation)
}

#[test]
fn a_playlist_starts_once_ends_once_and_is_heard_in_true_time() {
    let mut table = Table::answered();
    table.ticks(5);
    table.command("calling.play", play("p")).unwrap();
    table.ticks(5);
    assert!(table.names().is_empty(), "nothing sounds before the file is here");
    table.load("p", 0, 800);
    table.load("p", 1, 80);
    table.ticks(1);
    assert_eq!(table.names(), ["play playing"]);
    table.ticks(5);
    assert_eq!(table.names(), ["play playing"], "half a frame of the second item is still heard");
    table.ticks(1);
    assert_eq!(table.names(), ["play playing", "play finished"]);
    let heard = mulaw::decode(&table.call.heard());
    assert_eq!(heard.iter().position(|sample| *sample > 0.1), Some(10 * 160));
    assert_eq!(heard.iter().filter(|sample| **sample > 0.1).count(), 880);
    assert_eq!(table.call.view()["playbacks"][0]["position_ms"], 110.0);
}

#[test]
fn a_stopped_play_says_where_it_was_and_can_not_be_stopped_again() {
    let mut table = Table::answered();
    table.command("calling.play", play("p")).unwrap();
    table.load("p", 0, 8_000);
    table.ticks(10);
    table.command("calling.play.stop", json!({ "control_id": "p" })).unwrap();
    assert_eq!(table.names(), ["play playing", "play finished"]);
    let view = table.call.view();
    assert_eq!(
        (&view["playbacks"][0]["position_ms"], &view["playbacks"][0]["ended_by"]),
        (&json!(200.0), &json!("stop"))
    );
    let again = table.command("calling.play.stop", json!({ "control_id": "p" })).unwrap_err();
    assert_eq!(code(&again), ("404".into(), false), "things cross on the wire");
    let never = table.command("calling.play.stop", json!({ "control_id": "q" })).unwrap_err();
    assert_eq!(code(&never), ("404".into(), true));
}

#[test]
fn a_looped_list_comes_round_as_often_as_told_and_an_empty_one_ends() {
    let mut table = Table::answered();
    let mut looped = play("p");
    looped["loop"] = json!(3);
    table.command("calling.play", looped).unwrap();
    table.load("p", 0, 160);
    table.load("p", 1, 160);
    table.ticks(6);
    assert_eq!(table.names(), ["play playing"]);
    table.ticks(1);
    assert_eq!(table.names(), ["play playing", "play finished"]);
    let mut for_ever = play("q");
    for_ever["loop"] = json!(0);
    table.command("calling.play", for_ever).unwrap();
    table.load("q", 0, 0);
    table.load("q", 1, 0);
    table.ticks(1);
    assert_eq!(table.names()[2..], ["play playing", "play finished"]);
}

#[test]
fn what_a_correct_client_does_not_do_is_refused_and_remembered() {
    let mut ringing = Table::ringing();
    let early = ringing.command("calling.play", play("p")).unwrap_err();
    assert_eq!(code(&early), ("400".into(), true));

    let mut table = Table::answered();
    table.command("calling.play", play("p")).unwrap();
    table.command("calling.record", tape(0.0, 0.0)).unwrap();
    table.command("calling.collect", ear(json!({}))).unwrap();
    let mut second_tape = tape(0.0, 0.0);
    second_tape["control_id"] = json!("tape-2");
    for (method, params, layer) in [
        ("calling.answer", json!({}), Layer::Result("409")),
        ("calling.pass", json!({}), Layer::Result("400")),
        ("calling.play", play("p2"), Layer::Result("409")),
        ("calling.record", second_tape, Layer::Result("409")),
        ("calling.collect", ear(json!({ "control_id": "ear-2" })), Layer::Result("409")),
        ("calling.play", json!({ "control_id": "p3", "play": [] }), Layer::Protocol(-32_602)),
        ("calling.play", json!({ "play": [{ "type": "audio" }] }), Layer::Protocol(-32_602)),
        ("calling.play.volume", json!({ "control_id": "p", "volume": 90 }), Layer::Protocol(-32_602)),
        ("calling.collect", json!({ "control_id": "e" }), Layer::Protocol(-32_602)),
        ("calling.send_digits", json!({ "control_id": "d", "digits": "12x" }), Layer::Protocol(-32_602)),
        ("calling.end", json!({ "reason": "boredom" }), Layer::Protocol(-32_602)),
        ("calling.dance", json!({}), Layer::Protocol(-32_601)),
    ] {
        let refusal = table.command(method, params).unwrap_err();
        assert_eq!((refusal.layer, refusal.is_violation), (layer, true), "{method}: {}", refusal.message);
    }
    assert_eq!(table.call.view()["violations"].as_array().unwrap().len(), 12);
}

#[test]
fn a_recording_holds_what_was_said_in_its_span_and_its_size_is_told() {
    let mut table = Table::answered();
    table.ticks(10);
    let done = table.command("calling.record", tape(0.0, 0.0)).unwrap();
    assert!(done["url"].as_str().unwrap().starts_with("http://sim/recordings/"), "{done}");
    table.say(0.5, "");
    table.ticks(50);
    table.command("calling.record.stop", json!({ "control_id": "tape" })).unwrap();
    assert_eq!(table.names(), ["record recording", "record finished"]);
    assert_eq!(table.published, [8_000]);
    let finished = &table.events[1].1;
    assert_eq!(
        (&finished["url"], &finished["duration"], &finished["size"]),
        (&done["url"], &json!(1.0), &json!(16_044))
    );
}

#[test]
fn silence_ends_an_unspoken_recording_only_in_the_harsher_reading() {
    let mut harsh = Table::answered();
    harsh.command("calling.record", tape(0.0, 0.6)).unwrap();
    harsh.ticks(30);
    assert_eq!(harsh.names(), ["record recording", "record finished"]);

    let mild = Switches { silence_ends_unspoken_recording: false, ..Switches::default() };
    let mut mild = Table::answered().with(mild);
    mild.command("calling.record", tape(0.0, 0.6)).unwrap();
    mild.ticks(200);
    mild.say(0.5, "");
    mild.ticks(50);
    assert_eq!(mild.names(), ["record recording"], "600 ms after the last voice, not before");
    mild.ticks(20);
    assert_eq!(mild.names(), ["record recording", "record finished"]);
}

#[test]
fn nobody_speaking_in_time_is_no_input_and_zero_may_mean_the_default() {
    let mut table = Table::answered();
    table.command("calling.record", tape(2.0, 0.0)).unwrap();
    table.ticks(100);
    assert_eq!(table.names(), ["record recording", "record no_input"]);
    assert!(table.published.is_empty());

    let zero_is_default = Switches { zero_initial_timeout_is_off: false, ..Switches::default() };
    let mut table = Table::answered().with(zero_is_default);
    table.command("calling.record", tape(0.0, 0.0)).unwrap();
    table.ticks(250);
    assert_eq!(table.names(), ["record recording", "record no_input"]);
}

#[test]
fn a_key_ends_a_recording_that_names_it() {
    let mut table = Table::answered();
    table.command("calling.record", tape(0.0, 0.0)).unwrap();
    table.call.press("1", table.world.now);
    table.sort();
    assert_eq!(table.names(), ["record recording"]);
    table.call.press("#", table.world.now);
    table.sort();
    assert_eq!(table.names(), ["record recording", "record finished"]);
}

#[test]
fn the_ear_tells_onset_growing_words_and_the_whole_sentence() {
    let mut table = Table::answered();
    table.command("calling.collect", ear(json!({}))).unwrap();
    table.ticks(10);
    table.say(1.0, "one two three four");
    table.ticks(5);
    assert!(table.names().is_empty(), "100 ms of voice are not enough");
    table.ticks(1);
    assert_eq!(table.names(), ["collect start_of_input"]);
    table.ticks(80);
    let names = table.names();
    assert_eq!((names[1], *names.last().unwrap()), ("collect partial", "collect final"));
    let texts: Vec<&str> = table.events[1..]
        .iter()
        .map(|(_, event)| event["result"]["params"]["text"].as_str().unwrap())
        .collect();
    assert!(texts.len() >= 3 && texts.windows(2).all(|pair| pair[1].starts_with(pair[0])), "{texts:?}");
    assert_eq!(texts.last(), Some(&"one two three four"));
    let last = &table.events.last().unwrap().1;
    assert_eq!((&last["state"], &last["final"]), (&json!("finished"), &json!(true)));
    let spans = table.call.view()["caller_speech"].clone();
    assert_eq!(spans, json!([{ "start_ms": 200.0, "end_ms": 1200.0, "text": "one two three four" }]));
}

#[test]
fn a_continuous_ear_goes_on_after_a_sentence() {
    let mut table = Table::answered();
    table.command("calling.collect", ear(json!({ "continuous": true, "partial_results": false }))).unwrap();
    for text in ["first", "second"] {
        table.say(0.5, text);
        table.ticks(60);
    }
    let finals: Vec<(&Value, &Value)> = table
        .events
        .iter()
        .filter(|(name, _)| name.ends_with("final"))
        .map(|(_, event)| (&event["state"], &event["result"]["params"]["text"]))
        .collect();
    assert_eq!(finals, [(&json!("collecting"), &json!("first")), (&json!("collecting"), &json!("second"))]);
    table.command("calling.collect.stop", json!({ "control_id": "ear" })).unwrap();
    assert_eq!(table.events.last().unwrap().1["result"]["type"], "no_input");
}

#[test]
fn an_ear_without_timers_gives_up_by_itself_unless_switched_off() {
    let mut table = Table::answered();
    table.command("calling.collect", ear(json!({}))).unwrap();
    table.ticks(749);
    assert!(table.names().is_empty());
    table.ticks(1);
    assert_eq!(table.events[0].1["result"], json!({ "type": "no_input" }));

    let patient = Switches { collect_gives_up_seconds: 0.0, ..Switches::default() };
    let mut table = Table::answered().with(patient);
    table.command("calling.collect", ear(json!({ "initial_timeout": 2 }))).unwrap();
    table.ticks(3_000);
    assert!(table.names().is_empty());
    table.command("calling.collect.start_input_timers", json!({ "control_id": "ear" })).unwrap();
    table.ticks(99);
    assert!(table.names().is_empty());
    table.ticks(1);
    assert_eq!(table.names(), ["collect final"]);
}

#[test]
fn digits_end_by_count_by_terminator_and_by_time() {
    for (pressed, waits, digits, terminator) in
        [("123", 0, "123", Value::Null), ("1#", 0, "1", json!("#")), ("12", 100, "12", Value::Null)]
    {
        let mut table = Table::answered();
        let wanted =
            json!({ "control_id": "ear", "digits": { "max": 3, "terminators": "#", "digit_timeout": 2 } });
        table.command("calling.collect", wanted).unwrap();
        table.call.press(pressed, table.world.now);
        table.ticks(waits);
        table.sort();
        let result = &table.events.last().expect("a result").1["result"];
        assert_eq!(
            (&result["params"]["digits"], &result["params"]["terminator"]),
            (&json!(digits), &terminator)
        );
    }
}

#[test]
fn a_prompt_is_cut_by_input_and_its_timers_wait_for_its_end() {
    let prompt = json!({ "control_id": "q", "play": [{ "type": "silence", "params": { "duration": 1 } }],
        "collect": { "digits": { "max": 2 }, "initial_timeout": 1 } });
    let mut silent = Table::answered();
    silent.command("calling.play_and_collect", prompt.clone()).unwrap();
    silent.load("q", 0, 16_000);
    silent.ticks(101);
    assert_eq!(silent.names(), ["play playing", "play finished"]);
    silent.ticks(50);
    assert_eq!(silent.names()[2..], ["collect final"]);

    let mut pressed = Table::answered();
    pressed.command("calling.play_and_collect", prompt).unwrap();
    pressed.load("q", 0, 16_000);
    pressed.ticks(10);
    pressed.call.press("42", pressed.world.now);
    pressed.sort();
    assert_eq!(pressed.names(), ["play playing", "collect final", "play finished"]);
}

#[test]
fn what_runs_at_the_end_gets_its_events_only_in_the_milder_reading() {
    for (operations_end_before_call, expected) in [
        (false, vec!["state ended"]),
        (true, vec!["play finished", "record finished", "collect error", "state ended"]),
    ] {
        let mut table =
            Table::answered().with(Switches { operations_end_before_call, ..Switches::default() });
        table.command("calling.play", play("p")).unwrap();
        table.command("calling.record", tape(0.0, 0.0)).unwrap();
        table.command("calling.collect", ear(json!({}))).unwrap();
        table.ticks(20);
        table.events.clear();
        table.call.hang_up(&table.world);
        table.sort();
        assert_eq!(table.names(), expected);
        assert_eq!(table.published, [3_200], "the file is there in either reading");
        let late = table.command("calling.play", play("p2")).unwrap_err();
        assert_eq!(code(&late), ("410".into(), false));
    }
}

#[test]
fn a_transfer_connects_or_fails_as_told_and_comes_apart_with_the_call() {
    let phone =
        json!({ "devices": [[{ "type": "phone", "params": { "from_number": "+1", "to_number": "+3" } }]] });
    let mut table = Table::answered();
    table.command("calling.connect", phone.clone()).unwrap();
    table.ticks(15);
    assert_eq!(table.names(), ["state created", "connect connecting", "state answered", "connect connected"]);
    assert_eq!(table.call.view()["connected_to"]["params"]["to_number"], "+3");
    table.command("calling.end", json!({})).unwrap();
    table.ticks(1);
    assert_eq!(table.names()[4..], ["state ending", "state ended", "connect disconnected", "state ended"]);

    let mut table = Table::answered();
    table.world.connect_fails = Some("busy".into());
    table.command("calling.connect", phone).unwrap();
    table.ticks(15);
    let (name, event) = table.events.last().unwrap();
    assert_eq!((name.as_str(), &event["failed_reason"]), ("calling.call.connect failed", &json!("busy")));
}

fn dialled(telephone: Telephone) -> Table {
    let now = Now { at_ms: 0.0, unix: 1_000.0 };
    let device =
        json!({ "type": "phone", "params": { "from_number": "+2", "to_number": "+3", "timeout": 1 } });
    let dial = NewDial {
        session: "client".into(),
        tag: "tag-1".into(),
        device: serde_json::from_value(device).unwrap(),
        telephone,
    };
    let call = Call::dialled("call-2".into(), dial, "http://sim/recordings".into(), 1, now);
    let mut table = Table { call, ..Table::ringing() };
    table.events.clear();
    table.sort();
    table
}

#[test]
fn a_dialled_call_rings_and_is_answered_or_tells_why_not() {
    let mut table = dialled(Telephone::default());
    assert_eq!(code(&table.command("calling.play", play("p")).unwrap_err()), ("400".into(), true));
    table.ticks(15);
    let expected = ["dial dialing", "state created", "state ringing", "state answered", "dial answered"];
    assert_eq!(table.names(), expected);
    let (_, answered) = table.events.last().unwrap();
    assert_eq!((answered.get("call_id"), &answered["call"]["call_id"]), (None, &json!("call-2")));
    assert!(table.events.iter().all(|(_, event)| event["tag"] == "tag-1"));
    table.command("calling.play", play("p")).unwrap();
    for (does, after, reason) in
        [(Does::Busy, 15, "busy"), (Does::Fail, 15, "error"), (Does::NoAnswer, 50, "noAnswer")]
    {
        let mut table = dialled(Telephone { does, ..Telephone::default() });
        table.ticks(after - 1);
        assert_eq!(table.call.view()["state"], "dialling");
        table.ticks(1);
        let last: Vec<_> = table.events.iter().rev().take(2).map(|(name, event)| (name, event)).collect();
        assert_eq!((last[0].0.as_str(), &last[0].1["reason"]), ("calling.call.dial failed", &json!(reason)));
        assert_eq!(last[1].1["end_reason"], reason);
    }
    let mut table = dialled(Telephone::default());
    table.command("calling.end", json!({ "reason": "cancel" })).unwrap();
    table.ticks(2);
    assert_eq!(table.names()[2..], ["state ending", "state ended", "dial failed"]);
}

#[test]
fn a_machine_is_told_from_a_person_by_how_long_it_speaks() {
    let detect = json!({ "control_id": "d", "detect": { "type": "machine", "params": {} }, "timeout": 10 });
    let verdicts = |says_ms, beep| {
        let mut table = dialled(Telephone { says_ms, beep, ..Telephone::default() });
        table.ticks(15);
        table.command("calling.detect", detect.clone()).unwrap();
        table.ticks(300);
        let all = table.events.iter().filter(|(name, _)| name.starts_with("calling.call.detect"));
        all.map(|(_, event)| event["detect"]["params"].clone()).collect::<Vec<_>>()
    };
    let told = |event: &str, beep: bool| json!({ "event": event, "beep": beep });
    let finished = json!({ "event": "finished" });
    assert_eq!(verdicts(600, false), [told("HUMAN", false), finished.clone()]);
    assert_eq!(verdicts(0, false), [told("UNKNOWN", false), finished.clone()]);
    assert_eq!(verdicts(2_500, true), [told("MACHINE", false), told("READY", true), finished.clone()]);
    assert_eq!(verdicts(2_500, false), [told("MACHINE", false), told("READY", false), finished]);
}

#[test]
fn calls_that_are_up_are_joined_and_come_apart_and_one_handed_over_is_gone() {
    let mut one = Table::answered();
    let device = json!({ "type": "call", "params": { "node_id": NODE_ID, "call_id": "call-2" } });
    one.command("calling.connect", json!({ "devices": [[device]] })).unwrap();
    let mut two = dialled(Telephone::default());
    assert!(two.call.join("call-1", Some("client"), two.world.now).is_err(), "nobody has answered there");
    two.ticks(15);
    assert!(two.call.join("call-1", Some("somebody"), two.world.now).is_err(), "it is not his");
    two.call.join("call-1", Some("client"), two.world.now).unwrap();
    one.call.join_answered("call-2", Ok(()), one.world.now);
    one.sort();
    assert_eq!(one.names(), ["connect connecting", "connect connected"]);
    two.sort();
    two.events.clear();
    two.call.part("call-1", two.world.now);
    two.sort();
    assert_eq!(two.names(), ["connect disconnected"]);
    let refused = two.command("calling.transfer", json!({ "dest": "the office" })).unwrap_err();
    assert!(refused.is_violation);
    two.command("calling.transfer", json!({ "dest": "context:office" })).unwrap();
    assert_eq!(code(&two.command("calling.play", play("p")).unwrap_err()), ("404".into(), false));
}

#[test]
fn silences_are_where_nothing_was_heard() {
    let mut table = Table::answered();
    table.ticks(25);
    table.command("calling.play", play("p")).unwrap();
    table.load("p", 0, 1_600);
    table.ticks(40);
    let silences = serde_json::to_value(table.call.silences(0.0, 1_000.0)).unwrap();
    assert_eq!(silences["longest_ms"], 500.0);
    assert_eq!(
        silences["gaps"],
        json!([{ "from_ms": 0.0, "to_ms": 500.0 }, { "from_ms": 700.0, "to_ms": 1_000.0 }])
    );
    assert_eq!(Table::ringing().call.silences(0.0, 1.0), None);
}
