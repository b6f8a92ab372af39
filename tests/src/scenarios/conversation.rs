//! The main job.

use tonic::Code;
use tonic_types::StatusExt as _;
use voice_proto::{
    relay::v1::{
        CallState, EndCallRequest, EndReason, GetCallRequest, ListCallsRequest, SpeculationOutcome,
        TurnTimings, call_event::Event,
    },
    worker::v1::{WatchJobRequest, job_event},
};

use super::*;
use crate::mesh::eventually;

/// Where the time of the first turn went.
fn timed(watch: &Watch) -> TurnTimings {
    let timings = watch.seen.iter().find_map(|event| match &event.event {
        Some(Event::TurnTimings(timings)) => Some(timings.clone()),
        _ => None,
    });
    timings.expect("the turn was timed")
}

#[tokio::test]
async fn a_caller_is_greeted_understood_answered_and_may_hang_up() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
    let timings = timed(&watch);
    let sum: Duration = timings.parts.iter().map(crate::show::part_duration).sum();
    assert_eq!(
        Some(sum),
        timings.total_duration.and_then(|total| total.try_into().ok()),
        "the parts sum to the whole"
    );
    caller.hang_up().await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    assert_eq!(mesh.phone.violations().await.unwrap(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_provider_is_talked_to_over_tls_and_http2() {
    let mesh = mesh(Options { is_groq_encrypted: true, ..Options::default() }).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
    let requests = mesh.groq.requests().await.unwrap();
    assert!(requests.iter().all(|request| request["http_version"] == "HTTP/2.0"), "{requests:?}");
}

#[tokio::test]
async fn the_platforms_words_are_answered_before_the_recording_confirms_them() {
    let mesh = mesh(Options::default().with("SPECULATION", "on")).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    let outcomes: Vec<_> = watch
        .seen
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::SpeculationSettled(settled)) => Some(settled.outcome()),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [SpeculationOutcome::Kept]);
    assert_eq!(replies(&watch).join(" "), ANSWER);
    assert_eq!(mesh.groq.chats().await.unwrap().len(), 1, "one reply was written");
    let won: Duration = timed(&watch).won_duration.unwrap().try_into().unwrap();
    assert!(!won.is_zero());
}

#[tokio::test]
async fn a_caller_may_speak_over_the_greeting_and_over_a_reply() {
    let mesh = mesh(Options::default()).await;
    mesh.groq.script(&[(QUESTION, LONG_ANSWER)]).await.unwrap();
    let (caller, mut watch) = rung(&mesh).await;
    watch.until(LIMIT, started(PlaybackKind::Greeting)).await.unwrap();
    for _ in 0..2 {
        caller.say(QUESTION).await.unwrap();
        let cut = watch
            .until(LIMIT, |event| match event {
                Event::PlaybackInterrupted(cut) => Some(cut.clone()),
                _ => None,
            })
            .await
            .unwrap();
        assert!(cut.said.starts_with(&cut.heard) && cut.heard.len() < cut.said.len(), "{cut:?}");
        watch.until(LIMIT, transcript).await.unwrap();
        watch.until(LIMIT, started(PlaybackKind::Reply)).await.unwrap();
    }
    watch.until(LIMIT, listening).await.unwrap();
    // What the model is told of the interrupted reply is what was heard of it.
    let chats = mesh.groq.chats().await.unwrap();
    let told =
        chats.last().unwrap().iter().rev().find(|message| message["role"] == "assistant").unwrap().clone();
    assert!(told["content"].as_str().unwrap().len() < LONG_ANSWER.len(), "{told}");
}

#[tokio::test]
async fn speech_while_thinking_joins_the_next_utterance() {
    let mesh =
        mesh(Options { groq_args: vec!["--first-token-ms".into(), "2500".into()], ..Options::default() })
            .await;
    let (caller, mut watch) = greeted(&mesh).await;
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, transcript).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    let both = watch.until(LIMIT, transcript).await.unwrap();
    assert_eq!(both, format!("{QUESTION} {QUESTION}"));
    watch.until(LIMIT, finished(PlaybackKind::Reply)).await.unwrap();
    let chats = mesh.groq.chats().await.unwrap();
    let users: Vec<_> = chats.last().unwrap().iter().filter(|message| message["role"] == "user").collect();
    assert_eq!(users.len(), 1, "one user message, not two");
}

#[tokio::test]
async fn calls_are_listed_read_watched_late_and_ended_by_rpc() {
    let mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    let call_id = mesh.newest_call().await.unwrap();
    let mut relay = mesh.relay().await.unwrap();
    let call =
        relay.get_call(GetCallRequest { call_id: call_id.clone() }).await.unwrap().into_inner().call.unwrap();
    assert_eq!((call.state(), call.caller_number.as_str()), (CallState::Active, "+15551110000"));
    ask(&caller, &mut watch).await;
    relay.end_call(EndCallRequest { call_id: call_id.clone() }).await.unwrap();
    watch.to_end(LIMIT).await.unwrap();
    let mut late = mesh.watch(&call_id).await.unwrap();
    late.to_end(LIMIT).await.unwrap();
    assert_eq!(late.seen, watch.seen);
    let ended = ListCallsRequest { states: vec![CallState::Ended.into()], ..ListCallsRequest::default() };
    let listed = relay.list_calls(ended).await.unwrap().into_inner().calls;
    assert_eq!((listed.len(), listed[0].end_reason()), (1, EndReason::Requested));
    let mut worker = mesh.worker().await.unwrap();
    let job = WatchJobRequest { job_id: format!("{call_id}-1"), after_sequence: 0 };
    let mut events = worker.watch_job(job).await.unwrap().into_inner();
    let mut last = None;
    while let Some(response) = events.message().await.unwrap() {
        last = response.event.and_then(|event| event.event);
    }
    assert!(matches!(last, Some(job_event::Event::Completed(done)) if done.reply == ANSWER));
}

#[tokio::test]
async fn bad_requests_name_the_field_and_the_reason() {
    let mesh = mesh(Options::default()).await;
    let mut relay = mesh.relay().await.unwrap();
    let reason = |status: &tonic::Status| status.get_details_error_info().unwrap().reason;
    let missing = relay.get_call(GetCallRequest { call_id: "nobody".into() }).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "CALL_NOT_FOUND"));
    let empty = relay.end_call(EndCallRequest::default()).await.unwrap_err();
    assert_eq!((empty.code(), reason(&empty).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    let violation = &empty.get_details_bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "call_id");
    for request in [
        ListCallsRequest { page_size: -1, ..ListCallsRequest::default() },
        ListCallsRequest { page_token: "x".into(), ..ListCallsRequest::default() },
        ListCallsRequest { states: vec![99], ..ListCallsRequest::default() },
    ] {
        assert_eq!(relay.list_calls(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let job = WatchJobRequest { job_id: "nothing".into(), after_sequence: 0 };
    let unknown = mesh.worker().await.unwrap().watch_job(job).await.unwrap_err();
    assert_eq!(reason(&unknown), "JOB_NOT_FOUND");
}

/// A mesh whose assistant for the harness's context has these settings.
async fn mesh_with_assistant(settings: &str) -> (Mesh, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("assistants.toml");
    std::fs::write(&file, format!("[contexts.{CONTEXT}]\n{settings}\n")).unwrap();
    let tone = voice_audio::Audio {
        samples: (0..24_000).map(|n| 0.3 * (n as f32 * 0.1).sin()).collect(),
        sample_rate_hertz: 16_000,
    };
    let (wav, mp3) = (folder.path().join("tone.wav"), folder.path().join("tone.mp3"));
    std::fs::write(&wav, voice_audio::wav::write_pcm16(&tone)).unwrap();
    let made = super::python("python").arg("to_mp3.py").args([wav, mp3]).status().await.unwrap();
    assert!(made.success());
    (mesh(Options::default().with("ASSISTANTS_FILE", file.display())).await, folder)
}

#[tokio::test]
async fn the_operators_own_greeting_is_what_callers_hear_be_it_wav_or_mp3() {
    for file in ["tone.wav", "tone.mp3"] {
        let (mesh, _folder) = mesh_with_assistant(&format!("greeting_file = '{file}'")).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let played = caller.view().await.unwrap()["playbacks"][0]["items"][0].clone();
        // An MP3 has a little silence around it.
        assert!((1_500.0..1_650.0).contains(&played["duration_ms"].as_f64().unwrap()), "{played}");
        let heard = voice_audio::wav::read(&caller.heard().await.unwrap()).unwrap();
        let loud = heard.samples.iter().filter(|sample| sample.abs() > 0.1).count();
        assert!((8_000..12_000).contains(&loud), "1.5 s of a tone, mostly above a third of its peak: {loud}");
        ask(&caller, &mut watch).await;
    }
}

#[tokio::test]
async fn a_call_ends_with_goodbye_at_its_last_turn_and_at_its_longest() {
    for (limit, asks_again, reason) in
        [("max_turns = 1", true, EndReason::TurnLimit), ("max_call_seconds = 8", false, EndReason::CallLimit)]
    {
        let (mesh, _folder) = mesh_with_assistant(limit).await;
        let (caller, mut watch) = greeted(&mesh).await;
        let call = GetCallRequest { call_id: mesh.newest_call().await.unwrap() };
        if asks_again {
            ask(&caller, &mut watch).await;
            caller.say(QUESTION).await.unwrap();
        }
        watch.until(LIMIT, finished(PlaybackKind::Goodbye)).await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        let call = mesh.relay().await.unwrap().get_call(call).await.unwrap().into_inner().call.unwrap();
        assert_eq!(call.end_reason(), reason);
    }
}

#[tokio::test]
async fn a_silent_caller_is_asked_twice_and_told_goodbye() {
    let settings = "greeting_text = 'Office, good day.'\nno_input_seconds = 1";
    let (mesh, _folder) = mesh_with_assistant(settings).await;
    let (_caller, mut watch) = rung(&mesh).await;
    let greeting = watch.until(LIMIT, started(PlaybackKind::Greeting)).await.unwrap();
    assert_eq!(greeting, "Office, good day.");
    watch.to_end(LIMIT).await.unwrap();
    let kinds: Vec<_> = watch
        .seen
        .iter()
        .filter_map(|event| match &event.event {
            Some(Event::PlaybackStarted(playback)) => Some(playback.kind()),
            _ => None,
        })
        .collect();
    use PlaybackKind::{Goodbye, Greeting, NoInput};
    assert_eq!(kinds, [Greeting, NoInput, NoInput, Goodbye]);
}

#[tokio::test]
async fn a_call_too_many_is_passed_on_and_then_told_that_lines_are_busy() {
    let mesh = mesh(Options::default().with("MAX_CALLS", 1)).await;
    let (first, mut watch) = greeted(&mesh).await;
    let second = mesh.phone.ring(CONTEXT).await.unwrap();
    let view = eventually(LIMIT, "the second call's end", async || {
        let view = second.view().await.ok()?;
        (view["state"] == "ended").then_some(view)
    })
    .await
    .unwrap();
    let commands: Vec<_> = view["commands"].as_array().unwrap().iter().map(|c| c["method"].clone()).collect();
    assert!(
        commands.contains(&"calling.pass".into()) && commands.contains(&"calling.play".into()),
        "{commands:?}"
    );
    // The first call never noticed.
    ask(&first, &mut watch).await;
    let violations = mesh.phone.violations().await.unwrap();
    assert!(violations.is_empty(), "{violations:?}");
    assert!(watch.seen.iter().all(|event| !matches!(event.event, Some(Event::Degraded(_)))));
}
