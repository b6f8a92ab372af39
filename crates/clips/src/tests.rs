//! One contract, for every kind of store.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path as FilePath,
    process::{Child, Command, Stdio},
};

use futures::future::join_all;
use object_store::memory::InMemory;

use super::*;

const HOUR: Duration = Duration::from_hours(1);
const LIMITS: Limits = Limits { bytes: 1 << 30, age: Duration::from_hours(24) };

fn secret() -> SecretString {
    "secret".to_owned().into()
}

fn open(folder: &FilePath, secret: &str) -> Clips {
    Clips::open(&folder.display().to_string(), &secret.to_owned().into()).unwrap()
}

/// What every store must do, seen by two processes that share it.
async fn contract(one: &Clips, other: &Clips) {
    a_clip_is_made_once(one, other).await;
    what_is_gone_is_told_from_what_never_was(one).await;
    a_use_is_written_down_when_that_is_due(one, other).await;
    nothing_in_use_is_removed(one, other).await;
    too_old_and_too_much_is_removed(one, other).await;
}

async fn a_clip_is_made_once(one: &Clips, other: &Clips) {
    let name = one.name_for("Hello.", "troy", "groq", "en-US");
    assert_eq!(one.put(&name, Bytes::from_static(b"one")).await.unwrap(), "one");
    assert_eq!(other.put(&name, Bytes::from_static(b"two")).await.unwrap(), "one", "the winner's is served");
    assert_eq!(other.get(&other.name_for("Hello.", "troy", "groq", "en-US")).await.unwrap(), "one");
    let found = other.read(&name).await.unwrap();
    assert_eq!(found, Found { bytes: Bytes::from_static(b"one"), is_touch_due: false });
}

async fn what_is_gone_is_told_from_what_never_was(clips: &Clips) {
    let name = clips.name_for("never", "made", "by", "anybody");
    assert!(matches!(clips.get(&name).await, Err(ClipsError::Gone)));
    assert!(matches!(clips.read(&name).await, Err(ClipsError::Gone)));
    assert!(matches!(clips.touch(&name).await, Err(ClipsError::Gone)));
    let forged = name.replace('-', "0").replacen('0', "-", 1);
    let (upper, inside) = (name.to_uppercase(), format!("../{name}"));
    let strangers = ["", "x.wav", "../../etc/passwd", "..%2f", "welcome.wav", &forged, &upper, &inside];
    for bad in strangers {
        assert!(matches!(clips.get(bad).await, Err(ClipsError::NotFound)), "{bad}");
        assert!(matches!(clips.put(bad, Bytes::new()).await, Err(ClipsError::NotFound)), "{bad}");
    }
}

async fn a_use_is_written_down_when_that_is_due(one: &Clips, other: &Clips) {
    let name = one.name_for("touched", "", "", "");
    one.put(&name, Bytes::from_static(b"same")).await.unwrap();
    let path = one.path(&name).unwrap();
    let now = Timestamp::now();
    one.hand_out(&path, now).await.unwrap();
    let written = one.load(&path).await.unwrap().0;
    assert!(!is_touch_due(&written, now) && is_touch_due(&written, now + NOTED + Duration::from_secs(2)));
    assert_eq!(one.hand_out(&path, now + HOUR).await.unwrap(), "same");
    let touched = other.load(&path).await.unwrap().0;
    assert!(touched.last_modified >= written.last_modified, "{touched:?} after {written:?}");
    // What another process has just removed is not brought back in passing.
    one.store.delete(&path).await.unwrap();
    let late = match &one.folder {
        Some(folder) => touch_file(folder.join(path.as_ref())).await,
        None => one.rewrite(&path, touched, Bytes::from_static(b"same")).await,
    };
    assert!(late.is_err(), "{late:?}");
}

async fn nothing_in_use_is_removed(one: &Clips, other: &Clips) {
    let name = one.name_for("in use", "", "", "");
    one.put(&name, Bytes::from_static(b"kept")).await.unwrap();
    let none = Limits { bytes: 0, age: Duration::ZERO };
    let swept = other.sweep(none, Timestamp::now() + HOUR / 2).await.unwrap();
    assert_eq!((swept.removed, swept.has_more), (0, false));
    assert_eq!(one.get(&name).await.unwrap(), "kept");
    // Listed as idle, used since: it is looked at once more.
    let mut idle = one.load(&one.path(&name).unwrap()).await.unwrap().0;
    idle.last_modified -= HOUR * 100;
    assert!(!other.remove(&idle, Timestamp::now()).await.unwrap());
    assert_eq!(one.get(&name).await.unwrap(), "kept");
}

async fn too_old_and_too_much_is_removed(one: &Clips, other: &Clips) {
    let before = one.sweep(LIMITS, Timestamp::now()).await.unwrap();
    let names: Vec<_> = (0..6).map(|n| one.name_for(&n.to_string(), "", "", "")).collect();
    for name in &names {
        one.put(name, Bytes::from_static(&[7; 1_000])).await.unwrap();
    }
    let later = Timestamp::now() + 2 * HOUR;
    let full = one.sweep(LIMITS, later).await.unwrap();
    let expected =
        Swept { clips: before.clips + 6, bytes: before.bytes + 6_000, removed: 0, has_more: false };
    assert_eq!(full, expected);
    let limits = Limits { bytes: 3_500, ..LIMITS };
    let (first, second) = tokio::join!(one.sweep(limits, later), other.sweep(limits, later));
    let left = one.sweep(LIMITS, later).await.unwrap();
    assert!((2_500..=3_500).contains(&left.bytes), "{left:?} after {first:?} and {second:?}");
    let swept = one.sweep(LIMITS, Timestamp::now() + 26 * HOUR).await.unwrap();
    assert_eq!(swept, Swept { removed: left.clips, ..Swept::default() });
    for name in &names {
        assert!(matches!(other.get(name).await, Err(ClipsError::Gone)));
    }
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(&open(folder.path(), "secret"), &open(folder.path(), "secret")).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let one = Clips::new(Opened { store: store.clone(), folder: None }, &secret());
    let other = Clips::new(Opened { store, folder: None }, &secret());
    contract(&one, &other).await;
}

#[tokio::test]
async fn an_s3_server_keeps_the_contract() {
    let Some(server) = S3::start() else {
        eprintln!("SKIPPED: moto is not installed, so no S3 server was asked; run `make setup`");
        return;
    };
    for url in ["s3://clips", "s3://clips/below/a/prefix", "s3://clips?path_style=true&region=eu-west-3"] {
        contract(&server.open(url), &server.open(url)).await;
    }
    let missing = server.open("s3://nowhere");
    let name = missing.name_for("", "", "", "");
    assert!(missing.put(&name, Bytes::new()).await.is_err(), "a bucket that is not there");
}

#[tokio::test]
async fn an_object_store_that_is_away_is_an_error_in_bounded_time() {
    let location = location("s3://clips?endpoint=http://127.0.0.1:9", &KEYS);
    let clips = location.open(&secret()).unwrap();
    let name = clips.name_for("", "", "", "");
    let asked = tokio::time::timeout(Duration::from_secs(20), clips.get(&name)).await;
    assert!(matches!(asked.unwrap(), Err(ClipsError::Store(_))));
}

#[tokio::test]
async fn of_many_makers_of_one_clip_one_wins_and_all_serve_his() {
    let folder = tempfile::tempdir().unwrap();
    let makers: Vec<_> = (0..8).map(|_| open(folder.path(), "secret")).collect();
    let name = makers[0].name_for("raced for", "", "", "");
    let files = (0..8_u8).map(|n| Bytes::from(vec![n; 10_000]));
    let kept = join_all(
        makers.iter().zip(files).map(|(clips, file)| async { clips.put(&name, file).await.unwrap() }),
    )
    .await;
    let stored = makers[0].get(&name).await.unwrap();
    assert!(kept.iter().all(|file| *file == stored));
}

#[tokio::test]
async fn clips_survive_a_restart_and_another_key_knows_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let clips = open(folder.path(), "first secret");
    let name = clips.name_for("Hello.", "troy", "groq", "en-US");
    clips.put(&name, Bytes::from_static(b"one")).await.unwrap();
    drop(clips);
    assert_eq!(open(folder.path(), "first secret").get(&name).await.unwrap(), "one");
    let other = open(folder.path(), "other secret");
    assert!(matches!(other.get(&name).await, Err(ClipsError::NotFound)));
    // Its sweep clears what was made under a key that nobody has any more, and nothing that is no clip.
    std::fs::write(folder.path().join("notes.txt"), "kept").unwrap();
    let swept = other.sweep(LIMITS, Timestamp::now() + 48 * HOUR).await.unwrap();
    assert_eq!(swept.removed, 1);
    assert!(folder.path().join("notes.txt").exists());
}

#[tokio::test]
async fn the_least_recently_used_go_first_and_a_sweep_has_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let clips = open(folder.path(), "secret");
    let names: Vec<_> = (0..1_010).map(|n| clips.name_for(&n.to_string(), "", "", "")).collect();
    let day = std::time::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50);
    for (n, name) in names.iter().enumerate() {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.set_len(10).unwrap();
        file.set_modified(day + Duration::from_secs(n as u64)).unwrap();
    }
    // The oldest is asked for, so it is the newest now.
    clips.get(&names[0]).await.unwrap();
    let now = Timestamp::now();
    let forever = Limits { bytes: 10 * 1_005, age: Duration::MAX };
    let swept = clips.sweep(forever, now).await.unwrap();
    assert_eq!((swept.removed, swept.has_more), (5, false));
    for (n, name) in names.iter().enumerate().take(10) {
        assert_eq!(clips.get(name).await.is_ok(), n == 0 || n > 5, "clip {n}");
    }
    let swept = clips.sweep(Limits { bytes: 0, ..forever }, now + 2 * HOUR).await.unwrap();
    assert_eq!((swept.removed, swept.clips, swept.has_more), (1_000, 5, true));
    let swept = clips.sweep(Limits { bytes: 0, ..forever }, now + 2 * HOUR).await.unwrap();
    assert_eq!((swept.removed, swept.clips, swept.has_more), (5, 0, false));
}

#[test]
fn fields_do_not_run_into_each_other() {
    let clips = Clips::in_memory(&secret());
    assert_ne!(clips.name_for("ab", "c", "", ""), clips.name_for("a", "bc", "", ""));
}

#[test]
fn places_that_clips_cannot_be_kept_in_are_refused_with_what_can() {
    let problem = |url: &str, keys: &[(&str, &str)]| {
        let location = location(url, keys);
        let error = location.open(&secret()).unwrap_err().to_string();
        let problem = location.problem().unwrap();
        assert_eq!(error, format!("CLIP_STORE_URL: {problem}"));
        problem
    };
    for (url, part) in [
        ("gs://bucket", "use a folder, file:// or s3://"),
        ("az://container", "use a folder, file:// or s3://"),
        ("memory://", "cannot be shared"),
        ("s3://", "s3://bucket/prefix"),
        ("s3://key:secret@bucket", "AWS_ACCESS_KEY_ID"),
        ("s3://bucket?endpoint=minio:9000", "http or https"),
        ("s3://bucket?path_style=maybe", "true or false"),
        ("s3://bucket?colour=red", "endpoint, region and path_style"),
    ] {
        assert!(problem(url, &KEYS).contains(part), "{url}");
    }
    assert!(problem("s3://bucket", &KEYS[..1]).contains("AWS_SECRET_ACCESS_KEY"));
    assert_eq!(location("s3://bucket/prefix", &[]).problem(), None, "the machine's own role");
    let shown = format!("{:?}", location("s3://bucket", &KEYS));
    assert!(!shown.contains("very-secret"), "{shown}");
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "very-secret")];

fn location(url: &str, variables: &[(&str, &str)]) -> Location {
    let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    Location::read(|name| if name == "CLIP_STORE_URL" { Some(url.to_owned()) } else { value(name) })
}

/// A real server of the protocol, with a bucket `clips`.
struct S3 {
    process: Child,
    endpoint: String,
}

impl S3 {
    fn start() -> Option<Self> {
        let program = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/moto_server");
        if !program.exists() {
            return None;
        }
        let mut process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let endpoint = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the server ended");
            if let Some((_, address)) = line.trim().split_once("Running on ") {
                break address.to_owned();
            }
        };
        // Whatever it says later must have somewhere to go.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let host = endpoint.trim_start_matches("http://");
        let mut socket = TcpStream::connect(host).unwrap();
        write!(
            socket,
            "PUT /clips HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Some(Self { process, endpoint })
    }

    fn open(&self, url: &str) -> Clips {
        let endpoint = [("AWS_ENDPOINT_URL", self.endpoint.as_str())];
        location(url, &[&KEYS[..], &endpoint].concat()).open(&secret()).unwrap()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
