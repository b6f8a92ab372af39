//! The public edge, and processes that are told wrong things.

use std::process::Stdio;

use serde_json::{Value, json};

use super::*;
use crate::{
    mesh::{binary, eventually, redis_server},
    phone::loopback_client,
    ports::free_port,
};

#[tokio::test]
async fn clips_are_served_in_ranges_cached_and_never_from_outside_their_folder() {
    let mesh = mesh(Options::default()).await;
    let http = loopback_client();
    let base = mesh.address("gateway");
    let made: Value = http
        .post(format!("{base}/generate-audio"))
        .json(&json!({ "text": "Hello there." }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(made["provider"], "groq");
    let url = made["url"].as_str().unwrap();
    let whole = http.get(url).send().await.unwrap();
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.headers()["cache-control"], "public, max-age=31536000, immutable");
    let bytes = whole.bytes().await.unwrap();
    let audio = voice_audio::wav::read(&bytes).unwrap();
    assert_eq!(u128::from(made["duration_ms"].as_u64().unwrap()), audio.duration().as_millis());
    let part = http.get(url).header("range", "bytes=4-7").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, bytes.slice(4..8)));
    let beyond = http.get(url).header("range", "bytes=99999999-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    let known = http.get(url).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    for name in ["x.wav", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fclips"] {
        let answer = http.get(format!("{base}/audio/{name}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{name}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(http.get(format!("{base}/audio/welcome.wav")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn wrong_requests_are_problems_with_reasons() {
    let mesh = mesh(Options::default()).await;
    let http = loopback_client();
    let base = mesh.address("gateway");
    let post = |body: String, kind: &str| {
        let request = http.post(format!("{base}/generate-audio")).header("content-type", kind).body(body);
        async { request.send().await.unwrap() }
    };
    for (body, kind, status, reason) in [
        ("{".to_owned(), "application/json", 400, "INVALID_JSON"),
        (json!({ "text": "a", "loud": true }).to_string(), "application/json", 400, "INVALID_JSON"),
        (json!({ "text": "***" }).to_string(), "application/json", 400, "INVALID_FIELD"),
        ("text=a".to_owned(), "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (json!({ "text": "a".repeat(70_000) }).to_string(), "application/json", 413, "TOO_LARGE"),
    ] {
        let answer = post(body, kind).await;
        assert_eq!(answer.status().as_u16(), status, "{reason}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["reason"], reason);
    }
    assert_eq!(http.get(format!("{base}/nowhere")).send().await.unwrap().status(), 404);
    assert_eq!(http.delete(format!("{base}/healthz")).send().await.unwrap().status(), 405);
    eventually(LIMIT, "a mesh that is ready", async || {
        let ready: Value = http.get(format!("{base}/readyz")).send().await.ok()?.json().await.ok()?;
        (ready == json!({ "tts": "up", "relay": "up" })).then_some(())
    })
    .await
    .unwrap();
    let metrics = http.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("http_requests_total"), "{metrics}");
}

#[tokio::test]
async fn with_tokens_set_strangers_hear_clips_and_nothing_else() {
    let options = Options::default().with("API_TOKENS", "outsider").with("MESH_TOKEN", "between-services");
    let mesh = mesh(options).await;
    let http = loopback_client();
    let url = format!("{}/readyz", mesh.address("gateway"));
    assert_eq!(http.get(&url).send().await.unwrap().status(), 401);
    assert_eq!(http.get(&url).bearer_auth("wrong").send().await.unwrap().status(), 401);
    eventually(LIMIT, "a mesh that is ready", async || {
        (http.get(&url).bearer_auth("outsider").send().await.ok()?.status() == 200).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(http.get(format!("{}/healthz", mesh.address("gateway"))).send().await.unwrap().status(), 200);
    let refused =
        mesh.relay().await.unwrap().list_calls(voice_proto::relay::v1::ListCallsRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
    let mut known = tonic::Request::new(voice_proto::relay::v1::ListCallsRequest::default());
    known.metadata_mut().insert("authorization", "Bearer outsider".parse().unwrap());
    mesh.relay().await.unwrap().list_calls(known).await.unwrap();
}

#[tokio::test]
async fn every_service_tells_all_that_is_wrong_with_its_configuration_and_ends() {
    for (service, names) in [
        ("relay", vec!["SIGNALWIRE_PROJECT_ID", "SIGNALWIRE_TOKEN", "VOICE_SECRET_KEY", "DRAIN_SECONDS"]),
        ("worker", vec!["GROQ_API_KEY", "DRAIN_SECONDS"]),
        ("tts", vec!["VOICE_SECRET_KEY", "DRAIN_SECONDS"]),
        ("gateway", vec!["VOICE_SECRET_KEY", "DRAIN_SECONDS"]),
    ] {
        let process = tokio::process::Command::new(binary(service))
            .env_clear()
            .env("DRAIN_SECONDS", "soon")
            .stdin(Stdio::null())
            .output();
        let output = tokio::time::timeout(LIMIT, process).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        for name in names {
            assert!(text.contains(name), "{service} does not name {name}:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_asked_to_stop_says_goodbye_first() {
    let mut mesh = mesh(Options::default()).await;
    let (_caller, mut watch) = greeted(&mesh).await;
    mesh.child("relay").signal("TERM").await.unwrap();
    watch.until(LIMIT, started(PlaybackKind::Goodbye)).await.unwrap();
    assert_eq!(mesh.child("relay").wait(LIMIT).await.unwrap(), Some(0));
    for service in ["worker", "tts", "gateway"] {
        mesh.child(service).signal("TERM").await.unwrap();
        assert_eq!(mesh.child(service).wait(LIMIT).await.unwrap(), Some(0), "{service}");
    }
}

#[tokio::test]
async fn redis_may_be_reached_over_tls_with_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port().unwrap();
    let _redis = tokio::process::Command::new(redis_server().unwrap())
        .args(["--port", "0", "--bind", "127.0.0.1", "--save", "", "--requirepass", "secret"])
        .args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no", "--tls-cert-file"])
        .arg(&cert)
        .arg("--tls-key-file")
        .arg(&key)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let redis_url = Some(format!("rediss://:secret@127.0.0.1:{port}/0"));
    let options = Options { redis_url, ..Options::default() }.with("SSL_CERT_FILE", cert.display());
    let mesh = mesh(options).await;
    let (caller, mut watch) = greeted(&mesh).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
}

#[tokio::test]
async fn a_worker_refuses_a_redis_cluster_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let _redis = tokio::process::Command::new(redis_server().unwrap())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let worker = tokio::process::Command::new(binary("worker"))
        .env_clear()
        .env("REDIS_URL", format!("redis://127.0.0.1:{port}/0"))
        .env("GROQ_BASE_URL", "http://127.0.0.1:9")
        .env("WORKER_LISTEN_ADDR", "127.0.0.1:0")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, worker).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Cluster"), "{said}");
}
