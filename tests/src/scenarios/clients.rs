//! The examples in other languages, built from the protos and run against the mesh.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    sync::OnceCell,
};
use voice_proto::relay::v1::{CallState, ListCallsRequest, call_event::Event};

use super::*;
use crate::{
    contract::skipped,
    mesh::{eventually, installed},
    phone::loopback_client,
    speech::spoken,
};

/// Building one, on a machine that has much else to do.
const BUILD: Duration = Duration::from_mins(5);

/// An example.
pub(super) struct Example {
    /// Its folder below `clients/`.
    language: &'static str,
    /// What has to be there: programs on the path, or files of this repository.
    needs: &'static [&'static str],
    /// Run in its folder, once the stubs are made.
    build: &'static [&'static str],
    /// The same, to run it.
    run: &'static [&'static str],
    /// Whether it was built. Once: what one test runs must not be made anew meanwhile by another.
    built: OnceCell<bool>,
}

pub(super) static PYTHON: Example = Example {
    language: "python",
    needs: &[".venv/bin/python"],
    build: &["true"],
    run: &["../../.venv/bin/python", "client.py"],
    built: OnceCell::const_new(),
};

static GO: Example = Example {
    language: "go",
    needs: &["go", ".run/go/bin/protoc-gen-go", ".run/go/bin/protoc-gen-go-grpc"],
    build: &["go", "build", "-o", "gen/client", "."],
    run: &["gen/client"],
    built: OnceCell::const_new(),
};

static TYPESCRIPT: Example = Example {
    language: "typescript",
    needs: &["node", "clients/typescript/node_modules/.bin/protoc-gen-es"],
    build: &["node_modules/.bin/tsc"],
    run: &["node", "dist/client.js"],
    built: OnceCell::const_new(),
};

static JAVA: Example = Example {
    language: "java",
    needs: &["mvn", "javac", ".run/java/protoc", ".run/java/protoc-gen-grpc-java"],
    build: &["mvn", "-q", "-B", "compile"],
    run: &["java", "-cp", "target/classes:target/lib/*", "voicemesh.Client"],
    built: OnceCell::const_new(),
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Example {
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(root().join("clients").join(self.language))
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Makes stubs and program; `false` where the toolchain is not there.
    pub(super) async fn is_built(&self) -> bool {
        *self.built.get_or_init(|| self.build_once()).await
    }

    async fn build_once(&self) -> bool {
        let is_there = |need: &&str| root().join(need).is_file() || installed(need).is_some();
        if let Some(missing) = self.needs.iter().find(|need| !is_there(need)) {
            skipped(&format!("the {} example: {missing} is not there (make test-all)", self.language));
            return false;
        }
        for words in [&["../generate.sh", self.language][..], self.build] {
            let output = tokio::time::timeout(BUILD, self.command(words).output()).await;
            let output = output.unwrap_or_else(|_| panic!("{words:?} took too long")).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        }
        true
    }

    /// Follows a whole call with it, with one question and one answer.
    async fn follows_a_call(&self) {
        let mesh = mesh(Options::default()).await;
        let (caller, mut watch) = rung(&mesh).await;
        let call_id = mesh.newest_call().await.unwrap();
        let address = mesh.address("relay").trim_start_matches("http://").to_owned();
        let words = [self.run, &["watch", &call_id]].concat();
        let client = self.command(&words).env("RELAY", address).spawn().unwrap();
        watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
        ask(&caller, &mut watch).await;
        caller.hang_up().await.unwrap();
        watch.to_end(LIMIT).await.unwrap();
        let output = tokio::time::timeout(LIMIT, client.wait_with_output()).await;
        assert_eq!(lines(output.expect("it ends with the call").unwrap()), told(&watch));
    }

    /// Holds a whole conversation with it, which has nothing but the stub and a file.
    async fn holds_a_call(&self) {
        let mesh = mesh(Options::default()).await;
        let folder = tempfile::tempdir().unwrap();
        let [question, heard] = ["question.wav", "heard.wav"].map(|name| folder.path().join(name));
        std::fs::write(&question, spoken(QUESTION).await.unwrap()).unwrap();
        let address = mesh.address("relay").trim_start_matches("http://").to_owned();
        let words = [self.run, &["converse", question.to_str().unwrap(), heard.to_str().unwrap()]].concat();
        let output = tokio::time::timeout(LIMIT, self.command(&words).env("RELAY", address).output()).await;
        let lines = lines(output.expect("it hangs up once it is answered").unwrap());
        assert_eq!(said_by(&lines, "caller: "), [QUESTION]);
        let answers = said_by(&lines, "assistant: ").join(" ");
        assert!(answers.ends_with(ANSWER), "{answers}");
        assert_eq!(lines.last().unwrap(), "ended: END_REASON_CALLER_HANGUP");
        let heard = voice_audio::wav::read(&std::fs::read(heard).unwrap()).unwrap();
        let asked = voice_audio::wav::read(&std::fs::read(question).unwrap()).unwrap();
        assert_eq!(heard.sample_rate_hertz, asked.sample_rate_hertz);
        assert!(heard.duration() > asked.duration(), "greeting, silence and answer: {:?}", heard.duration());
        assert!(heard.samples.iter().any(|sample| sample.abs() > 0.05), "nothing but silence was heard");
    }
}

/// What somebody has said, line by line.
fn said_by<'a>(lines: &'a [String], whom: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(whom)).collect()
}

fn lines(output: Output) -> Vec<String> {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What a client prints of a call.
fn told(watch: &Watch) -> Vec<String> {
    let events = watch.seen.iter().filter_map(|event| event.event.as_ref());
    events
        .filter_map(|event| match event {
            Event::Transcript(words) => words.is_final.then(|| format!("caller: {}", words.text)),
            Event::PlaybackStarted(playback) => Some(format!("assistant: {}", playback.text)),
            Event::PlaybackInterrupted(playback) => Some(format!("interrupted after: {}", playback.heard)),
            Event::StateChanged(change) => (change.state() == CallState::Ended)
                .then(|| format!("ended: {}", change.end_reason().as_str_name())),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_client_in_python_follows_a_call_and_holds_one() {
    if PYTHON.is_built().await {
        PYTHON.follows_a_call().await;
        PYTHON.holds_a_call().await;
    }
}

#[tokio::test]
async fn a_client_in_go_follows_a_call_and_holds_one() {
    if GO.is_built().await {
        GO.follows_a_call().await;
        GO.holds_a_call().await;
    }
}

#[tokio::test]
async fn a_client_in_java_follows_a_call_and_holds_one() {
    if JAVA.is_built().await {
        JAVA.follows_a_call().await;
        JAVA.holds_a_call().await;
    }
}

/// Both are one build, and two builds at a time would be in each other's way.
#[tokio::test]
async fn clients_in_typescript_follow_and_hold_a_call_by_grpc_and_as_a_browser_does_by_grpc_web() {
    if TYPESCRIPT.is_built().await {
        TYPESCRIPT.follows_a_call().await;
        TYPESCRIPT.holds_a_call().await;
        follows_a_call_from_the_web().await;
    }
}

async fn follows_a_call_from_the_web() {
    let options = Options::default().with("API_TOKENS", "outsider").with("MESH_TOKEN", "between-services");
    let mesh = mesh(options.with("CORS_ALLOWED_ORIGINS", "https://app.example.com")).await;
    let gateway = mesh.address("gateway");
    let web = |call_id: &str, token: &str| {
        let mut command = TYPESCRIPT.command(&["node", "dist/web.js", call_id]);
        command.env("GATEWAY", &gateway).env("API_TOKEN", token);
        command
    };
    for (token, code) in [("stranger", "[unauthenticated]"), ("outsider", "[not_found]")] {
        let refused = web("nobody", token).output().await.unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(code), "{said}");
    }
    let caller = mesh.phone.ring(CONTEXT).await.unwrap();
    let call_id = only_call(&mesh, "outsider").await;
    let mut client = web(&call_id, "outsider").spawn().unwrap();
    let mut printed = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    let reading = async {
        while let Some(line) = printed.next_line().await.unwrap() {
            if line.starts_with("assistant: ") {
                caller.hang_up().await.unwrap();
            }
            lines.push(line);
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("it ends with the call");
    assert!(client.wait().await.unwrap().success());
    assert!(lines[0].starts_with("state: CALL_STATE_"), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "ended: END_REASON_CALLER_HANGUP");
    let preflight = async |origin: &str| {
        let url = format!("{gateway}/voice.relay.v1.RelayService/GetCall");
        let asked = loopback_client()
            .request(reqwest::Method::OPTIONS, url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-grpc-web");
        let headers = asked.send().await.unwrap().headers().clone();
        headers.get("access-control-allow-origin").map(|origin| origin.to_str().unwrap().to_owned())
    };
    assert_eq!(preflight("https://app.example.com").await.as_deref(), Some("https://app.example.com"));
    assert_eq!(preflight("https://evil.example.com").await, None);
}

/// The id of the one call that there is, asked with a token.
async fn only_call(mesh: &Mesh, token: &str) -> String {
    let mut relay = mesh.relay().await.unwrap();
    eventually(LIMIT, "a call at the relay", async || {
        let mut request = tonic::Request::new(ListCallsRequest::default());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let calls = relay.list_calls(request).await.unwrap().into_inner().calls;
        calls.first().map(|call| call.call_id.clone())
    })
    .await
    .unwrap()
}
