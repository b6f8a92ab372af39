//! A Redis of a test's own.

use std::{
    net::{TcpListener, TcpStream},
    ops::Range,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{Client, aio::MultiplexedConnection};

/// Below those that the kernel gives to connections and to whoever asks for any, none of which can take the port of a server
/// that is not there yet, or is down; and below those of the mesh's tests.
const PORTS: Range<u16> = 2_000..10_000;

/// Names that only one process can have, one for each port that was given; the kernel gives them back with the process.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A server that keeps nothing on disk, and ends when it is dropped or the test dies.
#[derive(Debug)]
pub struct Server {
    port: u16,
    settings: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts one, with further arguments for it.
    pub async fn start(settings: &[&str]) -> Self {
        let port = free_port();
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Self { port, process: run(port, &settings), settings };
        server.answers().await;
        server
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Starts it where it was, empty.
    pub async fn start_again(&mut self) {
        self.process = run(self.port, &self.settings);
        self.answers().await;
    }

    /// It keeps its connections and answers nothing.
    pub fn freeze(&self) {
        let stopped = Command::new("kill").arg("-STOP").arg(self.process.id().to_string()).status();
        assert!(stopped.is_ok_and(|status| status.success()), "it is our child");
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A look into it.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("a well-formed address");
        client.get_multiplexed_async_connection().await.expect("it answers")
    }

    async fn answers(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A port that nobody else is given.
fn free_port() -> u16 {
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    let claimed = PORTS.clone().find_map(|port| {
        let name = SocketAddr::from_abstract_name(format!("voicemesh-redis-{port}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        // Something else may be served there.
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| (port, claim))
    });
    let (port, claim) = claimed.expect("loopback has a free port");
    claims.push(claim);
    port
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(port: u16, settings: &[String]) -> Child {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let program = if has("redis-server") { "redis-server" } else { "valkey-server" };
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", program, "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir", "/tmp", "--port", &port.to_string()])
        .args(settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis is missing: run `make setup`")
}
