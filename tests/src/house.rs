//! The house itself: who may depend on what, and documents that would otherwise drift from the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use voice_server::config::Env;

/// Which crates of this workspace a crate may name. Services never name each other; the call core knows only words;
/// the simulators share nothing with the clients that are tested against them.
const ARROWS: [(&str, &[&str]); 20] = [
    (
        "relay",
        &[
            "audio",
            "call",
            "clips",
            "jobs",
            "ledger",
            "proto",
            "server",
            "signalwire",
            "speech",
            "transcode",
            "webhook",
        ],
    ),
    ("worker", &["audio", "groq", "jobs", "proto", "quota", "server", "signalwire", "speech", "transcode"]),
    ("tts", &["audio", "clips", "groq", "proto", "quota", "server", "speech", "transcode"]),
    ("gateway", &["clips", "proto", "server"]),
    ("voice-call", &["speech"]),
    ("voice-audio", &[]),
    ("voice-clips", &[]),
    ("voice-groq", &[]),
    ("voice-jobs", &["redis"]),
    ("voice-ledger", &["redis"]),
    ("voice-proto", &[]),
    ("voice-quota", &["redis"]),
    ("voice-redis", &[]),
    ("voice-server", &[]),
    ("voice-signalwire", &[]),
    ("voice-sim", &["audio"]),
    ("voice-speech", &[]),
    ("voice-transcode", &["audio"]),
    ("voice-webhook", &[]),
    ("tests", &["audio", "proto"]),
];

/// Libraries that have one place: the crates that may name them.
const PLACES: [(&str, &[&str]); 10] = [
    ("deadpool", &["voice-jobs", "voice-redis"]),
    ("deadpool-redis", &["voice-jobs", "voice-ledger", "voice-quota", "voice-redis"]),
    ("tokio-tungstenite", &["bench", "voice-signalwire", "voice-sim"]),
    ("reqwest", &["voice-groq", "voice-signalwire", "voice-sim", "voice-webhook", "tests"]),
    ("rodio", &["voice-audio"]),
    ("rubato", &["voice-audio"]),
    ("rten", &["tts"]),
    ("object_store", &["voice-clips"]),
    ("axum", &["gateway", "voice-sim"]),
    ("prost", &["voice-proto"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Direct dependencies of every crate of the workspace, without those of its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap().iter();
            let normal = all.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn arrows_between_crates_point_where_they_may() {
    let dependencies = dependencies();
    let ours: BTreeSet<&String> = dependencies.keys().collect();
    for (name, allowed) in ARROWS {
        let named = dependencies[name].iter().filter(|dependency| ours.contains(dependency));
        for dependency in named {
            let short = dependency.strip_prefix("voice-").unwrap_or(dependency);
            assert!(allowed.contains(&short), "{name} may not name {dependency}");
        }
    }
    let told: BTreeSet<_> = ARROWS.map(|(name, _)| name).into_iter().chain(["bench"]).collect();
    assert_eq!(ours.iter().map(|name| name.as_str()).collect::<BTreeSet<_>>(), told);
}

#[test]
fn libraries_with_one_place_stay_there() {
    for (library, places) in PLACES {
        let naming = dependencies().into_iter().filter(|(_, all)| all.contains(library));
        let naming: BTreeSet<_> = naming.map(|(name, _)| name).collect();
        assert_eq!(naming, places.iter().map(|name| (*name).to_owned()).collect(), "{library}");
    }
}

/// Every variable that a service asks for when nothing is set.
fn asked(read: impl FnOnce(Env)) -> BTreeSet<String> {
    let names: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let sink = names.clone();
    read(Env::new(move |name| {
        sink.lock().unwrap().insert(name.to_owned());
        None
    }));
    names.lock().unwrap().clone()
}

/// The table of `docs/configuration.md`: services by variable.
pub(crate) fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once('`').unwrap();
        let services = rest.split('|').nth(2).unwrap().split(',');
        (name.to_owned(), services.map(|service| service.trim().to_owned()).collect())
    })
    .collect()
}

#[test]
fn the_table_of_settings_names_every_setting_and_who_reads_it() {
    let mut read: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let services = [
        ("relay", asked(|env| drop(relay::Config::from_env(env)))),
        ("worker", asked(|env| drop(worker::Config::from_env(env)))),
        ("tts", asked(|env| drop(tts::Config::from_env(env)))),
        ("gateway", asked(|env| drop(gateway::Config::from_env(env)))),
    ];
    for (service, names) in services {
        for name in names {
            read.entry(name).or_default().insert(service.to_owned());
        }
    }
    assert_eq!(documented(), read);
}
