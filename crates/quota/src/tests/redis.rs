//! A Redis of a test's own.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use deadpool_redis::redis::{AsyncCommands as _, Client};

pub(super) struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    pub(super) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redis = Self { port, process: run(port) };
        redis.wait().await;
        redis
    }

    pub(super) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) async fn start_again(&mut self) {
        self.process = run(self.port);
        self.wait().await;
    }

    /// It keeps its connections and answers nothing.
    pub(super) fn freeze(&self) {
        assert!(
            Command::new("kill").arg("-STOP").arg(self.process.id().to_string()).status().unwrap().success()
        );
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// All that was taken from a limit.
    pub(super) async fn taken(&self, model: &str, limit: &str) -> u64 {
        let client = Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let taken: Vec<u64> = connection.hvals(format!("voice:quota:{model}:{limit}")).await.unwrap();
        taken.iter().sum()
    }

    async fn wait(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(port: u16) -> Child {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let program = if has("redis-server") { "redis-server" } else { "valkey-server" };
    Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "--",
            program,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .args(["--dir", "/tmp", "--port", &port.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis is missing: run `make setup`")
}
