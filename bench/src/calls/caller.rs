//! One caller of the load: speaks a media WebSocket in real time, keeps the carrier's books, and notes what he waited for.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base64::Engine as _;
use futures::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval_at},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use voice_audio::{
    FRAME_SAMPLES, mulaw,
    vad::live::{Change, LiveVad},
};

use super::{
    carrier::{Carrier, FRAME},
    utterance::{Near, Utterance},
};

/// An interruption that is not answered by then is missed.
const BARGE_LIMIT: Duration = Duration::from_secs(1);
/// Silence before the first word, and after an assistant that has finished.
const MANNERS: Duration = Duration::from_millis(600);
/// Frames of the pause that the detector reports.
const PAUSE_FRAMES: u64 = 5;

/// What a caller does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The media WebSocket: host and port, and the path.
    pub address: String,
    /// The path with its token.
    pub path: String,
    /// What he says, again and again; nothing for a caller who only holds the line.
    pub utterance: Option<Arc<Utterance>>,
    /// Silence that ends an utterance.
    pub endpoint: Duration,
    /// When he begins to count.
    pub from: Instant,
    /// When he hangs up.
    pub until: Instant,
    /// Tells callers apart, and where in its 20 ms each of them sends.
    pub seed: u32,
}

/// What a caller went through.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the frame that completes the silence to the first audio of each answer, in milliseconds.
    pub answers: Vec<f64>,
    /// From the last voiced frame to the same, in milliseconds.
    pub gaps: Vec<f64>,
    /// From the frame on which the detector fires to `clear`, in milliseconds.
    pub barges: Vec<f64>,
    /// Interruptions that nobody answered.
    pub missed: u32,
    /// Questions that nobody answered.
    pub unanswered: u32,
    /// Gaps within a clause.
    pub underruns: u32,
    /// The most audio that was ever ahead.
    pub most_ahead: Duration,
    /// How often he was further behind his own clock than a frame: then the load generator is at its limit.
    pub late_ticks: u32,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    event: &'a str,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    mark: Option<Mark>,
}

#[derive(Deserialize)]
struct Media<'a> {
    payload: &'a str,
}

#[derive(Deserialize)]
struct Mark {
    name: String,
}

#[derive(Debug)]
enum Mood {
    /// Hears the assistant out, and is polite; since when it has been silent.
    Polite { silent_since: Option<Instant> },
    /// Says the frame with this number next.
    Speaking { next: usize },
    /// Waits for an answer.
    Waiting { since: Instant },
    /// Hears the answer until he has had enough.
    Hearing { until: Instant },
}

struct Caller {
    plan: Plan,
    socket: WebSocketStream<TcpStream>,
    carrier: Carrier,
    vad: LiveVad,
    mood: Mood,
    tick: u64,
    /// When each of the last frames was sent.
    sent: VecDeque<Instant>,
    endpoint_tick: Option<u64>,
    endpoint_at: Option<Instant>,
    last_voice_at: Option<Instant>,
    barge_at: Option<Instant>,
    cleared_at: Option<Instant>,
    random: u32,
    silence: Near,
    outcome: Outcome,
}

/// Calls, talks, and hangs up when the time has come.
///
/// # Errors
/// When the socket cannot be opened or breaks.
pub async fn call(plan: Plan) -> anyhow::Result<Outcome> {
    let stream = TcpStream::connect(&plan.address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{}{}", plan.address, plan.path);
    let (socket, _) = client_async(url, stream).await.context("the media socket was refused")?;
    let random = plan.seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let caller = Caller {
        plan,
        socket,
        carrier: Carrier::default(),
        vad: LiveVad::new(),
        mood: Mood::Polite { silent_since: None },
        tick: 0,
        sent: VecDeque::with_capacity(8),
        endpoint_tick: None,
        endpoint_at: None,
        last_voice_at: None,
        barge_at: None,
        cleared_at: None,
        random,
        silence: Near::silent(),
        outcome: Outcome::default(),
    };
    caller.run().await
}

impl Caller {
    async fn run(mut self) -> anyhow::Result<Outcome> {
        self.greet().await?;
        let phase = Duration::from_micros(u64::from(self.plan.seed) * 7_919 % 20_000);
        let mut ticks = interval_at(tokio::time::Instant::now() + phase, FRAME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while Instant::now() < self.plan.until {
            tokio::select! {
                due = ticks.tick() => self.frame(due.into_std()).await?,
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.take(&text).await?,
                    Some(Ok(Message::Close(_))) | None => anyhow::bail!("the assistant hung up"),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                }
            }
        }
        self.say(r#"{"event":"stop","sequenceNumber":"0"}"#.to_owned()).await?;
        let _ = self.socket.close(None).await;
        self.outcome.underruns = self.carrier.underruns;
        self.outcome.most_ahead = self.carrier.most_ahead;
        Ok(self.outcome)
    }

    async fn greet(&mut self) -> anyhow::Result<()> {
        self.say(r#"{"event":"connected","protocol":"Call","version":"0.2.0"}"#.to_owned()).await?;
        let start = r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","accountSid":"AC1","callSid":"CA1","tracks":["inbound"],"customParameters":{},"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}"#;
        self.say(start.to_owned()).await
    }

    /// Sends the next frame, and looks at what has become of everything.
    async fn frame(&mut self, due: Instant) -> anyhow::Result<()> {
        let now = Instant::now();
        self.outcome.late_ticks += u32::from(now.duration_since(due) > FRAME);
        for mark in self.carrier.reached(now) {
            self.answer_mark(&mark).await?;
        }
        self.choose_mood(now);
        let utterance = self.plan.utterance.clone();
        let near = match (&mut self.mood, &utterance) {
            (Mood::Speaking { next }, Some(utterance)) => {
                *next += 1;
                &utterance.frames[*next - 1]
            }
            _ => &self.silence,
        };
        let (message, samples) = (near.message(self.tick), near.samples);
        self.say(message).await?;
        let sent_at = Instant::now();
        if self.sent.len() == 8 {
            self.sent.pop_front();
        }
        self.sent.push_back(sent_at);
        if utterance.is_some() {
            self.listen_to_himself(now, sent_at, &samples);
        }
        self.tick += 1;
        Ok(())
    }

    /// What the detector makes of the same frames, with the same assistant in the background.
    fn listen_to_himself(&mut self, now: Instant, sent_at: Instant, near: &[i16; FRAME_SAMPLES]) {
        let far = self.carrier.sounding(now).map(|frame| {
            let decoded = mulaw::decode(&frame);
            std::array::from_fn(|n| mulaw::to_i16(decoded[n]))
        });
        match self.vad.push(near, far.as_ref()) {
            Some(Change::Started { .. }) if far.is_some() || self.cleared_at.is_some() => {
                // The relay may think that the assistant sounds a frame earlier or later than we do.
                match self.cleared_at.take() {
                    Some(_) => self.note_barge(0.0),
                    None => self.barge_at = Some(sent_at),
                }
            }
            Some(Change::Started { .. }) | None => {}
            Some(Change::Paused { .. }) => {
                let endpoint = (self.plan.endpoint.as_millis() / FRAME.as_millis()) as u64;
                self.endpoint_tick = Some(self.tick + endpoint - PAUSE_FRAMES);
                let last = self.sent.len().checked_sub(PAUSE_FRAMES as usize + 1);
                self.last_voice_at = last.map(|at| self.sent[at]);
            }
            Some(Change::Resumed) => self.endpoint_tick = None,
        }
        if self.endpoint_tick == Some(self.tick) {
            self.endpoint_tick = None;
            self.endpoint_at = Some(sent_at);
            self.vad.reset();
        }
        if self.barge_at.is_some_and(|at| now > at + BARGE_LIMIT) {
            self.barge_at = None;
            self.outcome.missed += u32::from(self.counts(now));
        }
    }

    fn choose_mood(&mut self, now: Instant) {
        let Some(utterance) = &self.plan.utterance else { return };
        match &mut self.mood {
            Mood::Polite { silent_since } => {
                if !self.carrier.is_silent(now) || self.carrier.most_ahead.is_zero() {
                    *silent_since = None;
                } else if now >= *silent_since.get_or_insert(now) + MANNERS {
                    self.mood = Mood::Speaking { next: 0 };
                }
            }
            Mood::Speaking { next } if *next == utterance.frames.len() => {
                self.mood = Mood::Waiting { since: now };
            }
            Mood::Waiting { since } if now > *since + Duration::from_secs(6) => {
                self.outcome.unanswered += u32::from(now > self.plan.from);
                self.endpoint_at = None;
                self.mood = Mood::Polite { silent_since: None };
            }
            Mood::Hearing { until } if now >= *until => {
                self.cleared_at = None;
                self.mood = Mood::Speaking { next: 0 };
            }
            Mood::Speaking { .. } | Mood::Waiting { .. } | Mood::Hearing { .. } => {}
        }
    }

    async fn take(&mut self, text: &str) -> anyhow::Result<()> {
        let now = Instant::now();
        let incoming: Incoming<'_> = serde_json::from_str(text).context("what the gateway sent")?;
        match incoming.event {
            "media" => {
                let payload = incoming.media.context("media without media")?.payload;
                let bytes = base64::engine::general_purpose::STANDARD.decode(payload)?;
                self.carrier.audio(now, &bytes);
                self.answered(now);
            }
            "mark" => self.carrier.mark(now, incoming.mark.context("a mark without a name")?.name),
            "clear" => {
                match self.barge_at.take() {
                    Some(at) => self.note_barge(now.duration_since(at).as_secs_f64() * 1_000.0),
                    None => self.cleared_at = Some(now),
                }
                for mark in self.carrier.clear(now) {
                    self.answer_mark(&mark).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The first audio after a question ends the wait for it.
    fn answered(&mut self, now: Instant) {
        if !matches!(self.mood, Mood::Waiting { .. }) {
            return;
        }
        let Some(endpoint_at) = self.endpoint_at.take() else { return };
        if self.counts(now) {
            self.outcome.answers.push(now.duration_since(endpoint_at).as_secs_f64() * 1_000.0);
            if let Some(at) = self.last_voice_at {
                self.outcome.gaps.push(now.duration_since(at).as_secs_f64() * 1_000.0);
            }
        }
        self.cleared_at = None;
        self.mood =
            Mood::Hearing { until: now + Duration::from_millis(1_500 + u64::from(self.random() % 2_500)) };
    }

    fn note_barge(&mut self, milliseconds: f64) {
        if self.counts(Instant::now()) {
            self.outcome.barges.push(milliseconds);
        }
    }

    fn counts(&self, now: Instant) -> bool {
        now >= self.plan.from
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random >> 8
    }

    async fn answer_mark(&mut self, name: &str) -> anyhow::Result<()> {
        self.say(format!(r#"{{"event":"mark","streamSid":"MZ1","mark":{{"name":"{name}"}}}}"#)).await
    }

    async fn say(&mut self, text: String) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }
}
