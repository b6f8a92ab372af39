//! Calls that go well, and calls that do not.

mod access;
mod cancelling;
mod clients;
mod clips;
mod conversation;
mod converse;
mod crashes;
mod dialling;
mod edges;
mod faults;
mod golden;
mod handover;
mod job_edges;
mod jobs;
mod line;
mod lines;
mod links;
mod media;
mod media_clients;
mod outbound;
mod passed_on;
mod poison;
mod restarts;
mod sdk_celery;
mod sdk_groq;
mod sdk_signalwire;
mod several;
mod soak;
mod speech;
mod streamed;
mod streams;
mod tls;
mod tools;
mod transcribe;
mod unreadable;

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;
use voice_proto::relay::v1::{Activity, PlaybackKind, TranscriptSource, call_event::Event};

use crate::{
    mesh::{CONTEXT, Mesh, Options, Watch, eventually},
    phone::Caller,
};

/// Generous: machines here are shared.
const LIMIT: Duration = Duration::from_secs(90);

const QUESTION: &str = "what are your opening hours";
const ANSWER: &str = "We are open from nine to six. On sunday we are closed.";
/// One that leaves time to speak over it.
const LONG_ANSWER: &str = "We are open from nine to six from monday to friday. On saturday we close at two in the \
    afternoon. On sunday we are closed all day.";

/// A program of the Python environment of the SDKs, in their folder.
fn python(program: &str) -> Command {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    let program = sdk.join("../../.venv/bin").join(program);
    assert!(program.exists(), "the SDKs are not installed: run `make setup`");
    let mut command = Command::new(program);
    command.current_dir(sdk).env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A mesh whose provider hears one question, whatever is said, and knows one answer.
async fn mesh(options: Options) -> Mesh {
    let canned = ["--stt".to_owned(), format!("canned={QUESTION}"), "--tts".to_owned(), "canned".to_owned()];
    let groq_args = canned.into_iter().chain(options.groq_args).collect();
    let mesh = Mesh::start(Options { groq_args, ..options }).await.unwrap();
    mesh.groq.script(&[(QUESTION, ANSWER)]).await.unwrap();
    mesh
}

/// A call whose greeting has been heard.
async fn greeted(mesh: &Mesh) -> (Caller, Watch) {
    let (caller, mut watch) = rung(mesh).await;
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    (caller, watch)
}

/// A call that has just come in.
async fn rung(mesh: &Mesh) -> (Caller, Watch) {
    let before = mesh.newest_call_now().await;
    let caller = mesh.phone.ring(CONTEXT).await.unwrap();
    let call_id = eventually(LIMIT, "the call that rings", async || {
        mesh.newest_call_now().await.filter(|newest| Some(newest) != before.as_ref())
    });
    let watch = mesh.watch(&call_id.await.unwrap()).await.unwrap();
    (caller, watch)
}

/// Asks, and waits until the whole answer has been heard.
async fn ask(caller: &Caller, watch: &mut Watch) {
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, transcript).await.unwrap();
    watch.until(LIMIT, listening).await.unwrap();
}

fn started(kind: PlaybackKind) -> impl FnMut(&Event) -> Option<String> {
    move |event| match event {
        Event::PlaybackStarted(playback) if playback.kind() == kind => Some(playback.text.clone()),
        _ => None,
    }
}

fn finished(kind: PlaybackKind) -> impl FnMut(&Event) -> Option<()> {
    move |event| match event {
        Event::PlaybackFinished(playback) if playback.kind() == kind => Some(()),
        _ => None,
    }
}

fn transcript(event: &Event) -> Option<String> {
    match event {
        Event::Transcript(words) if words.source() == TranscriptSource::Worker => Some(words.text.clone()),
        _ => None,
    }
}

fn thinking(event: &Event) -> Option<()> {
    matches!(event, Event::StateChanged(change) if change.activity() == Activity::Thinking).then_some(())
}

fn listening(event: &Event) -> Option<()> {
    matches!(event, Event::StateChanged(change) if change.activity() == Activity::Listening).then_some(())
}

fn failed(event: &Event) -> Option<String> {
    match event {
        Event::TurnFailed(failed) => Some(failed.reason.clone()),
        _ => None,
    }
}

/// Every reply that was played, once for each time.
fn replies(watch: &Watch) -> Vec<String> {
    let texts =
        watch.seen.iter().filter_map(|event| event.event.as_ref().and_then(started(PlaybackKind::Reply)));
    texts.collect()
}
