//! A Redis of a test's own.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use deadpool_redis::redis::{Client, aio::MultiplexedConnection};

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
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("loopback has a free port").port();
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
