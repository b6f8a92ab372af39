use serde_json::json;

use super::*;

fn collect(inner: Value) -> CollectEvent {
    let params = json!({ "event_type": "calling.call.collect", "params": inner });
    match parse(&params) {
        Some(Event::Call { event: CallEvent::Collect(event), .. }) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_collect_is_over_only_with_its_terminal_result() {
    let base = json!({ "call_id": "c", "node_id": "n", "control_id": "x" });
    let with = |more: Value| {
        let mut all = base.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        collect(all)
    };
    let partial = with(
        json!({"state": "collecting", "final": false, "result": {"type": "speech", "params": {"text": "hel"}}}),
    );
    assert_eq!(
        (partial.is_over, partial.heard),
        (false, Heard::Speech { text: "hel".into(), is_final: false })
    );
    let last = with(
        json!({"state": "finished", "final": true, "result": {"type": "speech", "params": {"text": "hello"}}}),
    );
    assert_eq!((last.is_over, last.heard), (true, Heard::Speech { text: "hello".into(), is_final: true }));
    assert!(with(json!({"result": {"type": "no_input"}})).is_over);
    assert!(!with(json!({"result": {"type": "start_of_input"}})).is_over);
    let digits = with(json!({"state": "finished", "result": {"type": "digit", "params": {"digits": 12}}}));
    assert_eq!(digits.heard, Heard::Digits("12".into()));
}

#[test]
fn dialling_is_told_by_tag_and_its_end_by_reason() {
    let dial = |inner: Value| parse(&json!({ "event_type": "calling.call.dial", "params": inner }));
    let call = json!({ "call_id": "c", "node_id": "n", "dial_winner": true });
    let leg = Leg { node_id: "n".into(), call_id: "c".into() };
    assert_eq!(
        dial(json!({ "tag": "t", "dial_state": "answered", "call": call })),
        Some(Event::Dial { tag: "t".into(), event: DialEvent::Answered(leg.clone()) })
    );
    for (reason, read) in [
        (json!("busy"), NotReached::Busy),
        (json!("noAnswer"), NotReached::NoAnswer),
        (json!("moon"), NotReached::Other),
        (Value::Null, NotReached::Other),
    ] {
        assert_eq!(
            dial(json!({ "tag": "t", "dial_state": "failed", "reason": reason })),
            Some(Event::Dial { tag: "t".into(), event: DialEvent::Failed(read) })
        );
    }
    let state = json!({ "event_type": "calling.call.state", "params": { "call_id": "c", "node_id": "n", "tag": "t",
        "call_state": "ended", "end_reason": "busy" } });
    let event = CallEvent::NotReached(NotReached::Busy);
    assert_eq!(parse(&state), Some(Event::Call { leg, tag: Some("t".into()), event }));
}

#[test]
fn unknown_events_states_and_shapes_are_nothing() {
    for params in [
        json!({}),
        json!({"event_type": "messaging.receive", "params": {}}),
        json!({"event_type": "calling.call.play", "params": {"call_id": "c", "control_id": "x", "state": "dancing"}}),
        json!({"event_type": "calling.call.receive", "params": {"call_id": "c"}}),
        json!({"event_type": 7, "params": []}),
    ] {
        assert_eq!(parse(&params), None, "{params}");
    }
}
