//! A caller whose leg is made of audio frames: nothing but the generated stub, in real time.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use voice_audio::mulaw;
use voice_proto::relay::v1::{
    CallEvent, CallerAudio, ConversationStarted, ConverseConfig, ConverseRequest, ConverseResponse,
    DigitPressed, PlayoutMark, call_event::Event, converse_request::Payload, converse_response,
    relay_service_client::RelayServiceClient,
};

use crate::speech::spoken;

/// 20 ms of mu-law at 8 kHz.
const FRAME_BYTES: usize = 160;
const FRAME: Duration = Duration::from_millis(20);

/// Requests that may wait to be sent.
const QUEUE: usize = 256;

/// What came back, as it came.
#[derive(Debug, Default)]
pub struct Received {
    /// Everything that was heard, as a player without any delay plays it: mu-law, with silence where nothing was.
    pub heard: Vec<u8>,
    /// Audio that was thrown away unheard, clear by clear, in bytes.
    pub cleared: Vec<usize>,
    /// Marks that were reached.
    pub marks: Vec<String>,
    /// Events of the call.
    pub events: Vec<CallEvent>,
    /// How the responses ended.
    pub end: Option<Result<(), Status>>,
    /// Audio that came and has not been played.
    waiting: VecDeque<u8>,
    /// Marks that were not reached, with how much of that audio is before them.
    open: VecDeque<(usize, String)>,
    /// The most audio that ever waited.
    pub most_waiting: usize,
}

/// A caller in a conversation.
#[derive(Debug)]
pub struct AudioCaller {
    /// What the relay told at the beginning.
    pub started: ConversationStarted,
    requests: mpsc::Sender<ConverseRequest>,
    /// What he says next; silence otherwise.
    speech: mpsc::Sender<Vec<u8>>,
    received: Arc<Mutex<Received>>,
    changes: watch::Receiver<()>,
    player: JoinSet<()>,
    _reader: JoinSet<()>,
}

impl AudioCaller {
    /// Begins a conversation, and from then on sends a frame every 20 ms.
    ///
    /// # Errors
    /// With what the relay answers.
    pub async fn begin(
        mut relay: RelayServiceClient<Channel>,
        config: ConverseConfig,
    ) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let answers_marks = config.answers_marks;
        let first = ConverseRequest { payload: Some(Payload::Config(config)) };
        requests.try_send(first).expect("the queue is empty");
        let mut responses = relay.converse(ReceiverStream::new(queue)).await?.into_inner();
        let started = match responses.message().await?.and_then(|response| response.payload) {
            Some(converse_response::Payload::Started(started)) => started,
            other => return Err(Status::internal(format!("it began with {other:?}"))),
        };
        let received = Arc::new(Mutex::new(Received::default()));
        let (changed, changes) = watch::channel(());
        let (speech, words) = mpsc::channel(QUEUE);
        let (mut player, mut reader) = (JoinSet::new(), JoinSet::new());
        player.spawn(speak_and_play(words, received.clone(), requests.clone(), answers_marks));
        reader.spawn(receive(responses, received.clone(), changed));
        Ok(Self { started, requests, speech, received, changes, player, _reader: reader })
    }

    /// Id of the call.
    pub fn call_id(&self) -> String {
        self.started.call.as_ref().map(|call| call.call_id.clone()).unwrap_or_default()
    }

    /// Says a sentence; returns when it has been said.
    ///
    /// # Errors
    /// When flite is missing.
    pub async fn say(&self, text: &str) -> anyhow::Result<()> {
        let audio = voice_audio::wav::read(&spoken(text).await?)?;
        let samples = voice_audio::resample::resample(&audio.samples, audio.sample_rate_hertz, 8_000);
        let voice = mulaw::encode(&samples);
        let time = FRAME * voice.len().div_ceil(FRAME_BYTES) as u32;
        self.speech.send(voice).await.context("the conversation is over")?;
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// Presses a key.
    ///
    /// # Errors
    /// When the conversation is over.
    pub async fn press(&self, digit: char) -> anyhow::Result<()> {
        self.send(Payload::Digit(DigitPressed { digit: digit.to_string() })).await
    }

    /// Sends anything at all.
    ///
    /// # Errors
    /// When the conversation is over.
    pub async fn send(&self, payload: Payload) -> anyhow::Result<()> {
        self.requests
            .send(ConverseRequest { payload: Some(payload) })
            .await
            .context("the conversation is over")
    }

    /// Looks at what came back.
    pub fn received<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until what came back has something.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn until<T>(
        &mut self,
        limit: Duration,
        wanted: impl Fn(&Received) -> Option<T>,
    ) -> anyhow::Result<T> {
        let search = async {
            loop {
                self.changes.mark_unchanged();
                if let Some(found) = self.received(&wanted) {
                    return found;
                }
                // Also looked at after the end, for what came last.
                if self.changes.changed().await.is_err() {
                    tokio::time::sleep(FRAME).await;
                }
            }
        };
        let late = || format!("it did not come within {limit:?}");
        tokio::time::timeout(limit, search).await.with_context(late)
    }

    /// Hangs up by closing the requests; what still comes is received.
    pub async fn hang_up(&mut self) {
        self.player.shutdown().await;
        self.requests = mpsc::channel(1).0;
    }
}

impl Received {
    /// What `wanted` finds in the events.
    pub fn event<T>(&self, mut wanted: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        self.events.iter().filter_map(|event| event.event.as_ref()).find_map(&mut wanted)
    }

    fn take(&mut self, payload: converse_response::Payload) {
        match payload {
            converse_response::Payload::Started(_) => {}
            converse_response::Payload::Audio(audio) => {
                self.waiting.extend(audio);
                self.most_waiting = self.most_waiting.max(self.waiting.len());
            }
            converse_response::Payload::Clear(_) => {
                self.cleared.push(self.waiting.len());
                self.waiting.clear();
                self.open.iter_mut().for_each(|(before, _)| *before = 0);
            }
            converse_response::Payload::Mark(PlayoutMark { name }) => {
                self.open.push_back((self.waiting.len(), name));
            }
            converse_response::Payload::Event(event) => self.events.push(event),
        }
    }

    /// Plays a frame; gives the marks that it reached.
    fn play(&mut self) -> Vec<String> {
        let played = self.waiting.len().min(FRAME_BYTES);
        self.heard.extend(self.waiting.drain(..played));
        self.heard.extend(std::iter::repeat_n(mulaw::SILENCE, FRAME_BYTES - played));
        let mut reached = Vec::new();
        for (before, _) in &mut self.open {
            *before = before.saturating_sub(played);
        }
        while let Some((_, name)) = self.open.pop_front_if(|(before, _)| *before == 0) {
            reached.push(name);
        }
        self.marks.extend(reached.iter().cloned());
        reached
    }
}

/// Every 20 ms: sends a frame of what is to be said, plays one of what came, and answers the marks that it reached.
async fn speak_and_play(
    mut words: mpsc::Receiver<Vec<u8>>,
    received: Arc<Mutex<Received>>,
    requests: mpsc::Sender<ConverseRequest>,
    answers_marks: bool,
) {
    let mut ticks = tokio::time::interval(FRAME);
    let mut saying: VecDeque<u8> = VecDeque::new();
    let mut noise = 0_u8;
    loop {
        ticks.tick().await;
        while let Ok(more) = words.try_recv() {
            saying.extend(more);
        }
        // A line is never quite silent.
        let idle = std::iter::from_fn(|| {
            noise = noise.wrapping_mul(5).wrapping_add(3);
            Some(if noise < 40 { 0xFE } else { mulaw::SILENCE })
        });
        let said = saying.len().min(FRAME_BYTES);
        let frame: Vec<u8> = saying.drain(..said).chain(idle).take(FRAME_BYTES).collect();
        let audio = CallerAudio { audio: frame.into(), send_time: None };
        let reached = received.lock().unwrap_or_else(PoisonError::into_inner).play();
        let marks =
            reached.into_iter().filter(|_| answers_marks).map(|name| Payload::Mark(PlayoutMark { name }));
        for payload in std::iter::once(Payload::Audio(audio)).chain(marks) {
            if requests.send(ConverseRequest { payload: Some(payload) }).await.is_err() {
                return;
            }
        }
    }
}

async fn receive(
    mut responses: Streaming<ConverseResponse>,
    received: Arc<Mutex<Received>>,
    changed: watch::Sender<()>,
) {
    loop {
        let next = responses.message().await;
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Ok(Some(response)) => {
                if let Some(payload) = response.payload {
                    received.take(payload);
                }
            }
            Ok(None) => received.end = Some(Ok(())),
            Err(status) => received.end = Some(Err(status)),
        }
        changed.send_replace(());
        if received.end.is_some() {
            return;
        }
    }
}
