//! Live audio at the worker: words while they are spoken, and turns that need no queue.

mod trouble;
mod turns;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Status, transport::Channel};
use voice_audio::{Audio, mulaw, resample::resample, wav};
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    worker::v1::{
        TranscribeConfig, TranscribeFlush, TranscribeRequest, TranscribeResponse, Transcript,
        transcribe_request::Payload, worker_service_client::WorkerServiceClient,
    },
};

use super::*;
use crate::{
    mesh::eventually,
    speech::{spoken, words},
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
    let (_mesh, worker) = listening().await;
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
        let payloads: Vec<_> = std::iter::once(config).chain(pieces(&bytes, 4_000)).collect();
        // On a busy machine the recogniser may take longer than the worker waits for it.
        let told = eventually(LIMIT, "the words", async || {
            transcribed(&mut worker.clone(), payloads.clone()).await.ok()
        });
        let told = told.await.unwrap();
        let texts: Vec<_> = told.iter().map(|transcript| words(&transcript.text)).collect();
        assert_eq!(texts, [SENTENCES[0]], "{encoding:?} {hertz}");
        let duration = told[0].audio_duration.unwrap();
        assert_eq!(duration.seconds, samples.len() as i64 / i64::from(hertz));
    }
}

#[tokio::test]
async fn a_flush_answers_at_once_and_the_end_makes_no_second_request_for_silence() {
    // A busy machine's ears may be slow, which is no reason to ask twice.
    let (mesh, mut worker) = canned(Options::default().with("STT_HEDGE", "off")).await;
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
