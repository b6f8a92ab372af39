//! Listening to one utterance. What was said is kept until its words are known, so that a worker that dies costs a
//! moment and no word.

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tonic::{Code, Status, Streaming};
use voice_proto::worker::v1::{
    TranscribeConfig, TranscribeFlush, TranscribeRequest, TranscribeResponse, Transcript,
    transcribe_request::Payload, worker_service_client::WorkerServiceClient,
};
use voice_server::client::Channel;

use super::{Worker, reason, retry_after};
use crate::{
    grpc::to_format,
    ports::{Ears, Hearing, LiveAudio, Partial, Words},
};

/// Whoever asks for words waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(4);

/// Partial words that may wait; newer ones are dropped, since more will come.
const PARTIALS: usize = 16;

/// Questions that may wait: a turn, and a pause or two.
const QUESTIONS: usize = 8;

/// What is said, as far as it was said.
#[derive(Debug, Default)]
struct Said {
    batches: Vec<Bytes>,
    is_complete: bool,
    /// How often the words so far were asked for, and of how many batches the last time.
    asked: i32,
    asked_of: usize,
}

/// Asks for the words so far; gets the number by which the answer will be known.
type Question = oneshot::Sender<i32>;

impl Said {
    fn take(&mut self, batch: Option<Bytes>) {
        match batch {
            Some(batch) => self.batches.push(batch),
            None => self.is_complete = true,
        }
    }

    /// Asks for the words so far, again only if something was said since.
    fn ask(&mut self) -> i32 {
        if self.is_complete {
            return i32::MAX;
        }
        if self.asked == 0 || self.asked_of < self.batches.len() {
            self.asked += 1;
            self.asked_of = self.batches.len();
        }
        self.asked
    }
}

/// What is known of it.
#[derive(Clone, Debug, Default)]
struct Known {
    text: String,
    /// The last question that it answers.
    answered: i32,
    is_final: bool,
    failure: Option<String>,
}

/// What whoever asks and whoever listens share.
#[derive(Debug, Default)]
struct Shared {
    said: watch::Sender<Said>,
    known: watch::Sender<Known>,
}

impl Ears for Worker {
    fn listen(&self, audio: LiveAudio, language: &str) -> Hearing {
        let config = TranscribeConfig {
            format: Some(to_format(audio.format)),
            language: language.to_owned(),
            // Workers have them as far as their settings and the provider's plan allow.
            wants_partials: true,
        };
        let shared = Arc::new(Shared::default());
        let (sender, mut partials) = mpsc::channel(PARTIALS);
        let mut tasks = JoinSet::new();
        let (questions, asked) = mpsc::channel(QUESTIONS);
        tasks.spawn(attend(self.client.clone(), config, audio, shared.clone(), asked, sender));
        // Nobody listens any more once nobody can ask.
        let owner = Arc::new(tasks);
        let words = Words::new(move || {
            let (shared, questions, owner) = (shared.clone(), questions.clone(), owner.clone());
            Box::pin(async move {
                let words = so_far(&shared, &questions).await;
                drop(owner);
                words
            })
        });
        let partials = stream! {
            while let Some(partial) = partials.recv().await {
                yield partial;
            }
        };
        Hearing { partials: partials.boxed(), words }
    }
}

async fn so_far(shared: &Shared, questions: &mpsc::Sender<Question>) -> Result<String, String> {
    let (ask, number) = oneshot::channel();
    // Whoever has the final words takes no more questions.
    let _ = questions.send(ask).await;
    let question = number.await.unwrap_or(i32::MAX);
    let mut known = shared.known.subscribe();
    let is_answered = |known: &Known| known.is_final || known.failure.is_some() || known.answered >= question;
    let answered = tokio::time::timeout(PATIENCE, known.wait_for(is_answered)).await;
    match answered {
        Ok(Ok(known)) => known.failure.clone().map_or_else(|| Ok(known.text.clone()), Err),
        Ok(Err(_)) => Err("WORKER_UNAVAILABLE".to_owned()),
        Err(_) => Err("STT_TIMEOUT".to_owned()),
    }
}

/// Has an utterance transcribed while it is spoken, to its end.
async fn attend(
    client: WorkerServiceClient<Channel>,
    config: TranscribeConfig,
    mut audio: LiveAudio,
    shared: Arc<Shared>,
    mut questions: mpsc::Receiver<Question>,
    partials: mpsc::Sender<Partial>,
) {
    let mut responses = Box::pin(transcripts(client, config, shared.said.subscribe()));
    let mut is_open = true;
    loop {
        tokio::select! {
            batch = audio.batches.recv(), if is_open => {
                is_open = batch.is_some();
                shared.said.send_modify(|said| said.take(batch));
            }
            Some(question) = questions.recv() => shared.said.send_modify(|said| {
                // What had been said when it was asked is on its way, or here.
                while let Ok(batch) = audio.batches.try_recv() {
                    said.take(Some(batch));
                }
                let _ = question.send(said.ask());
            }),
            response = responses.next() => match response {
                Some(Ok(transcript)) => {
                    if !transcript.is_final {
                        let stable = transcript.stable_length.max(0) as usize;
                        let _ = partials.try_send(Partial { text: transcript.text.clone(), stable });
                    }
                    shared.known.send_modify(|known| {
                        known.answered = known.answered.max(transcript.flush_id);
                        known.is_final |= transcript.is_final;
                        known.text = transcript.text;
                    });
                }
                Some(Err(status)) => {
                    tracing::warn!(code = ?status.code(), "an utterance could not be transcribed");
                    shared.known.send_modify(|known| known.failure = Some(reason(&status)));
                    break;
                }
                None => break,
            }
        }
    }
    shared.said.send_modify(|said| said.batches = Vec::new());
}

/// Transcripts of what is said, to the final one; again from its beginning with another worker if one breaks off.
fn transcripts(
    client: WorkerServiceClient<Channel>,
    config: TranscribeConfig,
    said: watch::Receiver<Said>,
) -> impl Stream<Item = Result<Transcript, Status>> {
    stream! {
        let mut attempt = 1;
        loop {
            let mut client = client.clone();
            let opened = client.transcribe(requests(config.clone(), said.clone())).await;
            let failure = match opened {
                Ok(response) => {
                    let mut responses: Streaming<TranscribeResponse> = response.into_inner();
                    loop {
                        match responses.message().await {
                            Ok(Some(TranscribeResponse { transcript })) => {
                                let transcript = transcript.unwrap_or_default();
                                let is_final = transcript.is_final;
                                yield Ok(transcript);
                                if is_final {
                                    return;
                                }
                            }
                            Ok(None) => break Status::new(Code::Unavailable, "it ended without a final transcript"),
                            Err(status) => break status,
                        }
                    }
                }
                Err(status) => status,
            };
            let Some(pause) = retry_after(&failure, attempt) else {
                yield Err(failure);
                return;
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }
}

fn requests(
    config: TranscribeConfig,
    mut said: watch::Receiver<Said>,
) -> impl Stream<Item = TranscribeRequest> {
    stream! {
        yield TranscribeRequest { payload: Some(Payload::Config(config)) };
        let (mut sent, mut asked) = (0, 0);
        loop {
            let next = {
                let said = said.borrow_and_update();
                if let Some(batch) = said.batches.get(sent) {
                    sent += 1;
                    Some(Payload::Audio(batch.clone()))
                } else if said.is_complete {
                    return;
                } else if said.asked > asked {
                    asked = said.asked;
                    Some(Payload::Flush(TranscribeFlush { flush_id: asked }))
                } else {
                    None
                }
            };
            match next {
                Some(payload) => yield TranscribeRequest { payload: Some(payload) },
                None if said.changed().await.is_err() => return,
                None => {}
            }
        }
    }
}
