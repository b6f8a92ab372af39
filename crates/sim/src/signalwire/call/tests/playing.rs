//! What is played, and what of it is heard.

use super::*;

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
