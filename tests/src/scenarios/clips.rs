//! Clips from making to serving, and what is made before anybody calls.

use std::{
    net::TcpStream,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use voice_clips::{Clips, Location};
use voice_proto::{
    relay::v1::{PlaybackStarted, PlayedClip},
    tts::v1::{Clip, CreateClipRequest, CreateClipResponse},
};

use super::*;
use crate::{
    child::{Child, Spec},
    mesh::eventually,
    phone::loopback_client,
    ports::free_port,
};

/// As long as a filler may be, so that the recording door plays it to its end.
const LONGEST_FILLER: Duration = Duration::from_millis(1_200);

async fn create(mesh: &Mesh, text: &str, language: &str) -> (Clip, bool) {
    let request = CreateClipRequest {
        text: text.to_owned(),
        language: language.to_owned(),
        ..CreateClipRequest::default()
    };
    let made = mesh.tts().await.unwrap().create_clip(request).await.unwrap().into_inner();
    let CreateClipResponse { clip, is_cached, is_fallback: _ } = made;
    (clip.unwrap(), is_cached)
}

async fn status(url: &str) -> u16 {
    loopback_client().get(url).send().await.unwrap().status().as_u16()
}

/// The clips of a mesh's store, as its services see them.
fn store(mesh: &Mesh) -> Clips {
    Clips::open(&mesh.env("CLIP_STORE_URL"), &mesh.env("VOICE_SECRET_KEY").into()).unwrap()
}

/// What the provider was asked to say, in order.
async fn said(mesh: &Mesh) -> Vec<String> {
    let requests = mesh.groq.requests().await.unwrap();
    let speech = requests.into_iter().filter(|request| request["endpoint"] == "tts");
    speech.map(|request| request["input"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn clips_survive_a_restart_of_tts_and_gateway() {
    let mut mesh = mesh(Options::default()).await;
    let (made, is_cached) = create(&mesh, "Hello again.", "").await;
    assert!(!is_cached);
    let bytes = loopback_client().get(&made.uri).send().await.unwrap().bytes().await.unwrap();
    for service in ["tts", "gateway"] {
        mesh.restart(service).await.unwrap();
    }
    let again = loopback_client().get(&made.uri).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.bytes().await.unwrap()), (200, bytes));
    assert_eq!(create(&mesh, "Hello again.", "").await, (made, true));
    assert_eq!(said(&mesh).await.iter().filter(|text| *text == "Hello again.").count(), 1);
}

#[tokio::test]
async fn what_nobody_used_for_long_expires_and_what_is_in_use_stays_beyond_every_limit() {
    let mut mesh = mesh(Options::default().with("CLIP_MAX_MB", 4)).await;
    let (used, _) = create(&mesh, "Hello again.", "").await;
    let (clips, folder) = (store(&mesh), mesh.folder.join("clips"));
    let fill = |name: &str, age: Duration| {
        let name = clips.name_for(name, "", "", "");
        let file = std::fs::File::create(folder.join(&name)).unwrap();
        // Two are too many, and one is not, whatever else has been made until then.
        file.set_len(3_000_000).unwrap();
        file.set_modified(std::fs::metadata(folder.join(&used.filename)).unwrap().modified().unwrap() - age)
            .unwrap();
        name
    };
    let day = Duration::from_hours(24);
    let old = fill("expired", day * 31);
    let (less, least) = (fill("used yesterday", day), fill("used two days ago", day * 2));
    let ancient = folder.join("notes.txt");
    std::fs::write(&ancient, "no clip").unwrap();
    std::fs::File::options().write(true).open(&ancient).unwrap().set_modified(UNIX_EPOCH).unwrap();
    mesh.restart("tts").await.unwrap();
    eventually(LIMIT, "the sweep", async || {
        let is_gone = |name: &str| !folder.join(name).exists();
        (is_gone(&old) && is_gone(&least)).then_some(())
    })
    .await
    .unwrap();
    let url = |name: &str| format!("{}/audio/{name}", mesh.address("gateway"));
    assert_eq!(status(&url(&old)).await, 410);
    assert_eq!(status(&url(&old.replace('a', "b"))).await, 404, "never existed");
    assert_eq!((status(&url(&less)).await, status(&used.uri).await), (200, 200));
    assert!(ancient.exists());
    // Fetching has made it one in use.
    eventually(LIMIT, "the use to be written down", async || {
        let age = std::fs::metadata(folder.join(&less)).ok()?.modified().ok()?.elapsed().ok()?;
        (age < Duration::from_hours(1)).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_whole_mesh_keeps_its_clips_in_an_s3_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/moto_server");
    if !program.exists() {
        eprintln!("SKIPPED: moto is not installed, so no S3 server was asked; run `make setup`");
        return;
    }
    let port = free_port().unwrap();
    let args = ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
    let folder = folder.path();
    let spec = Spec { name: "s3", program: &program, args: &args, env: &[], folder, announces: false };
    let _server = Child::start(spec).await.unwrap();
    eventually(LIMIT, "the S3 server", async || TcpStream::connect(("127.0.0.1", port)).ok()).await.unwrap();
    let endpoint = format!("http://127.0.0.1:{port}");
    loopback_client().put(format!("{endpoint}/clips")).send().await.unwrap().error_for_status().unwrap();
    let url = format!("s3://clips/voices?endpoint={endpoint}");
    let keys = [("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "something")];
    let options =
        keys.iter().fold(Options::default().with("CLIP_STORE_URL", &url), |all, (k, v)| all.with(k, v));
    let mut mesh = mesh(options).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
    let (made, _) = create(&mesh, "Hello again.", "").await;
    mesh.restart("tts").await.unwrap();
    mesh.restart("gateway").await.unwrap();
    assert_eq!(status(&made.uri).await, 200);
    assert_eq!(create(&mesh, "Hello again.", "").await, (made.clone(), true));
    let location = Location::read(|name| match name {
        "CLIP_STORE_URL" => Some(url.clone()),
        other => keys.iter().find(|(key, _)| *key == other).map(|(_, value)| (*value).to_owned()),
    });
    let clips = location.open(&mesh.env("VOICE_SECRET_KEY").into()).unwrap();
    assert!(clips.get(&made.filename).await.unwrap().starts_with(b"RIFF"));
    let never = clips.name_for("never", "", "", "");
    assert_eq!(status(&format!("{}/audio/{never}", mesh.address("gateway"))).await, 410);
}

#[tokio::test]
async fn what_assistants_say_is_made_at_start_the_most_important_first_and_only_once() {
    let mut mesh = mesh(Options::default()).await;
    let phrases = voice_call::Phrases::default();
    let count = 5 + phrases.fillers.len();
    let made = eventually(LIMIT, "all phrases", async || {
        let made = said(&mesh).await;
        (made.len() == count).then_some(made)
    })
    .await
    .unwrap();
    assert_eq!(made[..3], [phrases.greeting.clone(), phrases.apology.clone(), phrases.fillers[0].clone()]);
    mesh.restart("relay").await.unwrap();
    let (caller, mut watch) = greeted(&mesh).await;
    let clips = watch.seen.iter().find_map(|event| match &event.event {
        Some(Event::PlaybackStarted(PlaybackStarted { clips, .. })) => Some(clips.clone()),
        _ => None,
    });
    assert_eq!(clips.unwrap(), [PlayedClip { engine: "groq".to_owned(), is_cached: true }]);
    // A filler, which is asked for after the greeting, is there too: nothing was made again.
    mesh.groq.faults(json!({ "stt": { "kind": "hang" } })).await.unwrap();
    caller.say(QUESTION).await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Filler)).await.unwrap();
    assert_eq!(said(&mesh).await.len(), count);
}

#[tokio::test]
async fn events_say_who_speaks_when_an_engine_or_all_of_tts_is_lost() {
    let mut mesh = mesh(Options::default()).await;
    let (caller, mut watch) = greeted(&mesh).await;
    mesh.groq.faults(json!({ "tts": { "kind": "status", "status": 500 } })).await.unwrap();
    let engines = |watch: &Watch| -> Vec<String> {
        let playbacks = watch.seen.iter().filter_map(|event| match &event.event {
            Some(Event::PlaybackStarted(started)) if started.kind() == PlaybackKind::Reply => Some(started),
            _ => None,
        });
        playbacks.flat_map(|started| &started.clips).map(|clip| clip.engine.clone()).collect()
    };
    ask(&caller, &mut watch).await;
    assert!(engines(&watch).iter().all(|engine| engine == "espeak-ng"), "{:?}", engines(&watch));
    mesh.child("tts").kill().await.unwrap();
    ask(&caller, &mut watch).await;
    assert_eq!(engines(&watch).last().map(String::as_str), Some("platform"));
}

#[tokio::test]
async fn every_filler_is_short_by_every_engine_that_there_is() {
    let mut mesh = Mesh::start(Options::default()).await.unwrap();
    // Its phrases would take of the provider's time.
    mesh.child("relay").kill().await.unwrap();
    let (mut spoken, mut wrong) = (0, Vec::new());
    for (engine, fault) in [("groq", Value::Null), ("espeak-ng", json!({ "kind": "status", "status": 500 }))]
    {
        mesh.groq.faults(json!({ "tts": fault })).await.unwrap();
        // The simulated provider's voice (flite) speaks English alone; espeak-ng speaks them all.
        let languages =
            voice_call::filler_languages().filter(|language| engine != "groq" || *language == "en");
        for language in languages {
            for text in voice_call::fillers(language) {
                // Another language tag gives another clip, so that the fallback really speaks.
                let tag = format!("{language}-{}", if engine == "groq" { "US" } else { "GB" });
                // A provider that is late is passed over, and asked again the next time.
                let what = format!("\"{text}\" in {tag} by {engine}");
                let made =
                    async || Some(create(&mesh, &text, &tag).await.0).filter(|clip| clip.engine == engine);
                let clip = eventually(LIMIT, &what, made).await.unwrap();
                let duration = Duration::try_from(clip.play_duration.unwrap()).unwrap();
                if !(Duration::from_millis(200)..=LONGEST_FILLER).contains(&duration) {
                    wrong.push(format!("\"{text}\" by {engine} takes {duration:?}"));
                }
                spoken += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(spoken >= 40, "only {spoken} were spoken");
}
