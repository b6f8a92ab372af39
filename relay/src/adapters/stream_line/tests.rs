//! A line between a session and a peer that are played here, on a clock that stands still while nobody waits.

use std::{
    process::Command,
    sync::{Arc, Mutex},
};

use futures::StreamExt as _;
use tokio::task::JoinSet;
use voice_audio::{mulaw, wav};
use voice_call::UtteranceId;

use super::*;
use crate::{
    leg::{Delivery, Outgoing, outbox},
    media::MediaDesk,
    sound::{FRAME, LiveClip},
};

/// A sentence as a telephone carries it.
pub(super) fn voice(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voice.wav");
    let made = Command::new("flite").args(["-voice", "slt", "-t", text, "-o"]).arg(&file).status().unwrap();
    assert!(made.success());
    let audio = wav::read(&std::fs::read(file).unwrap()).unwrap();
    let samples = voice_audio::resample::resample(&audio.samples, audio.sample_rate_hertz, 8_000);
    let mut bytes = mulaw::encode(&samples);
    bytes.truncate(bytes.len() / 160 * 160);
    bytes
}

/// The idle noise of a line.
pub(super) fn silence(millis: usize) -> Vec<u8> {
    (0..millis * 8).map(|n| if n % 7 == 0 { 0xFE } else { 0xFF }).collect()
}

/// The other end of a leg.
struct Peer {
    events: mpsc::Sender<LegEvent>,
    got: Got,
    reader: JoinSet<()>,
}

type Got = Arc<Mutex<Vec<Result<Outgoing, Error>>>>;

fn leg() -> (Leg, Peer) {
    let (events, mut received) = mpsc::channel::<LegEvent>(4_096);
    let (outbox, delivery) = outbox();
    let stream = async_stream::stream! {
        while let Some(event) = received.recv().await {
            yield event;
        }
    };
    let leg = Leg { format: AudioFormat::Mulaw, answers_marks: false, events: stream.boxed(), outbox };
    let got = Got::default();
    let mut reader = JoinSet::new();
    reader.spawn(read(delivery, got.clone()));
    (leg, Peer { events, got, reader })
}

async fn read(mut delivery: Delivery, got: Got) {
    while let Some(item) = delivery.next().await {
        got.lock().unwrap().push(item);
    }
}

impl Peer {
    /// Says something in real time.
    async fn say(&self, audio: &[u8]) {
        for frame in audio.chunks(160) {
            self.events.send(LegEvent::Audio(Bytes::copy_from_slice(frame))).await.unwrap();
            tokio::time::sleep(FRAME).await;
        }
    }

    /// What has come since this was last asked.
    fn got(&self) -> Vec<Result<Outgoing, Error>> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }

    /// All that still comes, to the end of the leg.
    async fn rest(&mut self) -> Vec<Result<Outgoing, Error>> {
        self.reader.join_next().await.unwrap().unwrap();
        self.got()
    }
}

struct Rig {
    line: Line,
    tasks: JoinSet<()>,
}

impl Rig {
    fn new(leg: Leg, place: Option<MediaPlace>) -> Self {
        let (line, work) = open(leg, place, now());
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        Self { line, tasks }
    }

    async fn tell(&self, command: LineCommand) {
        self.line.commands.send(command).await.unwrap();
    }

    /// The next event; paused time passes until there is one.
    async fn next(&mut self) -> LineEvent {
        self.line.events.recv().await.expect("the line is there")
    }

    async fn until(&mut self, wanted: impl Fn(&LineEvent) -> bool) -> LineEvent {
        loop {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    fn told(&mut self) -> Vec<LineEvent> {
        std::iter::from_fn(|| self.line.events.try_recv().ok()).collect()
    }
}

fn clip(millis: usize) -> Sound {
    Sound::Live(LiveClip::whole(AudioFormat::Mulaw, vec![1; 8 * millis].into(), "groq"))
}

fn play(playback: u32, millis: usize) -> LineCommand {
    LineCommand::Play { playback: PlaybackId(playback), sounds: vec![clip(millis)], skip: Duration::ZERO }
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_heard_and_his_utterance_ends_when_the_call_says_so() {
    let (leg, peer) = leg();
    let mut rig = Rig::new(leg, None);
    rig.tell(LineCommand::Answer).await;
    assert!(matches!(rig.next().await, LineEvent::Call(Event::Answered)));
    rig.tell(LineCommand::Listen).await;
    peer.say(&[silence(300), voice("what are your opening hours"), silence(200)].concat()).await;
    let told = rig.told();
    assert!(matches!(told[0], LineEvent::Call(Event::SpeechStarted)), "{told:?}");
    let LineEvent::UtteranceOpened { utterance, .. } = &told[1] else { panic!("{told:?}") };
    assert_eq!(*utterance, UtteranceId(1));
    let Some(LineEvent::Call(Event::SpeechPaused { silent_since, .. })) = told.last() else {
        panic!("{told:?}")
    };
    assert!(now() - *silent_since >= Duration::from_millis(100));
    rig.tell(LineCommand::EndUtterance).await;
    assert!(matches!(rig.next().await, LineEvent::Call(Event::SpeechEnded)));
    let ended = rig.next().await;
    assert!(
        matches!(ended, LineEvent::Call(Event::UtteranceEnded { utterance: UtteranceId(1) })),
        "{ended:?}"
    );
    drop(peer);
    assert!(matches!(rig.next().await, LineEvent::Call(Event::HungUp)), "closing the requests is hanging up");
}

#[tokio::test(start_paused = true)]
async fn speech_over_the_assistant_tells_how_much_of_it_was_heard() {
    let (leg, peer) = leg();
    let mut rig = Rig::new(leg, None);
    rig.tell(LineCommand::Listen).await;
    rig.tell(play(1, 10_000)).await;
    peer.say(&[silence(1_000), voice("excuse me please stop")].concat()).await;
    let told = rig.told();
    let started = told.iter().position(|event| matches!(event, LineEvent::Call(Event::SpeechStarted)));
    let LineEvent::Call(Event::PlaybackReached { playback: PlaybackId(1), position }) =
        &told[started.unwrap() - 1]
    else {
        panic!("{told:?}")
    };
    assert!((1_000..1_800).contains(&(position.as_millis() as u64)), "{position:?}");
    rig.tell(LineCommand::Stop { playback: PlaybackId(1) }).await;
    rig.until(|event| matches!(event, LineEvent::Call(Event::PlaybackFinished { .. }))).await;
    tokio::task::yield_now().await;
    assert!(matches!(peer.got().last(), Some(Ok(Outgoing::Clear))));
}

#[tokio::test(start_paused = true)]
async fn hanging_up_lets_what_was_said_be_heard() {
    let (leg, mut peer) = leg();
    let mut rig = Rig::new(leg, None);
    rig.tell(play(1, 1_000)).await;
    let begun = now();
    rig.until(|event| matches!(event, LineEvent::Call(Event::PlaybackFinished { .. }))).await;
    rig.tell(LineCommand::HangUp).await;
    rig.until(|event| matches!(event, LineEvent::Call(Event::HungUp))).await;
    assert!(now() - begun >= Duration::from_secs(1), "{:?}", now() - begun);
    let got = peer.rest().await;
    assert!(got.iter().all(|item| !matches!(item, Ok(Outgoing::Clear) | Err(_))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_told_so_and_the_call_ends() {
    let (leg, mut peer) = leg();
    let mut rig = Rig::new(leg, None);
    assert!(matches!(rig.next().await, LineEvent::Call(Event::LineFailed)));
    assert!(matches!(peer.rest().await.last(), Some(Err(Error::IdleTimeout))));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_come_ends_the_call_with_its_reason() {
    let (leg, mut peer) = leg();
    let mut rig = Rig::new(leg, None);
    peer.events.send(LegEvent::Refused(Error::RepeatedConfig)).await.unwrap();
    assert!(matches!(rig.next().await, LineEvent::Call(Event::LineFailed)));
    assert!(matches!(peer.rest().await.last(), Some(Err(Error::RepeatedConfig))));
}

#[tokio::test(start_paused = true)]
async fn audio_that_comes_faster_than_it_is_spoken_is_dropped() {
    let (leg, peer) = leg();
    let mut rig = Rig::new(leg, None);
    rig.tell(LineCommand::Listen).await;
    tokio::time::sleep(FRAME).await;
    for frame in [silence(10_000), voice("hello"), silence(300)].concat().chunks(160) {
        peer.events.send(LegEvent::Audio(Bytes::copy_from_slice(frame))).await.unwrap();
    }
    tokio::time::sleep(FRAME).await;
    assert!(rig.told().is_empty(), "the voice was beyond what is taken at once");
}

#[tokio::test(start_paused = true)]
async fn a_broken_leg_is_replaced_and_the_call_goes_on_where_it_was() {
    let desk = Arc::new(MediaDesk::new("only for tests".into(), String::new()));
    let (first, before) = leg();
    let mut rig = Rig::new(first, Some(desk.place("call")));
    rig.tell(play(1, 2_000)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    before.events.send(LegEvent::Broken).await.unwrap();
    rig.until(|event| matches!(event, LineEvent::Degraded("LINE_LOST"))).await;
    assert!(frames(&before) <= 60);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (second, after) = leg();
    desk.hand_over("call", second).unwrap();
    rig.until(|event| matches!(event, LineEvent::Degraded("LINE_RESTORED"))).await;
    rig.until(|event| matches!(event, LineEvent::Call(Event::PlaybackFinished { .. }))).await;
    assert!((48..=52).contains(&frames(&after)), "the second half of what was being said");
    after.events.send(LegEvent::Broken).await.unwrap();
    let broken = now();
    rig.until(|event| matches!(event, LineEvent::Call(Event::LineFailed))).await;
    assert!(now() - broken >= RECONNECT);
    drop(rig.line.commands);
    assert!(rig.tasks.join_next().await.unwrap().is_ok());
}

fn frames(peer: &Peer) -> usize {
    peer.got().iter().filter(|item| matches!(item, Ok(Outgoing::Audio(_)))).count()
}
