//! Live audio at the worker: words while they are spoken, and turns that need no queue.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;
use voice_audio::{Audio, mulaw, resample::resample, wav};
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    worker::v1::{
        CreateJobRequest, HistoryMessage, ProcessTurnRequest, ProcessTurnResponse, Speaker, TranscribeConfig,
        TranscribeFlush, TranscribeRequest, TranscribeResponse, Transcript, TurnCompleted, TurnConfig,
        WatchJobRequest, job_event, process_turn_request, process_turn_response::Event as TurnEvent,
        transcribe_request::Payload, worker_service_client::WorkerServiceClient,
    },
};
use voice_server::status::reason_of;

use super::*;
use crate::{
    mesh::eventually,
    speech::{hosted, spoken, words},
};

type Worker = WorkerServiceClient<Channel>;

const SENTENCES: [&str; 3] =
    ["what are your opening hours", "i would like a table", "there will be two of us"];
/// How long a piece of audio is.
const PIECE: Duration = Duration::from_millis(100);

/// Sentences with a breath after each, 8 kHz.
async fn said(sentences: &[&str]) -> Audio {
    let mut samples = Vec::new();
    for sentence in sentences {
        let audio = wav::read(&spoken(sentence).await.unwrap()).unwrap();
        samples.extend(resample(&audio.samples, audio.sample_rate_hertz, 8_000));
        samples.extend([0.0; 3_200]);
    }
    Audio { samples, sample_rate_hertz: 8_000 }
}

async fn mulaw_said(sentences: &[&str]) -> Bytes {
    mulaw::encode(&said(sentences).await.samples).into()
}

/// A mesh whose ears are real. They may be slow on a busy machine, which is no reason to ask twice.
async fn listening() -> (Mesh, Worker) {
    let groq_args = vec!["--tts".to_owned(), "canned".to_owned()];
    let options = Options { groq_args, ..Options::default() }.with("STT_HEDGE", "off");
    let mesh = Mesh::start(options).await.unwrap();
    mesh.groq.grammar(&SENTENCES).await.unwrap();
    mesh.groq.script(&[("", ANSWER)]).await.unwrap();
    let worker = mesh.worker().await.unwrap();
    (mesh, worker)
}

/// A mesh that hears the same whatever is said.
async fn canned(options: Options) -> (Mesh, Worker) {
    let mesh = mesh(options).await;
    let worker = mesh.worker().await.unwrap();
    (mesh, worker)
}

fn config(wants_partials: bool) -> Payload {
    Payload::Config(TranscribeConfig { language: "en".into(), wants_partials, ..TranscribeConfig::default() })
}

fn pieces(audio: &Bytes, size: usize) -> Vec<Payload> {
    (0..audio.len())
        .step_by(size)
        .map(|at| Payload::Audio(audio.slice(at..audio.len().min(at + size))))
        .collect()
}

fn flush(flush_id: i32) -> Payload {
    Payload::Flush(TranscribeFlush { flush_id })
}

/// A stream of which the test says what comes when.
struct Line {
    requests: mpsc::Sender<TranscribeRequest>,
    responses: tonic::Streaming<TranscribeResponse>,
}

impl Line {
    async fn open(worker: &mut Worker, config: Payload) -> Self {
        let (requests, sent) = mpsc::channel(1_000);
        requests.send(TranscribeRequest { payload: Some(config) }).await.unwrap();
        let responses = worker.transcribe(received(sent)).await.unwrap().into_inner();
        Self { requests, responses }
    }

    async fn send(&self, payloads: impl IntoIterator<Item = Payload>) {
        for payload in payloads {
            self.requests.send(TranscribeRequest { payload: Some(payload) }).await.unwrap();
        }
    }

    async fn next(&mut self) -> Result<Option<Transcript>, Status> {
        let next = tokio::time::timeout(LIMIT, self.responses.message()).await.expect("an answer in time");
        next.map(|response| response.map(|response| response.transcript.unwrap()))
    }
}

fn received<T: Send + 'static>(mut receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// Everything that is answered to these.
async fn transcribed(worker: &mut Worker, payloads: Vec<Payload>) -> Result<Vec<Transcript>, Status> {
    let requests = payloads.into_iter().map(|payload| TranscribeRequest { payload: Some(payload) });
    let mut responses = worker.transcribe(stream::iter(requests.collect::<Vec<_>>())).await?.into_inner();
    let mut all = Vec::new();
    while let Some(response) = responses.message().await? {
        all.push(response.transcript.unwrap());
    }
    Ok(all)
}

/// What the provider was asked to recognise.
async fn recognitions(mesh: &Mesh) -> Vec<Value> {
    let all = mesh.groq.requests().await.unwrap();
    all.into_iter().filter(|request| request["endpoint"] == "stt").collect()
}

async fn until_recognitions(mesh: &Mesh, states: &[&str]) {
    eventually(LIMIT, &format!("{states:?}"), async || {
        let seen = recognitions(mesh).await;
        let mut seen: Vec<_> = seen.iter().map(|request| request["state"].as_str().unwrap()).collect();
        seen.sort_unstable();
        (seen == states).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn words_come_while_they_are_spoken_stay_once_they_are_stable_and_are_complete_in_the_end() {
    let (mut mesh, mut worker) = listening().await;
    let audio = mulaw_said(&SENTENCES).await;
    let Line { requests, mut responses } = Line::open(&mut worker, config(true)).await;
    let (payloads, sent) = (pieces(&audio, 800), Arc::new(AtomicUsize::new(0)));
    let (all, counter) = (payloads.len(), sent.clone());
    let (mut speaking, groq) = (JoinSet::new(), mesh.groq.clone());
    speaking.spawn(async move {
        for payload in payloads {
            tokio::time::sleep(PIECE).await;
            // The ears share a busy machine: nobody goes on speaking while they work.
            while groq.requests().await.unwrap().iter().any(|request| request["state"] == "open") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            requests.send(TranscribeRequest { payload: Some(payload) }).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut told: Vec<Transcript> = Vec::new();
    let mut early = 0;
    while let Some(response) = responses.message().await.unwrap() {
        let transcript = response.transcript.unwrap();
        early += usize::from(!transcript.text.is_empty() && sent.load(Ordering::Relaxed) < all);
        if let Some(before) = told.last() {
            let stable: String = before.text.chars().take(before.stable_length as usize).collect();
            assert!(transcript.text.starts_with(&stable), "{stable:?} was taken back: {transcript:?}");
        }
        told.push(transcript);
    }
    let requests = recognitions(&mesh).await;
    assert!(early >= 2, "words came only after all was said: {told:?} {requests:#?}");
    assert!(told.iter().any(|transcript| !transcript.is_final && transcript.stable_length > 0), "{told:?}");
    let last = told.last().unwrap();
    assert_eq!((words(&last.text), last.is_final), (SENTENCES.join(" "), true));
    assert_eq!(told.iter().filter(|transcript| transcript.is_final).count(), 1);
    let log = mesh.child("worker").log();
    assert!(SENTENCES.iter().all(|sentence| !log.contains(sentence)), "what is said is in the log: {log}");
    // No more than the pace of the growing audio allows.
    assert!((2..=7).contains(&requests.len()), "{requests:?}");
}

#[tokio::test]
async fn every_format_is_understood() {
    let (_mesh, mut worker) = listening().await;
    let audio = said(&SENTENCES[..1]).await;
    for (encoding, hertz) in [
        (AudioEncoding::Mulaw, 8_000),
        (AudioEncoding::Linear16, 8_000),
        (AudioEncoding::Linear16, 16_000),
        (AudioEncoding::Linear16, 24_000),
    ] {
        let samples = resample(&audio.samples, 8_000, hertz);
        let bytes: Bytes = match encoding {
            AudioEncoding::Mulaw => mulaw::encode(&samples).into(),
            AudioEncoding::Linear16 | AudioEncoding::Unspecified => {
                samples.iter().flat_map(|sample| mulaw::to_i16(*sample).to_le_bytes()).collect()
            }
        };
        let format = AudioFormat { encoding: encoding.into(), sample_rate_hertz: hertz as i32 };
        let config =
            Payload::Config(TranscribeConfig { format: Some(format), ..TranscribeConfig::default() });
        let payloads = std::iter::once(config).chain(pieces(&bytes, 4_000)).collect();
        let told = transcribed(&mut worker, payloads).await.unwrap();
        let texts: Vec<_> = told.iter().map(|transcript| words(&transcript.text)).collect();
        assert_eq!(texts, [SENTENCES[0]], "{encoding:?} {hertz}");
        let duration = told[0].audio_duration.unwrap();
        assert_eq!(duration.seconds, samples.len() as i64 / i64::from(hertz));
    }
}

#[tokio::test]
async fn a_flush_answers_at_once_and_the_end_makes_no_second_request_for_silence() {
    let (mesh, mut worker) = canned(Options::default()).await;
    let mut line = Line::open(&mut worker, config(false)).await;
    let audio = mulaw_said(&SENTENCES[..1]).await;
    line.send(pieces(&audio, 800)).await;
    line.send([flush(1)]).await;
    let answer = line.next().await.unwrap().unwrap();
    assert_eq!((&answer.text[..], answer.flush_id, answer.is_final), (QUESTION, 1, false));
    line.send(pieces(&vec![mulaw::SILENCE; 8_000].into(), 800)).await;
    line.send([flush(2)]).await;
    assert_eq!(line.next().await.unwrap().unwrap().flush_id, 2);
    let Line { requests, mut responses } = line;
    drop(requests);
    let last = responses.message().await.unwrap().unwrap().transcript.unwrap();
    assert_eq!((&last.text[..], last.is_final), (QUESTION, true));
    assert!(responses.message().await.unwrap().is_none());
    assert_eq!(recognitions(&mesh).await.len(), 1);
}

#[tokio::test]
async fn silence_is_answered_without_the_provider() {
    let (mesh, mut worker) = canned(Options::default()).await;
    let silence = pieces(&vec![mulaw::SILENCE; 16_000].into(), 800);
    let told =
        transcribed(&mut worker, [vec![config(true)], silence, vec![flush(1)]].concat()).await.unwrap();
    let told: Vec<_> = told.iter().map(|t| (&t.text[..], t.flush_id, t.is_final)).collect();
    assert_eq!(told, [("", 1, false), ("", 0, true)]);
    assert!(recognitions(&mesh).await.is_empty());
}

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

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_finishes_what_is_being_said() {
    let (mut mesh, mut worker) = canned(Options::default()).await;
    let mut line = Line::open(&mut worker, config(false)).await;
    let audio = mulaw_said(&SENTENCES[..1]).await;
    let all = pieces(&audio, 800);
    let (first, rest) = all.split_at(all.len() / 2);
    line.send(first.to_vec()).await;
    line.send([flush(1)]).await;
    line.next().await.unwrap().unwrap();
    mesh.child("worker").signal("TERM").await.unwrap();
    eventually(LIMIT, "a worker that takes no more calls", async || {
        WorkerServiceClient::connect(mesh.address("worker")).await.err()
    })
    .await
    .unwrap();
    line.send(rest.to_vec()).await;
    let Line { requests, mut responses } = line;
    drop(requests);
    let last = responses.message().await.unwrap().unwrap().transcript.unwrap();
    assert_eq!((&last.text[..], last.is_final), (QUESTION, true));
    assert_eq!(mesh.child("worker").wait(LIMIT).await.unwrap(), Some(0));
}

fn turn_config(earlier_text: &str) -> ProcessTurnRequest {
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
