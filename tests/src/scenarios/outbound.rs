//! Calls that are placed, and what the outside asks of live ones.

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use voice_proto::relay::v1::{
    Answerer, Call, CallDirection, CallState, EndCallRequest, EndReason, GetCallRequest, InstructRequest,
    PlaceCallRequest, SayOutcome, SayRequest, SendDigitsRequest, TransferCallRequest, VoicemailPolicy,
    WatchCallRequest,
};

use super::*;

/// What the platform does for a call it does whichever way the audio goes.
const DOORS: [&str; 2] = ["recording", "stream"];

const OURS: &str = "+15552220000";
const FRIEND: &str = "+15557770001";

fn order(request_id: &str, to: &str) -> PlaceCallRequest {
    PlaceCallRequest {
        request_id: request_id.into(),
        to_number: to.into(),
        from_number: OURS.into(),
        context: CONTEXT.into(),
        ..PlaceCallRequest::default()
    }
}

async fn dialling_mesh(options: Options) -> Mesh {
    mesh(options.with("DIAL_ALLOWED_PREFIXES", "+1555,+4930")).await
}

async fn place(mesh: &Mesh, order: PlaceCallRequest) -> Result<Call, Status> {
    let placed = mesh.relay().await.unwrap().place_call(order).await?;
    Ok(placed.into_inner().call.unwrap())
}

async fn read(mesh: &Mesh, call_id: &str) -> Call {
    let request = GetCallRequest { call_id: call_id.into() };
    mesh.relay().await.unwrap().get_call(request).await.unwrap().into_inner().call.unwrap()
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

fn is_delayed(status: &Status) -> bool {
    status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some())
}

async fn expect_clean(mesh: &Mesh) {
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_placed_call_is_greeted_understood_watched_and_ended_like_any_other() {
    for door in DOORS {
        let mesh = dialling_mesh(Options::default().with("CALL_AUDIO", door)).await;
        let order =
            PlaceCallRequest { instructions: "You call about a table.".into(), ..order("one", FRIEND) };
        let call = place(&mesh, order.clone()).await.unwrap();
        assert_eq!((call.state(), call.direction()), (CallState::Ringing, CallDirection::Outbound));
        assert_eq!(
            place(&mesh, order.clone()).await.unwrap().call_id,
            call.call_id,
            "the same request again"
        );
        let other = PlaceCallRequest { to_number: "+15557770009".into(), ..order };
        let reused = place(&mesh, other).await.unwrap_err();
        assert_eq!(reason(&reused), (Code::AlreadyExists, "REQUEST_ID_REUSED".into()));
        let mut watch = mesh.watch(&call.call_id).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
        let friends = mesh.phone.called(FRIEND).await.unwrap();
        assert_eq!(friends.len(), 1, "dialled once");
        ask(&friends[0], &mut watch).await;
        assert_eq!(replies(&watch).join(" "), ANSWER);
        let chats = mesh.groq.chats().await.unwrap();
        let told = chats.last().unwrap()[0]["content"].as_str().unwrap().to_owned();
        assert!(told.ends_with("You call about a table."), "{told}");
        let request = EndCallRequest { call_id: call.call_id.clone() };
        mesh.relay().await.unwrap().end_call(request).await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        assert_eq!(read(&mesh, &call.call_id).await.end_reason(), EndReason::Requested);
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn busy_no_answer_and_failure_are_ends_of_their_own_and_ringing_can_be_given_up() {
    let mesh = dialling_mesh(Options::default()).await;
    let telephones = json!({ "+15550000001": { "does": "busy" }, "+15550000002": { "does": "no_answer" },
        "+15550000003": { "does": "fail" }, "+15550000004": { "does": "no_answer" } });
    mesh.phone.telephones(telephones).await.unwrap();
    for (number, end) in [
        ("+15550000001", EndReason::CalleeBusy),
        ("+15550000002", EndReason::NoAnswer),
        ("+15550000003", EndReason::DialFailed),
        ("+15550000004", EndReason::Requested),
    ] {
        let ring_timeout = Some(prost_types::Duration { seconds: 5, nanos: 0 });
        let call = place(&mesh, PlaceCallRequest { ring_timeout, ..order(number, number) }).await.unwrap();
        if end == EndReason::Requested {
            let request = EndCallRequest { call_id: call.call_id.clone() };
            mesh.relay().await.unwrap().end_call(request).await.unwrap();
        }
        let mut watch = mesh.watch(&call.call_id).await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        let call = read(&mesh, &call.call_id).await;
        assert_eq!((call.state(), call.end_reason()), (CallState::Ended, end), "{number}");
    }
    expect_clean(&mesh).await;
}

/// A machine's words, its pause and its tone.
const MACHINE_SAYS_MS: u32 = 2_500;
const PAUSE_AND_TONE_MS: u32 = 700;

const MESSAGE: &str = "Please call us back. Your table is ready.";

/// When whoever answered first heard a sound of ours, in milliseconds after the answer.
async fn first_heard_ms(callee: &Caller) -> Option<usize> {
    let heard = voice_audio::wav::read(&callee.heard().await.unwrap()).unwrap();
    let first = heard.samples.iter().position(|sample| sample.abs() > 0.02);
    first.map(|sample| sample * 1_000 / heard.sample_rate_hertz as usize)
}

#[tokio::test]
async fn a_machine_is_left_a_message_after_its_tone_or_hung_up_on_and_a_person_is_greeted() {
    for door in DOORS {
        let mesh = dialling_mesh(Options::default().with("CALL_AUDIO", door)).await;
        let machine = json!({ "says_ms": MACHINE_SAYS_MS, "beep": true });
        let telephones = json!({ "+15550000001": machine, "+15550000002": machine,
            "+15550000003": { "says_ms": 1_000 } });
        mesh.phone.telephones(telephones).await.unwrap();
        let message = PlaceCallRequest {
            voicemail_policy: VoicemailPolicy::LeaveMessage.into(),
            voicemail_message: MESSAGE.into(),
            ..order("message", "+15550000001")
        };
        let silent = PlaceCallRequest {
            voicemail_policy: VoicemailPolicy::HangUp.into(),
            ..order("hang up", "+15550000002")
        };
        for (order, spoken) in [(message, MESSAGE), (silent.clone(), "")] {
            let call = place(&mesh, order.clone()).await.unwrap();
            let mut watch = mesh.watch(&call.call_id).await.unwrap();
            assert_eq!(watch.until(LIMIT, answerer).await.unwrap(), Answerer::Machine);
            watch.to_end(LIMIT).await.unwrap();
            assert_eq!(read(&mesh, &call.call_id).await.end_reason(), EndReason::Voicemail);
            let events = watch.seen.iter().filter_map(|event| event.event.as_ref());
            let said: Vec<_> = events.clone().filter_map(started(PlaybackKind::Voicemail)).collect();
            assert_eq!(said.join(" "), spoken, "{door}");
            assert_eq!(events.filter_map(finished(PlaybackKind::Voicemail)).count(), said.len(), "{door}");
            let machines = mesh.phone.called(&order.to_number).await.unwrap();
            match first_heard_ms(&machines[0]).await {
                Some(at) => {
                    assert!(!spoken.is_empty(), "{door}: it heard something after {at} ms");
                    let tone_ends = (MACHINE_SAYS_MS + PAUSE_AND_TONE_MS) as usize;
                    assert!(at >= tone_ends, "{door}: {at} ms is before its tone has ended");
                }
                None => assert_eq!(spoken, "", "{door}: it heard nothing"),
            }
        }
        let requests = mesh.groq.requests().await.unwrap();
        for sentence in ["Please call us back.", "Your table is ready."] {
            let is_spoken = requests.iter().any(|request| request.to_string().contains(sentence));
            assert!(is_spoken, "{door}: {sentence}");
        }
        let person =
            PlaceCallRequest { to_number: "+15550000003".into(), request_id: "person".into(), ..silent };
        let call = place(&mesh, person).await.unwrap();
        let mut watch = mesh.watch(&call.call_id).await.unwrap();
        assert_eq!(watch.until(LIMIT, answerer).await.unwrap(), Answerer::Human);
        watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
        expect_clean(&mesh).await;
    }
}

fn answerer(event: &Event) -> Option<Answerer> {
    match event {
        Event::AnswererDetected(found) => Some(found.answerer()),
        _ => None,
    }
}

#[tokio::test]
async fn numbers_caps_and_limits_are_refused_with_reasons() {
    let none = mesh(Options::default()).await;
    let refused = place(&none, order("one", FRIEND)).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "DIAL_NOT_ALLOWED".into()));
    drop(none);
    let mesh = dialling_mesh(Options::default().with("MAX_CALLS", 1).with("DIAL_DAILY_CAP", 2)).await;
    let refused = place(&mesh, order("zero", "+16660000000")).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "DIAL_NOT_ALLOWED".into()));
    let call = place(&mesh, order("one", FRIEND)).await.unwrap();
    let full = place(&mesh, order("two", FRIEND)).await.unwrap_err();
    assert_eq!(reason(&full), (Code::ResourceExhausted, "CALLS_AT_LIMIT".into()));
    assert!(is_delayed(&full));
    let mut relay = mesh.relay().await.unwrap();
    let mut watch = mesh.watch(&call.call_id).await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Greeting)).await.unwrap();
    let transfer =
        |to: &str| TransferCallRequest { call_id: call.call_id.clone(), to_number: to.into(), warm: None };
    let refused = relay.transfer_call(transfer("+16660000000")).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "DIAL_NOT_ALLOWED".into()));
    relay.transfer_call(transfer("+15553330000")).await.unwrap();
    let capped = relay.transfer_call(transfer("+15553330000")).await.unwrap_err();
    assert_eq!(reason(&capped), (Code::ResourceExhausted, "DIAL_CAP_REACHED".into()));
    assert!(is_delayed(&capped));
    for (bad, field) in [
        (PlaceCallRequest { request_id: String::new(), ..order("x", FRIEND) }, "request_id"),
        (order("x", "call me"), "to_number"),
        (PlaceCallRequest { from_number: String::new(), ..order("x", FRIEND) }, "from_number"),
        (PlaceCallRequest { voicemail_policy: 9, ..order("x", FRIEND) }, "voicemail_policy"),
        (PlaceCallRequest { voicemail_message: "hi".into(), ..order("x", FRIEND) }, "voicemail_message"),
    ] {
        let refused = place(&mesh, bad).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

#[tokio::test]
async fn a_live_call_is_spoken_into_instructed_and_dialled_into() {
    for door in DOORS {
        let mesh = mesh(Options::default().with("CALL_AUDIO", door)).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        let mut relay = mesh.relay().await.unwrap();
        let say =
            |text: &str, interrupt| SayRequest { call_id: call_id.clone(), text: text.into(), interrupt };
        // Long enough not to be over by itself before something else is to be said.
        let long = "Your table is ready for you. ".repeat(5);
        let first = relay.say(say(&long, false)).await.unwrap().into_inner().say_id;
        watch.until(LIMIT, started(PlaybackKind::Say)).await.unwrap();
        let second = relay.say(say("Please hold the line.", true)).await.unwrap().into_inner().say_id;
        // Whether a word of it was heard by then is a matter of moments.
        let (over, outcome) = watch.until(LIMIT, say_ended).await.unwrap();
        assert_eq!(over, first);
        assert_ne!(outcome, SayOutcome::Heard);
        assert_eq!(watch.until(LIMIT, say_ended).await.unwrap(), (second, SayOutcome::Heard));
        let instruct = InstructRequest { call_id: call_id.clone(), text: "Offer a discount.".into() };
        relay.instruct(instruct).await.unwrap();
        // A fifth of a second each, so that they are under way when somebody asks again.
        let digits = SendDigitsRequest { call_id: call_id.clone(), digits: "123456789012#".into() };
        relay.send_digits(digits.clone()).await.unwrap();
        let twice = relay.send_digits(digits).await.unwrap_err();
        assert_eq!(reason(&twice), (Code::FailedPrecondition, "DIGITS_UNDER_WAY".into()));
        let sent = watch.until(LIMIT, |event| match event {
            Event::DigitsSent(sent) => Some(sent.digits.clone()),
            _ => None,
        });
        assert_eq!(sent.await.unwrap(), "123456789012#");
        caller.press("5").await.unwrap();
        let pressed = watch.until(LIMIT, |event| match event {
            Event::DigitPressed(pressed) => Some(pressed.digit.clone()),
            _ => None,
        });
        assert_eq!(pressed.await.unwrap(), "5");
        ask(&caller, &mut watch).await;
        let chats = mesh.groq.chats().await.unwrap();
        let chat = chats.last().unwrap();
        assert!(chat[0]["content"].as_str().unwrap().ends_with("Offer a discount."), "{chat:?}");
        let heard = |message: &serde_json::Value| {
            message["role"] == "assistant"
                && message["content"].as_str().unwrap().contains("Please hold the line.")
        };
        assert!(chat.iter().any(heard), "what was said for the assistant it knows: {chat:?}");
        expect_clean(&mesh).await;
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        let late = relay.say(say("Too late.", false)).await.unwrap_err();
        assert_eq!(reason(&late), (Code::FailedPrecondition, "CALL_ENDING".into()));
    }
}

fn say_ended(event: &Event) -> Option<(i64, SayOutcome)> {
    match event {
        Event::SayEnded(said) => Some((said.say_id, said.outcome())),
        _ => None,
    }
}

#[tokio::test]
async fn a_call_is_handed_over_and_comes_back_when_nobody_takes_it() {
    for door in DOORS {
        let mesh = dialling_mesh(Options::default().with("CALL_AUDIO", door)).await;
        mesh.phone.telephones(json!({ "+15550000001": { "does": "busy" } })).await.unwrap();
        let (caller, mut watch) = greeted(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        let mut relay = mesh.relay().await.unwrap();
        let transfer =
            |to: &str| TransferCallRequest { call_id: call_id.clone(), to_number: to.into(), warm: None };
        relay.transfer_call(transfer("+15550000001")).await.unwrap();
        watch.until(LIMIT, |event| matches!(event, Event::TransferFailed(_)).then_some(())).await.unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Apology)).await.unwrap();
        ask(&caller, &mut watch).await;
        relay.transfer_call(transfer(FRIEND)).await.unwrap();
        watch.until(LIMIT, |event| matches!(event, Event::TransferConnected(_)).then_some(())).await.unwrap();
        let view = caller.view().await.unwrap();
        assert_eq!(view["connected_to"]["params"]["to_number"], FRIEND);
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        assert_eq!(read(&mesh, &call_id).await.end_reason(), EndReason::Transferred);
        expect_clean(&mesh).await;
    }
}

#[tokio::test]
async fn a_transfer_that_is_refused_takes_nothing_from_the_day() {
    let mesh = dialling_mesh(Options::default().with("DIAL_DAILY_CAP", 2)).await;
    mesh.phone.telephones(json!({ FRIEND: { "does": "no_answer" } })).await.unwrap();
    let mut relay = mesh.relay().await.unwrap();
    let transfer = |call_id: &str| TransferCallRequest {
        call_id: call_id.to_owned(),
        to_number: "+15553330000".into(),
        warm: None,
    };
    let ringing = place(&mesh, order("one", FRIEND)).await.unwrap().call_id;
    let (caller, mut watch) = greeted(&mesh).await;
    let over = mesh.newest_call().await.unwrap();
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    for (call_id, why) in [(&ringing, "CALL_NOT_CONNECTED"), (&over, "CALL_ENDING")] {
        for _ in 0..2 {
            let refused = relay.transfer_call(transfer(call_id)).await.unwrap_err();
            assert_eq!(reason(&refused), (Code::FailedPrecondition, why.to_owned()));
        }
    }
    let (_caller, mut watch) = greeted(&mesh).await;
    let call_id = mesh.newest_call().await.unwrap();
    relay.transfer_call(transfer(&call_id)).await.unwrap();
    watch.until(LIMIT, |event| matches!(event, Event::TransferConnected(_)).then_some(())).await.unwrap();
    let capped = relay.transfer_call(transfer(&call_id)).await.unwrap_err();
    assert_eq!(reason(&capped), (Code::ResourceExhausted, "DIAL_CAP_REACHED".into()), "one each was taken");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_delays_nobody_and_misses_nothing() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = rung(&mesh).await;
    let call_id = mesh.newest_call().await.unwrap();
    let request = WatchCallRequest { call_id, after_sequence: 0 };
    let mut lazy = mesh.relay().await.unwrap().watch_call(request).await.unwrap().into_inner();
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    ask(&caller, &mut watch).await;
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    let mut seen = Vec::new();
    while let Some(response) = lazy.message().await.unwrap() {
        seen.extend(response.event);
    }
    assert_eq!(seen, watch.seen);
}
