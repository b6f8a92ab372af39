//! A turn with ports in memory.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use voice_audio::{Audio, wav};

use super::*;
use crate::{
    ports::{Need, Patience, Stretch, ToolUse, Transcribe, Work, Written},
    request::Piece,
};

const DEADLINE: Duration = Duration::from_secs(8);

/// Answers as it is told, and notes what it is asked.
#[derive(Default)]
struct World {
    recording: Vec<u8>,
    heard: Mutex<Vec<Result<Vec<Stretch>, TurnError>>>,
    written: Mutex<Vec<Vec<Result<String, TurnError>>>>,
    asked: Mutex<Vec<Vec<Message>>>,
    asks: Mutex<Vec<ToolCall>>,
    transcribed: Mutex<Vec<Duration>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recordings for World {
    fn fetch<'a>(&'a self, url: &'a str, _: Instant) -> Work<'a, Result<Bytes, TurnError>> {
        let found = if url == "missing" {
            Err(TurnError::fatal("RECORDING_MISSING", "no"))
        } else {
            Ok(Bytes::from(self.recording.clone()))
        };
        Box::pin(async move { found })
    }
}

impl Transcribe for World {
    fn transcribe<'a>(
        &'a self,
        wav: Bytes,
        _: Option<&'a str>,
        _: Duration,
        _: Need,
    ) -> Work<'a, Result<Vec<Stretch>, TurnError>> {
        let duration = wav::read(&wav).unwrap().duration();
        lock(&self.transcribed).push(duration);
        let mut script = lock(&self.heard);
        // Recordings are transcribed side by side, in no order: without a script each says how long it is.
        let answer = if script.is_empty() { Ok(heard(&format!("{duration:?}"))) } else { script.remove(0) };
        Box::pin(async move { answer })
    }
}

impl Reply for World {
    fn reply<'a>(
        &'a self,
        conversation: &'a Conversation,
        _: Patience,
    ) -> Work<'a, Result<stream::BoxStream<'static, Result<Written, TurnError>>, TurnError>> {
        lock(&self.asked).push(conversation.messages.clone());
        let mut pieces: Vec<_> =
            lock(&self.written).remove(0).into_iter().map(|piece| piece.map(Written::Words)).collect();
        pieces.extend(lock(&self.asks).drain(..).map(|call| Ok(Written::Asked(call))));
        Box::pin(async move { Ok(stream::iter(pieces).boxed()) })
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<Progress>>);

impl Listener for Notes {
    async fn tell(&self, progress: Progress) {
        lock(&self.0).push(progress);
    }
}

fn speech(seconds: f32) -> Vec<u8> {
    let voice = |n: usize| 0.3 * (n as f32 * 0.4).sin();
    let samples = (0..(seconds * 8_000.0) as usize).map(|n| if n < 8_000 { 0.0 } else { voice(n) }).collect();
    wav::write_pcm16(&Audio { samples, sample_rate_hertz: 8_000 })
}

fn heard(text: &str) -> Vec<Stretch> {
    vec![Stretch { text: text.into(), ..Stretch::default() }]
}

fn request() -> TurnRequest {
    TurnRequest {
        pieces: vec![Piece { url: "r".into(), speech_start: Duration::from_secs(1) }],
        earlier_text: String::new(),
        history: Vec::new(),
        prompt: "Be brief.".into(),
        tools: Vec::new(),
        language: Some("en".into()),
        deadline: None,
        answered_text: String::new(),
        wants_bare_reply: false,
    }
}

async fn turn(world: World, request: TurnRequest) -> (Result<Outcome, TurnError>, Vec<Progress>, Arc<World>) {
    let world = Arc::new(world);
    let ports = Ports {
        recordings: world.clone(),
        transcoder: Transcoder::native(),
        recogniser: Recogniser::new(world.clone(), false),
        reply: world.clone(),
    };
    let notes = Notes::default();
    let (mut request, deadline) = (request, Instant::now() + DEADLINE);
    let (pieces, language) = (std::mem::take(&mut request.pieces), request.language.clone());
    let said = listen::to_recordings(&ports, pieces, language.as_deref(), deadline, &notes);
    let result = run(&ports, Box::new(request), said, deadline, &notes).await;
    (result, notes.0.into_inner().unwrap_or_default(), world)
}

fn world(
    stretches: Vec<Result<Vec<Stretch>, TurnError>>,
    written: Vec<Vec<Result<String, TurnError>>>,
) -> World {
    World {
        recording: speech(3.0),
        heard: Mutex::new(stretches),
        written: Mutex::new(written),
        ..World::default()
    }
}

/// Hears this, and answers "Hi."
fn world_of(text: &str) -> World {
    world(vec![Ok(heard(text))], vec![vec![Ok("Hi.".into())]])
}

#[tokio::test]
async fn a_recording_is_cut_understood_and_answered() {
    let pieces = vec![Ok("Hi ".to_owned()), Ok("there.".to_owned())];
    let (result, notes, world) = turn(world(vec![Ok(heard(" Hello."))], vec![pieces]), request()).await;
    assert_eq!(
        result.unwrap(),
        Outcome { transcript: "Hello.".into(), reply: "Hi there.".into(), tool_calls: Vec::new() }
    );
    assert!(
        matches!(&notes[..], [Progress::Fetched { .. }, Progress::Transcript { .. }, Progress::ReplyDelta { text }] if text == "Hi there.")
    );
    assert_eq!(lock(&world.transcribed)[0], Duration::from_millis(2_500), "cut half a second before speech");
}

#[tokio::test]
async fn silence_and_phantoms_are_nothing_said_and_cost_no_reply() {
    let silent = World { recording: wav::write_mulaw(&[0xFF; 16_000]), ..World::default() };
    let (result, _, asked) = turn(silent, request()).await;
    assert_eq!((result.unwrap(), lock(&asked.transcribed).len()), (Outcome::default(), 0));
    let phantom = Stretch { text: "Thank you.".into(), no_speech: Some(0.4), ..Stretch::default() };
    let (result, ..) = turn(world(vec![Ok(vec![phantom])], vec![]), request()).await;
    assert_eq!(result.unwrap(), Outcome::default());
}

#[tokio::test]
async fn what_is_answered_already_is_only_confirmed() {
    let answered = || TurnRequest { answered_text: "hello um there".into(), ..request() };
    let (result, notes, world) = turn(world(vec![Ok(heard("Hello there."))], vec![]), answered()).await;
    assert_eq!(result.unwrap(), Outcome { transcript: "Hello there.".into(), ..Outcome::default() });
    assert!(matches!(notes.last(), Some(Progress::Transcript { .. })));
    assert_eq!(lock(&world.asked).len(), 0, "no reply is asked for");
    let other = world_of("Hello, bear.");
    assert_eq!(turn(other, answered()).await.0.unwrap().reply, "Hi.");
}

#[tokio::test]
async fn earlier_words_and_earlier_recordings_make_one_message() {
    let mut both = request();
    both.earlier_text = "I want".into();
    both.pieces.insert(0, Piece { url: "earlier".into(), speech_start: Duration::ZERO });
    let (result, _, world) = turn(world(vec![], vec![vec![Ok("Gladly.".into())]]), both).await;
    assert_eq!(result.unwrap().transcript, "I want 3s 2.5s");
    assert_eq!(lock(&world.asked)[0].len(), 1);
}

#[tokio::test]
async fn one_quick_failure_is_tried_again_and_a_broken_reply_is_not() {
    let passing = || TurnError::passing("STT_UNAVAILABLE", "500");
    let (result, ..) =
        turn(world(vec![Err(passing()), Ok(heard("Hello."))], vec![vec![Ok("Hi.".into())]]), request()).await;
    assert_eq!(result.unwrap().reply, "Hi.");
    let broken = vec![Ok("Hi".to_owned()), Err(TurnError::passing("LLM_TRUNCATED", "cut"))];
    let (result, ..) = turn(world(vec![Ok(heard("Hello."))], vec![broken]), request()).await;
    assert_eq!(result.unwrap_err().reason, "LLM_TRUNCATED");
    let waits = TurnError { retry_after: Some(Duration::from_secs(30)), ..passing() };
    let (result, ..) = turn(world(vec![Err(waits)], vec![]), request()).await;
    assert_eq!(result.unwrap_err().reason, "STT_UNAVAILABLE");
}

#[tokio::test]
async fn what_cannot_be_fetched_or_decoded_says_so() {
    let missing = TurnRequest {
        pieces: vec![Piece { url: "missing".into(), speech_start: Duration::ZERO }],
        ..request()
    };
    let (result, ..) = turn(world(vec![], vec![]), missing).await;
    assert_eq!(result.unwrap_err().reason, "RECORDING_MISSING");
    let junk = World { recording: b"<html>".to_vec(), ..World::default() };
    let (result, ..) = turn(junk, request()).await;
    assert_eq!(result.unwrap_err().reason, "RECORDING_NOT_AUDIO");
    let (result, ..) = turn(world(vec![Ok(heard("Hello."))], vec![vec![]]), request()).await;
    assert_eq!(result.unwrap_err().reason, "LLM_EMPTY");
}

#[tokio::test]
async fn what_the_model_asks_for_is_told_and_its_result_is_answered_without_a_word_of_the_caller() {
    let call = ToolCall { id: "1".into(), name: "order_status".into(), arguments: "{}".into() };
    let asking =
        World { asks: Mutex::new(vec![call.clone()]), ..world(vec![Ok(heard("Hello."))], vec![vec![]]) };
    let (result, ..) = turn(asking, request()).await;
    let outcome = result.unwrap();
    assert_eq!((outcome.reply.as_str(), outcome.tool_calls), ("", vec![call.clone()]));
    let mut told = Message::said(Speaker::Assistant, "");
    told.tools = vec![ToolUse { call, result: "{}".into() }];
    let history = vec![Message::said(Speaker::User, "Hello."), told];
    let (result, _, asked) = turn(world_of(""), TurnRequest { pieces: vec![], history, ..request() }).await;
    assert_eq!(result.unwrap().reply, "Hi.");
    assert_eq!(lock(&asked.asked)[0].len(), 2);
}
