//! Calls made of audio frames: a caller with nothing but the generated stub, speaking and listening in real time.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    relay::v1::{
        CallState, CallerAudio, ConverseConfig, ConverseRequest, EndCallRequest, EndReason, GetCallRequest,
        TransferCallRequest, converse_request::Payload,
    },
};

use super::*;
use crate::{leg::AudioCaller, mesh::eventually};

/// What the caller says over the assistant.
const OTHER: &str = "i would like to book a table";
const OTHER_ANSWER: &str = "For how many people should it be?";

fn config() -> ConverseConfig {
    ConverseConfig {
        context: CONTEXT.into(),
        caller_number: "+15551110000".into(),
        called_number: "+15552220000".into(),
        answers_marks: true,
        wants_events: true,
        ..ConverseConfig::default()
    }
}

/// A mesh whose provider really listens and really speaks.
async fn live_mesh(options: Options) -> Mesh {
    let mesh = Mesh::start(options).await.unwrap();
    mesh.groq.grammar(&[QUESTION, OTHER, "okay"]).await.unwrap();
    mesh.groq.script(&[(QUESTION, LONG_ANSWER), (OTHER, OTHER_ANSWER)]).await.unwrap();
    mesh
}

/// A caller who has heard the greeting.
async fn greeted(mesh: &Mesh, config: ConverseConfig) -> AudioCaller {
    let mut caller = AudioCaller::begin(mesh.relay().await.unwrap(), config).await.unwrap();
    caller.until(LIMIT, |got| got.event(finished(PlaybackKind::Greeting))).await.unwrap();
    caller
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

/// Why a conversation that must not be is not.
async fn refused(mesh: &Mesh, config: ConverseConfig) -> (Code, String) {
    reason(&AudioCaller::begin(mesh.relay().await.unwrap(), config).await.unwrap_err())
}

async fn call_of(mesh: &Mesh, caller: &AudioCaller) -> voice_proto::relay::v1::Call {
    let request = GetCallRequest { call_id: caller.call_id() };
    mesh.relay().await.unwrap().get_call(request).await.unwrap().into_inner().call.unwrap()
}

#[tokio::test]
async fn a_caller_made_of_frames_is_greeted_understood_and_answered() {
    let mesh = live_mesh(Options::default()).await;
    let mut caller = greeted(&mesh, config()).await;
    let greeting = caller.received(|got| got.event(started(PlaybackKind::Greeting))).unwrap();
    let heard = caller.received(|got| got.heard.clone());
    let samples = voice_audio::mulaw::decode(&heard);
    let understood =
        crate::speech::recognised(&samples, &[greeting.clone(), LONG_ANSWER.into()]).await.unwrap();
    assert_eq!(understood, crate::speech::words(&greeting), "the greeting is heard as it was written");
    caller.say(QUESTION).await.unwrap();
    assert_eq!(caller.until(LIMIT, |got| got.event(transcript)).await.unwrap(), QUESTION);
    caller.until(LIMIT, |got| got.event(finished(PlaybackKind::Reply))).await.unwrap();
    caller.press('5').await.unwrap();
    let digit = |event: &Event| match event {
        Event::DigitPressed(pressed) => Some(pressed.digit.clone()),
        _ => None,
    };
    assert_eq!(caller.until(LIMIT, |got| got.event(digit)).await.unwrap(), "5");
    let call = call_of(&mesh, &caller).await;
    assert_eq!(
        (call.state(), call.turn_count, call.caller_number.as_str()),
        (CallState::Active, 1, "+15551110000")
    );
    // By how much exactly is the mouth's own test: here a machine that stands still counts as well.
    assert!(caller.received(|got| got.most_waiting) <= 8 * 1_000, "not a whole clause at once");
    assert!(!caller.received(|got| got.marks.is_empty()), "clips are followed by marks");
    caller.hang_up().await;
    caller.until(LIMIT, |got| got.end.as_ref().map(Result::is_ok)).await.unwrap();
    let call = call_of(&mesh, &caller).await;
    assert_eq!((call.state(), call.end_reason()), (CallState::Ended, EndReason::CallerHangup));
}

#[tokio::test]
async fn a_caller_who_speaks_over_a_reply_silences_it_and_history_has_what_he_heard() {
    let mesh = live_mesh(Options::default()).await;
    let mut caller = greeted(&mesh, config()).await;
    caller.say(QUESTION).await.unwrap();
    caller.until(LIMIT, |got| got.event(started(PlaybackKind::Reply))).await.unwrap();
    caller.say(OTHER).await.unwrap();
    let cut = |event: &Event| match event {
        Event::PlaybackInterrupted(cut) => Some(cut.clone()),
        _ => None,
    };
    let cut = caller.until(LIMIT, |got| got.event(cut)).await.unwrap();
    assert!(cut.said.starts_with(&cut.heard) && cut.heard.len() < LONG_ANSWER.len(), "{cut:?}");
    // What was sent ahead is thrown away; events and audio come in no order of their own.
    caller.until(LIMIT, |got| (!got.cleared.is_empty()).then_some(())).await.unwrap();
    let answered = |event: &Event| started(PlaybackKind::Reply)(event).filter(|text| text == OTHER_ANSWER);
    caller.until(LIMIT, |got| got.event(answered)).await.unwrap();
    let chats = mesh.groq.chats().await.unwrap();
    let told = chats.last().unwrap().iter().rev().find(|message| message["role"] == "assistant").unwrap();
    assert_eq!(told["content"].as_str().unwrap(), cut.heard, "the model is told what was heard");
}

#[tokio::test]
async fn an_okay_does_not_end_a_reply() {
    let mesh = live_mesh(Options::default()).await;
    let mut caller = greeted(&mesh, config()).await;
    caller.say(QUESTION).await.unwrap();
    caller.until(LIMIT, |got| got.event(started(PlaybackKind::Reply))).await.unwrap();
    caller.say("okay").await.unwrap();
    let last = caller
        .until(LIMIT, |got| {
            let is_last =
                |event: &Event| started(PlaybackKind::Reply)(event).filter(|text| text.ends_with("all day."));
            let after =
                got.events.iter().position(|event| event.event.as_ref().and_then(is_last).is_some())?;
            let mut rest = got.events[after..].iter().filter_map(|event| event.event.as_ref());
            rest.find_map(finished(PlaybackKind::Reply))
        })
        .await;
    last.expect("the reply is said to its end");
    let chats = mesh.groq.chats().await.unwrap();
    let is_okay = |message: &serde_json::Value| message["content"] == "okay";
    assert!(!chats.iter().flatten().any(is_okay), "it is no turn");
}

#[tokio::test]
async fn linear_samples_at_any_of_the_rates_are_a_conversation_too() {
    let mesh = mesh(Options::default()).await;
    for hertz in [8_000, 16_000, 24_000] {
        let format = AudioFormat { encoding: AudioEncoding::Linear16.into(), sample_rate_hertz: hertz };
        let config = ConverseConfig { format: Some(format), answers_marks: false, ..config() };
        let mut relay = mesh.relay().await.unwrap();
        let (requests, queue) = tokio::sync::mpsc::channel(8);
        let first = ConverseRequest { payload: Some(Payload::Config(config)) };
        requests.send(first).await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(queue);
        let mut responses = relay.converse(stream).await.unwrap().into_inner();
        let mut audio = 0;
        while let Some(response) = responses.message().await.unwrap() {
            use voice_proto::relay::v1::converse_response::Payload;
            match response.payload.unwrap() {
                Payload::Audio(frame) => {
                    assert_eq!(frame.len() as i32, hertz / 50 * 2);
                    audio += frame.len();
                }
                Payload::Event(event)
                    if event.event.as_ref().and_then(finished(PlaybackKind::Greeting)).is_some() =>
                {
                    break;
                }
                _ => {}
            }
        }
        let played = Duration::from_secs_f64(audio as f64 / f64::from(hertz * 2));
        assert!((2..5).contains(&played.as_secs()), "the greeting takes as long at {hertz}: {played:?}");
    }
}

#[tokio::test]
async fn such_a_call_is_listed_watched_limited_and_ended_like_any_other() {
    let mesh = mesh(Options::default().with("MAX_CALLS", 1)).await;
    let mut caller = greeted(&mesh, config()).await;
    assert_eq!(mesh.newest_call().await.unwrap(), caller.call_id());
    let refusal = AudioCaller::begin(mesh.relay().await.unwrap(), config()).await.unwrap_err();
    assert_eq!(reason(&refusal), (Code::ResourceExhausted, "CALLS_AT_LIMIT".into()));
    assert!(refusal.get_details_retry_info().is_some(), "with the delay after which it is worth another try");
    let mut relay = mesh.relay().await.unwrap();
    let transfer =
        TransferCallRequest { call_id: caller.call_id(), to_number: "+15553334444".into(), warm: None };
    let refusal = relay.transfer_call(transfer).await.unwrap_err();
    assert_eq!(reason(&refusal), (Code::FailedPrecondition, "CALL_AUDIO_ONLY".into()));
    let mut watch = mesh.watch(&caller.call_id()).await.unwrap();
    relay.end_call(EndCallRequest { call_id: caller.call_id() }).await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    assert!(caller.until(LIMIT, |got| got.end.clone()).await.unwrap().is_ok());
    assert_eq!(caller.received(|got| got.events.clone()), watch.seen, "both streams tell the same");
    assert_eq!(call_of(&mesh, &caller).await.end_reason(), EndReason::Requested);
    eventually(LIMIT, "room for another call", async || {
        AudioCaller::begin(mesh.relay().await.ok()?, config()).await.ok()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_a_conversation_must_not_begin_with_is_refused_with_its_reason() {
    let mesh = mesh(Options::default()).await;
    let invalid = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    let format = |encoding: AudioEncoding, sample_rate_hertz| {
        Some(AudioFormat { encoding: encoding.into(), sample_rate_hertz })
    };
    for wrong in [
        ConverseConfig { format: format(AudioEncoding::Mulaw, 16_000), ..config() },
        ConverseConfig { format: format(AudioEncoding::Linear16, 44_100), ..config() },
        ConverseConfig { caller_number: "x".repeat(65), ..config() },
        ConverseConfig { instructions: "x".repeat(4_001), ..config() },
    ] {
        assert_eq!(refused(&mesh, wrong).await, invalid);
    }
    let forged = ConverseConfig { media_token: "no.token".into(), ..config() };
    assert_eq!(refused(&mesh, forged).await, (Code::PermissionDenied, "MEDIA_TOKEN_REFUSED".into()));
    let audio = Payload::Audio(CallerAudio { audio: vec![0xFF; 160].into(), send_time: None });
    let request = ConverseRequest { payload: Some(audio) };
    let mut relay = mesh.relay().await.unwrap();
    let refusal = relay.converse(tokio_stream::once(request)).await.unwrap_err();
    assert_eq!(reason(&refusal), (Code::InvalidArgument, "MISSING_CONFIG".into()));
}

#[tokio::test]
async fn what_must_not_come_in_a_conversation_ends_it_with_its_reason() {
    let mesh = mesh(Options::default()).await;
    let oversize = CallerAudio { audio: vec![0xFF; 1_601].into(), send_time: None };
    for (wrong, expected) in
        [(Payload::Config(config()), "REPEATED_CONFIG"), (Payload::Audio(oversize), "INVALID_FIELD")]
    {
        let mut caller = AudioCaller::begin(mesh.relay().await.unwrap(), config()).await.unwrap();
        caller.send(wrong).await.unwrap();
        let end = caller.until(LIMIT, |got| got.end.clone()).await.unwrap().unwrap_err();
        assert_eq!(reason(&end), (Code::InvalidArgument, expected.into()));
        eventually(LIMIT, "the end of the call", async || {
            (call_of(&mesh, &caller).await.state() == CallState::Ended).then_some(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_conversation_in_which_nothing_comes_is_ended() {
    let mesh = mesh(Options::default()).await;
    let mut relay = mesh.relay().await.unwrap();
    let (requests, queue) = tokio::sync::mpsc::channel(8);
    requests.send(ConverseRequest { payload: Some(Payload::Config(config())) }).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(queue);
    let mut responses = relay.converse(stream).await.unwrap().into_inner();
    let end = loop {
        match responses.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&end), (Code::DeadlineExceeded, "IDLE_TIMEOUT".into()));
}

#[tokio::test]
async fn a_worker_that_dies_while_the_caller_speaks_costs_no_word() {
    let mut mesh = mesh(Options::default()).await;
    let mut caller = greeted(&mesh, config()).await;
    let saying = async { caller.say(QUESTION).await.unwrap() };
    let killing = async {
        mesh.child("worker").kill().await.unwrap();
        mesh.restart("worker").await.unwrap();
    };
    tokio::join!(saying, killing);
    assert_eq!(caller.until(LIMIT, |got| got.event(transcript)).await.unwrap(), QUESTION);
    caller.until(LIMIT, |got| got.event(finished(PlaybackKind::Reply))).await.unwrap();
}

#[tokio::test]
async fn with_tts_gone_the_caller_hears_an_apology_that_was_made_before_and_is_answered_once_it_is_back() {
    let mut mesh = mesh(Options::default()).await;
    let mut caller = greeted(&mesh, config()).await;
    mesh.child("tts").kill().await.unwrap();
    caller.say(QUESTION).await.unwrap();
    caller.until(LIMIT, |got| got.event(finished(PlaybackKind::Apology))).await.unwrap();
    assert_eq!(caller.received(|got| got.event(failed)).unwrap(), "SPEECH_UNAVAILABLE");
    mesh.restart("tts").await.unwrap();
    caller.say(QUESTION).await.unwrap();
    caller.until(LIMIT, |got| got.event(finished(PlaybackKind::Reply))).await.unwrap();
}

#[tokio::test]
async fn a_relay_that_is_stopped_says_goodbye_to_such_a_call_first() {
    let mut mesh = mesh(Options::default()).await;
    let mut caller = greeted(&mesh, config()).await;
    mesh.child("relay").signal("TERM").await.unwrap();
    caller.until(LIMIT, |got| got.event(finished(PlaybackKind::Goodbye))).await.unwrap();
    assert!(caller.until(LIMIT, |got| got.end.clone()).await.unwrap().is_ok());
    let code = mesh.child("relay").wait(LIMIT).await.unwrap();
    assert_eq!(code, Some(0), "it has drained");
}
