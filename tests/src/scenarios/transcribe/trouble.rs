//! Providers that fail, plans that allow little, streams that are wrong, and clients that go away.

use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;
use voice_proto::worker::v1::{ProcessTurnRequest, process_turn_request};
use voice_server::status::reason_of;

use super::{turns::turn_config, *};

#[tokio::test]
async fn a_provider_that_hangs_once_is_asked_a_second_time_and_the_first_request_is_dropped() {
    let (mesh, mut worker) = canned(Options::default()).await;
    mesh.groq.faults(json!({ "stt": { "kind": "hang", "count": 1 } })).await.unwrap();
    let audio = mulaw_said(&SENTENCES[..1]).await;
    let told = transcribed(&mut worker, [vec![config(false)], pieces(&audio, 800)].concat()).await.unwrap();
    assert_eq!(told.last().unwrap().text, QUESTION);
    until_recognitions(&mesh, &["answered", "broken"]).await;
}

#[tokio::test]
async fn failures_of_the_provider_have_reasons_and_say_what_waiting_would_do() {
    let (mesh, mut worker) = canned(Options::default()).await;
    let audio = mulaw_said(&SENTENCES[..1]).await;
    let payloads = [vec![config(false)], pieces(&audio, 800)].concat();
    for (fault, code, reason) in [
        (
            json!({ "kind": "status", "status": 429, "retry_after": 30 }),
            Code::ResourceExhausted,
            "STT_RATE_LIMITED",
        ),
        (json!({ "kind": "status", "status": 500 }), Code::Unavailable, "STT_UNAVAILABLE"),
        (json!({ "kind": "nonsense" }), Code::Unavailable, "STT_NONSENSE"),
        (json!({ "kind": "hang" }), Code::DeadlineExceeded, "STT_TIMEOUT"),
    ] {
        mesh.groq.faults(json!({ "stt": fault })).await.unwrap();
        let status = transcribed(&mut worker, payloads.clone()).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status).as_deref()), (code, Some(reason)), "{status:?}");
        if reason == "STT_RATE_LIMITED" {
            let wait = status.get_details_retry_info().unwrap().retry_delay;
            assert_eq!(wait, Some(Duration::from_secs(30)));
        }
    }
    mesh.groq.faults(json!({ "stt": null })).await.unwrap();
    assert_eq!(transcribed(&mut worker, payloads).await.unwrap().last().unwrap().text, QUESTION);
}

#[tokio::test]
async fn what_nobody_waits_for_may_fail() {
    let (mesh, mut worker) = canned(Options::default()).await;
    mesh.groq.faults(json!({ "stt": { "kind": "status", "status": 500, "count": 1 } })).await.unwrap();
    let mut line = Line::open(&mut worker, config(true)).await;
    let audio = mulaw_said(&SENTENCES[..2]).await;
    line.send(pieces(&audio, 800)).await;
    until_recognitions(&mesh, &["answered"]).await;
    line.send([flush(1)]).await;
    while let Some(transcript) = line.next().await.unwrap() {
        if transcript.flush_id == 1 {
            assert_eq!(transcript.text, QUESTION);
            return;
        }
    }
    panic!("the flush was not answered");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_requests_with_it() {
    let (mesh, mut worker) = canned(Options::default()).await;
    mesh.groq.faults(json!({ "stt": { "kind": "hang" }, "llm": { "kind": "hang" } })).await.unwrap();
    let line = Line::open(&mut worker, config(false)).await;
    line.send(pieces(&mulaw_said(&SENTENCES[..1]).await, 800)).await;
    line.send([flush(1)]).await;
    // The first request and the one beside it.
    until_recognitions(&mesh, &["open", "open"]).await;
    drop(line);
    until_recognitions(&mesh, &["broken", "broken"]).await;
    let turn = worker.process_turn(stream::iter([turn_config(QUESTION)])).await.unwrap();
    let chat = async |state: &str| {
        eventually(LIMIT, state, async || {
            let all = mesh.groq.requests().await.ok()?;
            all.iter().any(|request| request["endpoint"] == "llm" && request["state"] == state).then_some(())
        })
        .await
        .unwrap();
    };
    chat("open").await;
    drop(turn);
    chat("broken").await;
}

#[tokio::test]
async fn wrong_streams_are_refused_with_a_reason_and_the_field() {
    let (_mesh, mut worker) = canned(Options::default()).await;
    let audio = |bytes: usize| Payload::Audio(vec![mulaw::SILENCE; bytes].into());
    let format = |encoding: i32, sample_rate_hertz: i32| {
        let format = Some(AudioFormat { encoding, sample_rate_hertz });
        Payload::Config(TranscribeConfig { format, ..TranscribeConfig::default() })
    };
    let linear = AudioEncoding::Linear16.into();
    for (payloads, reason, field) in [
        (vec![], "MISSING_CONFIG", "payload"),
        (vec![audio(160)], "MISSING_CONFIG", "payload"),
        (vec![config(true), config(true)], "REPEATED_CONFIG", "payload"),
        (vec![format(7, 0)], "INVALID_FIELD", "config.format.encoding"),
        (vec![format(linear, 96_000)], "INVALID_FIELD", "config.format.sample_rate_hertz"),
        (vec![format(linear, 16_000), audio(3)], "INVALID_FIELD", "audio"),
        (vec![config(true), audio(4_001)], "INVALID_FIELD", "audio"),
        (vec![config(true), flush(0)], "INVALID_FIELD", "flush.flush_id"),
        ([vec![config(true)], vec![audio(4_000); 125]].concat(), "UTTERANCE_TOO_LONG", "audio"),
    ] {
        let status = transcribed(&mut worker, payloads).await.unwrap_err();
        assert_eq!(reason_of(&status).as_deref(), Some(reason), "{status:?}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    let requests = stream::iter([ProcessTurnRequest {
        payload: Some(process_turn_request::Payload::Audio(Bytes::new())),
    }]);
    let status = worker.process_turn(requests).await.unwrap_err();
    assert_eq!(reason_of(&status).as_deref(), Some("MISSING_CONFIG"));
}

#[tokio::test]
async fn on_the_free_plan_each_utterance_is_one_request() {
    let (mesh, mut worker) = canned(Options::default().with("GROQ_PLAN", "free")).await;
    mesh.groq.faults(json!({ "stt": { "kind": "slow", "ms": 1_500 } })).await.unwrap();
    let audio = mulaw_said(&SENTENCES).await;
    let told = transcribed(&mut worker, [vec![config(true)], pieces(&audio, 800)].concat()).await.unwrap();
    assert_eq!((told.len(), &told[0].text[..]), (1, QUESTION));
    until_recognitions(&mesh, &["answered"]).await;
}
