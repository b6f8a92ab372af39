//! Other telephones, other calls, and machines that answer.

use super::*;

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
