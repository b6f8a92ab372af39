//! Downloads over real sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::*;

/// A server that gives these answers, one for each connection, and tells what it was asked.
struct Server {
    url: String,
    asked: tokio::sync::mpsc::Receiver<String>,
    _task: JoinSet<()>,
}

async fn server(answers: Vec<String>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/r.wav", listener.local_addr().unwrap());
    let (tell, asked) = tokio::sync::mpsc::channel(16);
    let mut task = JoinSet::new();
    task.spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            tell.send(String::from_utf8_lossy(&request[..read]).into_owned()).await.unwrap();
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    Server { url, asked, _task: task }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn policy() -> Policy {
    Policy {
        allowed_hosts: vec!["127.0.0.1".into(), "*.signalwire.com".into()],
        allow_private: true,
        credentials: Some(("project".into(), "token".to_owned().into())),
        max_bytes: 1_000,
    }
}

async fn fetch(url: &str, policy: Policy) -> Result<Bytes, RecordingError> {
    Recordings::new(policy).fetch(url, Instant::now() + Duration::from_secs(30)).await
}

#[tokio::test]
async fn a_recording_that_does_not_exist_yet_is_waited_for() {
    let missing = answer("404 Not Found", "", "");
    let server = server(vec![missing.clone(), missing, answer("200 OK", "", "audio")]).await;
    assert_eq!(fetch(&server.url, policy()).await.unwrap(), "audio");
}

#[tokio::test]
async fn credentials_are_shown_only_when_asked_for() {
    let mut server = server(vec![answer("401 Unauthorized", "", ""), answer("200 OK", "", "audio")]).await;
    assert_eq!(fetch(&server.url, policy()).await.unwrap(), "audio");
    assert!(!server.asked.recv().await.unwrap().contains("authorization"));
    assert!(server.asked.recv().await.unwrap().contains("authorization: Basic cHJvamVjdDp0b2tlbg=="));
}

#[tokio::test]
async fn redirects_are_few_and_never_lead_into_a_private_network() {
    let to = |target: &str| answer("302 Found", &format!("location: {target}\r\n"), "");
    let endless = server(vec![to("/again"); 5]).await;
    assert!(matches!(fetch(&endless.url, policy()).await, Err(RecordingError::TooManyRedirects)));
    for private in
        ["https://10.0.0.1/x", "https://169.254.169.254/latest", "https://[::1]/x", "https://localhost/x"]
    {
        let server = server(vec![to(private)]).await;
        let error = fetch(&server.url, policy()).await.unwrap_err();
        assert!(matches!(error, RecordingError::PrivateAddress(_)), "{private}: {error:?}");
    }
    let plain = server(vec![to("http://example.com/x")]).await;
    assert!(matches!(fetch(&plain.url, policy()).await, Err(RecordingError::BadUrl)));
}

#[tokio::test]
async fn what_is_too_large_empty_or_forbidden_says_so() {
    let large = server(vec![answer("200 OK", "", &"x".repeat(1_001))]).await;
    assert!(matches!(fetch(&large.url, policy()).await, Err(RecordingError::TooLarge(1_000))));
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(5_000));
    let endless = server(vec![endless]).await;
    assert!(matches!(fetch(&endless.url, policy()).await, Err(RecordingError::TooLarge(1_000))));
    let empty = server(vec![answer("200 OK", "", "")]).await;
    assert!(matches!(fetch(&empty.url, policy()).await, Err(RecordingError::Empty)));
    let forbidden = server(vec![answer("403 Forbidden", "", ""), answer("403 Forbidden", "", "")]).await;
    assert!(matches!(fetch(&forbidden.url, policy()).await, Err(RecordingError::Forbidden)));
}

#[tokio::test]
async fn hosts_and_schemes_are_checked_before_anything_is_sent() {
    let strict = || Policy { allow_private: false, ..policy() };
    for (url, policy, wanted) in [
        ("https://example.com/r.wav", policy(), "HostNotAllowed"),
        ("https://signalwire.com.evil.example/r.wav", policy(), "HostNotAllowed"),
        ("https://evilsignalwire.com/r.wav", policy(), "HostNotAllowed"),
        ("http://space.signalwire.com/r.wav", strict(), "BadUrl"),
        ("https://127.0.0.1/r.wav", strict(), "PrivateAddress"),
        ("file:///etc/passwd", policy(), "BadUrl"),
        ("not an address", policy(), "BadUrl"),
    ] {
        let error = format!("{:?}", fetch(url, policy).await.unwrap_err());
        assert!(error.starts_with(wanted), "{url}: {error}");
    }
}
