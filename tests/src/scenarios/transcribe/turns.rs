//! Turns that need no queue: what a caller says comes in, his words and the reply go out.

use serde_json::json;
use tonic::Code;
use voice_proto::worker::v1::{
    CreateJobRequest, HistoryMessage, ProcessTurnRequest, ProcessTurnResponse, Speaker, TurnCompleted,
    TurnConfig, WatchJobRequest, job_event, process_turn_request, process_turn_response::Event as TurnEvent,
};
use voice_server::status::reason_of;

use super::*;
use crate::speech::hosted;

/// What a turn begins with.
pub(super) fn turn_config(earlier_text: &str) -> ProcessTurnRequest {
    let config = TurnConfig { earlier_text: earlier_text.into(), ..history_config() };
    ProcessTurnRequest { payload: Some(process_turn_request::Payload::Config(config)) }
}

fn history_config() -> TurnConfig {
    let say = |speaker: Speaker, content: &str| HistoryMessage {
        speaker: speaker.into(),
        content: content.into(),
        ..HistoryMessage::default()
    };
    TurnConfig {
        language: "en".into(),
        history: vec![say(Speaker::User, "hello"), say(Speaker::Assistant, "Good morning.")],
        ..TurnConfig::default()
    }
}

/// Everything that comes of a turn: what was told before its end, and the end.
async fn turn(
    worker: &mut Worker,
    requests: Vec<ProcessTurnRequest>,
) -> Result<(Vec<Transcript>, String, TurnCompleted), Status> {
    let mut responses = worker.process_turn(stream::iter(requests)).await?.into_inner();
    let (mut transcripts, mut deltas, mut end) = (Vec::new(), String::new(), None);
    while let Some(ProcessTurnResponse { event }) = responses.message().await? {
        assert!(end.is_none(), "something came after the end");
        match event.unwrap() {
            TurnEvent::Transcript(transcript) => transcripts.push(transcript),
            TurnEvent::ReplyDelta(delta) => deltas.push_str(&delta.text),
            TurnEvent::TurnCompleted(completed) => end = Some(completed),
        }
    }
    Ok((transcripts, deltas, end.unwrap()))
}

#[tokio::test]
async fn the_same_words_as_a_recording_in_the_queue_and_as_a_stream_are_the_same_turn() {
    let (mesh, mut worker) = listening().await;
    let audio = mulaw_said(&SENTENCES[..2]).await;
    let mut tasks = JoinSet::new();
    let recording_uri = hosted(wav::write_mulaw(&audio), &mut tasks).await.unwrap();
    let history = history_config().history;
    let job = CreateJobRequest { job_id: "j".into(), recording_uri, history, ..CreateJobRequest::default() };
    worker.create_job(job).await.unwrap();
    let watch = WatchJobRequest { job_id: "j".into(), after_sequence: 0 };
    let mut events = worker.watch_job(watch).await.unwrap().into_inner();
    let mut completed = None;
    while let Some(event) = events.message().await.unwrap() {
        if let Some(job_event::Event::Completed(end)) = event.event.unwrap().event {
            completed = Some(end);
        }
    }
    let by_job = completed.expect("the job is done");
    let audio: Vec<_> = pieces(&audio, 800)
        .into_iter()
        .map(|payload| {
            let Payload::Audio(audio) = payload else { unreachable!() };
            ProcessTurnRequest { payload: Some(process_turn_request::Payload::Audio(audio)) }
        })
        .collect();
    // Without a language, as the job has none.
    let config = TurnConfig { language: String::new(), ..history_config() };
    let config = ProcessTurnRequest { payload: Some(process_turn_request::Payload::Config(config)) };
    let (transcripts, deltas, by_stream) =
        turn(&mut worker, std::iter::once(config).chain(audio).collect()).await.unwrap();

    assert_eq!(words(&by_job.transcript), SENTENCES[..2].join(" "));
    assert_eq!((&by_stream.transcript, &by_stream.reply), (&by_job.transcript, &by_job.reply));
    assert_eq!((&deltas, transcripts.len()), (&by_stream.reply, 1));
    assert!(transcripts[0].is_final && transcripts[0].text == by_job.transcript);
    let chats = mesh.groq.chats().await.unwrap();
    assert_eq!(chats.len(), 2);
    assert_eq!(chats[0], chats[1], "one prompt, one history, one request");
    // The recogniser was given the same file in the same form.
    let [first, second] = &recognitions(&mesh).await[..] else { panic!("not two requests") };
    for key in ["bytes", "duration_ms", "model", "language", "response_format", "text"] {
        assert_eq!(first[key], second[key], "{key}");
    }
}

#[tokio::test]
async fn a_turn_without_audio_is_the_reply_to_what_was_said_earlier() {
    let options = ["--first-token-ms", "0", "--token-ms", "300"].map(str::to_owned).to_vec();
    let (mesh, mut worker) = canned(Options { groq_args: options, ..Options::default() }).await;
    let mut responses =
        worker.process_turn(stream::iter([turn_config(QUESTION)])).await.unwrap().into_inner();
    let Some(TurnEvent::Transcript(transcript)) = responses.message().await.unwrap().unwrap().event else {
        panic!("no transcript")
    };
    assert_eq!((&transcript.text[..], transcript.is_final), (QUESTION, true));
    let Some(TurnEvent::ReplyDelta(delta)) = responses.message().await.unwrap().unwrap().event else {
        panic!("no reply")
    };
    assert!(ANSWER.starts_with(&delta.text), "{delta:?}");
    let chat = mesh.groq.requests().await.unwrap().into_iter().find(|request| request["endpoint"] == "llm");
    let chat = chat.unwrap();
    assert_eq!(chat["state"], "open", "the first words came while the others were being written");
    assert_eq!(chat["messages"].as_array().unwrap().len(), 4, "{chat}");
    let mut last = None;
    while let Some(response) = responses.message().await.unwrap() {
        last = response.event;
    }
    let wanted =
        TurnCompleted { transcript: QUESTION.into(), reply: ANSWER.into(), ..TurnCompleted::default() };
    assert_eq!(last, Some(TurnEvent::TurnCompleted(wanted)));
    assert!(recognitions(&mesh).await.is_empty());
}

#[tokio::test]
async fn a_turns_time_begins_when_the_caller_has_finished_and_nothing_said_is_no_turn() {
    let (mesh, mut worker) = canned(Options::default()).await;
    mesh.groq.faults(json!({ "llm": { "kind": "hang" } })).await.unwrap();
    let short = TurnConfig {
        earlier_text: QUESTION.into(),
        turn_timeout: Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }),
        ..TurnConfig::default()
    };
    let (requests, sent) = mpsc::channel(10);
    let config = ProcessTurnRequest { payload: Some(process_turn_request::Payload::Config(short)) };
    requests.send(config).await.unwrap();
    let mut responses = worker.process_turn(received(sent)).await.unwrap().into_inner();
    // Longer than the turn may take.
    tokio::time::sleep(Duration::from_millis(600)).await;
    drop(requests);
    let first = responses.message().await.unwrap().unwrap();
    assert!(matches!(first.event, Some(TurnEvent::Transcript(_))), "{first:?}");
    let status = responses.message().await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_deref()),
        (Code::DeadlineExceeded, Some("TURN_DEADLINE"))
    );
    let silence = process_turn_request::Payload::Audio(vec![mulaw::SILENCE; 4_000].into());
    let config =
        ProcessTurnRequest { payload: Some(process_turn_request::Payload::Config(TurnConfig::default())) };
    let (_, deltas, end) =
        turn(&mut worker, vec![config, ProcessTurnRequest { payload: Some(silence) }]).await.unwrap();
    assert_eq!((deltas, end), (String::new(), TurnCompleted::default()));
}
