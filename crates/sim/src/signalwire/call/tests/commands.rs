//! Commands that are refused, and what becomes of those that run.

use super::*;

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
