//! Recordings, the ear, and keys.

use super::*;

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
