//! Whether what the mesh says was heard is what could be heard. The truth is flite's own: it tells when each sound ends, and
//! the carrier's books tell how far the answer had been played when it was cut off.

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::{
    mesh::{CONTEXT, Mesh, Options},
    speech::{spoken, words},
};
use tokio::{
    process::Command,
    sync::mpsc,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use voice_audio::{FRAME_SAMPLES, mulaw};
use voice_proto::relay::v1::{
    CallerAudio, ConverseConfig, ConverseRequest, ConverseResponse, PlaybackInterrupted, PlaybackKind,
    call_event::Event, converse_request::Payload as Sent, converse_response::Payload as Got,
};

use super::{
    carrier::{Carrier, FRAME},
    utterance::{Near, Utterance},
};

const CALLERS: u64 = 5;
/// Of each caller in each answer.
const INTERRUPTIONS: usize = 3;
/// Long enough to be taken for more than a cough.
const QUESTION: &str = "Could you please tell me a little more about all of it";
/// Two clauses of plain words each, the way they are cut: the first alone, the rest together.
const ANSWERS: [[&str; 2]; 8] = [
    [
        "The shop is open every day.",
        "We sell fresh bread and warm coffee in the morning, and in the evening there is soup with cheese for everyone who is hungry.",
    ],
    [
        "Your table is booked.",
        "It is for four people on Friday evening, and if you would like to change it, just call us again before noon.",
    ],
    [
        "I can check that for you.",
        "Most parcels arrive within three days, but when the weather is bad it may take a little longer than that.",
    ],
    [
        "The doctor is not here this week.",
        "There is an opening on Tuesday in the afternoon, or you can leave a message and the office will return your call.",
    ],
    [
        "Thank you for your patience.",
        "Your refund was sent this morning, and your bank should show it within two days.",
    ],
    [
        "Let me look that up.",
        "Your flight leaves at noon from the second terminal, and boarding begins forty minutes earlier.",
    ],
    [
        "That is no problem at all.",
        "You can change the delivery address on our website, or I can do it for you right now.",
    ],
    [
        "I am sorry to hear that.",
        "A technician can come by tomorrow morning, so please make sure that somebody is at home.",
    ],
];
/// Louder than this, a frame is sound.
const SOUND: f32 = 0.01;
const LIMIT: Duration = Duration::from_mins(1);

/// One interruption: the words that the mesh takes for heard, and those that could be heard.
#[derive(Clone, Copy, Debug)]
struct Interruption {
    told: usize,
    truth: usize,
}

/// The share of interruptions after which the words that the mesh takes for heard are those that could be heard, give or take one.
///
/// # Errors
/// When the mesh cannot be started or a call breaks.
pub async fn within_one_word_percent() -> anyhow::Result<f64> {
    let canned = format!("canned={QUESTION}");
    let options = Options {
        groq_args: ["--stt", &canned, "--tts", "real"].map(str::to_owned).to_vec(),
        ..Options::default()
    };
    let mesh = Mesh::start(options.with("CALL_AUDIO", "stream")).await?;
    let question = Arc::new(Utterance::of(&spoken(QUESTION).await?)?);
    let mut all = Vec::new();
    for (n, clauses) in ANSWERS.into_iter().enumerate() {
        println!("{CALLERS} callers interrupt an answer, the {} of {}: half a minute", n + 1, ANSWERS.len());
        mesh.groq.script(&[("", &clauses.join(" "))]).await?;
        let truth = Arc::new([ends(clauses[0]).await?, ends(clauses[1]).await?]);
        let mut calls = JoinSet::new();
        for seed in 0..CALLERS {
            let random = fastrand::Rng::with_seed(n as u64 * CALLERS + seed);
            calls.spawn(interrupting(mesh.relay().await?, question.clone(), truth.clone(), random));
        }
        while let Some(ended) = calls.join_next().await {
            all.extend(ended??);
        }
    }
    ensure!(!all.is_empty(), "nothing was interrupted");
    let near = all.iter().filter(|one| one.told.abs_diff(one.truth) <= 1).count();
    for far in all.iter().filter(|one| one.told.abs_diff(one.truth) > 1) {
        println!("heard {} words, told {}", far.truth, far.told);
    }
    Ok(near as f64 * 100.0 / all.len() as f64)
}

/// When each word of a text is over, from its first sound.
async fn ends(text: &str) -> anyhow::Result<Vec<Duration>> {
    let segments = flite(&["-psdur"], text).await?;
    let segments: Vec<(&str, f64)> = segments
        .split_whitespace()
        .filter_map(|segment| segment.split_once(':'))
        .map(|(sound, end)| Ok((sound, end.parse()?)))
        .collect::<anyhow::Result<_>>()?;
    let first = segments.iter().position(|(sound, _)| *sound != "pau").context("no sound")?;
    let begin = if first == 0 { 0.0 } else { segments[first - 1].1 };
    let mut sounds = segments.iter().filter(|(sound, _)| *sound != "pau");
    let mut ends = Vec::new();
    for word in words(text).split(' ') {
        let alone = flite(&["-ps"], word).await?;
        let count = alone.split_whitespace().filter(|sound| *sound != "pau").count();
        let last =
            sounds.by_ref().take(count).last().with_context(|| format!("no sounds are left for {word}"))?;
        ends.push(Duration::from_secs_f64((last.1 - begin).max(0.0)));
    }
    Ok(ends)
}

async fn flite(options: &[&str], text: &str) -> anyhow::Result<String> {
    let mut command = Command::new("flite");
    command.args(["-voice", "rms", "-t", text, "-o", "none"]).args(options);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    Ok(String::from_utf8(timeout(LIMIT, output).await??.stdout)?)
}

struct Listener {
    carrier: Carrier,
    /// Clauses of the answer as they came: when each of their frames begins to sound, and whether it has sound.
    clauses: Vec<Vec<(Instant, bool)>>,
    is_between: bool,
    /// When the last frame that came is over.
    end: Instant,
}

impl Listener {
    fn audio(&mut self, now: Instant, bytes: &[u8]) {
        self.carrier.audio(now, bytes);
        if std::mem::take(&mut self.is_between) {
            self.clauses.push(Vec::new());
        }
        let clause = self.clauses.last_mut().expect("the first audio begins a clause");
        let mut at = self.end.max(now);
        let (frames, _) = bytes.as_chunks::<FRAME_SAMPLES>();
        for frame in frames {
            clause.push((at, mulaw::decode(frame).iter().any(|sample| sample.abs() > SOUND)));
            at += FRAME;
        }
        self.end = at;
    }

    fn begin_anew(&mut self) {
        self.clauses.clear();
        self.is_between = true;
    }

    /// How many words of the answer were over by now.
    fn heard(&self, now: Instant, truth: &[Vec<Duration>]) -> usize {
        let of_clause = |(clause, ends): (&Vec<(Instant, bool)>, &Vec<Duration>)| {
            let first = clause.iter().find(|(_, has_sound)| *has_sound)?.0;
            Some(ends.iter().filter(|end| first + **end <= now).count())
        };
        self.clauses.iter().zip(truth).filter_map(of_clause).sum()
    }
}

async fn interrupting(
    mut relay: voice_proto::relay::v1::relay_service_client::RelayServiceClient<tonic::transport::Channel>,
    question: Arc<Utterance>,
    truth: Arc<[Vec<Duration>; 2]>,
    mut random: fastrand::Rng,
) -> anyhow::Result<Vec<Interruption>> {
    let (requests, receiver) = mpsc::channel(64);
    let config = ConverseConfig {
        context: CONTEXT.to_owned(),
        answers_marks: true,
        wants_events: true,
        ..ConverseConfig::default()
    };
    requests.send(ConverseRequest { payload: Some(Sent::Config(config)) }).await?;
    let mut responses = relay.converse(ReceiverStream::new(receiver)).await?.into_inner();
    let begun = Instant::now();
    let mut listener =
        Listener { carrier: Carrier::default(), clauses: Vec::new(), is_between: true, end: begun };
    let silent = Near::silent();
    let mut ticks = interval(FRAME);
    let (mut next, mut speak_at) = (question.frames.len(), None::<Instant>);
    let (mut is_reply, mut cut_at) = (false, None::<usize>);
    // A reply that went on after an interruption goes on from another place than its books know.
    let mut is_repaired = false;
    let mut all = Vec::new();
    while all.len() < INTERRUPTIONS {
        ensure!(begun.elapsed() < LIMIT * 5, "only {} interruptions came about", all.len());
        tokio::select! {
            _ = ticks.tick() => {
                let now = Instant::now();
                for name in listener.carrier.reached(now) {
                    requests.send(mark(name)).await?;
                }
                if speak_at.is_some_and(|at| at <= now) {
                    (next, speak_at) = (0, None);
                }
                let near = question.frames.get(next).unwrap_or(&silent);
                next += 1;
                let bytes = mulaw::encode(&near.samples.map(|sample| f32::from(sample) / 32_768.0));
                let audio = CallerAudio { audio: bytes.into(), send_time: None };
                requests.send(ConverseRequest { payload: Some(Sent::Audio(audio)) }).await?;
            }
            response = responses.message() => {
                let now = Instant::now();
                match response?.and_then(|ConverseResponse { payload }| payload).context("the call is over")? {
                    Got::Audio(bytes) => listener.audio(now, &bytes),
                    Got::Mark(mark) => {
                        listener.is_between = true;
                        listener.carrier.mark(now, mark.name);
                    }
                    Got::Clear(_) => {
                        cut_at = (!is_repaired).then(|| listener.heard(now, &*truth));
                        listener.begin_anew();
                        listener.end = now;
                        for name in listener.carrier.clear(now) {
                            requests.send(mark(name)).await?;
                        }
                    }
                    Got::Event(event) => match event.event.context("an event without one")? {
                        Event::PlaybackStarted(started) if started.kind() == PlaybackKind::Reply && !is_reply => {
                            is_reply = true;
                            speak_at = Some(now + Duration::from_millis(random.u64(..6_000)));
                        }
                        // What ended unbroken is asked for again.
                        Event::PlaybackFinished(done)
                            if matches!(done.kind(), PlaybackKind::Greeting | PlaybackKind::Reply) =>
                        {
                            speak_at = Some(now + Duration::from_millis(300));
                            (is_reply, is_repaired) = (false, false);
                        }
                        Event::InterruptionRepaired(_) => {
                            (cut_at, is_repaired) = (None, true);
                            speak_at = Some(now + Duration::from_secs(1));
                        }
                        // What comes now is the answer; what came until now belongs to what was said before.
                        Event::SpeechEnded(_) => {
                            cut_at = None;
                            listener.begin_anew();
                        }
                        Event::PlaybackInterrupted(PlaybackInterrupted { kind, heard, .. })
                            if kind == i32::from(PlaybackKind::Reply) =>
                        {
                            // The event may overtake the order to fall silent.
                            let cut = cut_at.take().or_else(|| (!is_repaired).then(|| listener.heard(now, &*truth)));
                            if let Some(truth) = cut {
                                let told = words(&heard).split_whitespace().count();
                                all.push(Interruption { told, truth });
                            }
                            (is_reply, is_repaired) = (false, false);
                        }
                        _ => {}
                    },
                    Got::Started(_) => {}
                }
            }
        }
    }
    Ok(all)
}

fn mark(name: String) -> ConverseRequest {
    let mark = voice_proto::relay::v1::PlayoutMark { name };
    ConverseRequest { payload: Some(Sent::Mark(mark)) }
}
