//! A Redis of a test's own.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use deadpool_redis::redis::{AsyncCommands as _, Client, aio::MultiplexedConnection};

use crate::Jobs;

pub(super) struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(super) async fn start_with(settings: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redis = Self { port, process: run(port, settings) };
        redis.wait().await;
        redis
    }

    pub(super) async fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = run(self.port, &[]);
        self.wait().await;
    }

    pub(super) fn jobs(&self) -> Jobs {
        Jobs::connect(&format!("redis://127.0.0.1:{}/0", self.port).into(), "celery").unwrap()
    }

    pub(super) async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(format!("redis://127.0.0.1:{}/0", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Messages that somebody has taken and not let go; waits a moment for the last one.
    pub(super) async fn in_hand(&self) -> usize {
        let mut connection = self.connection().await;
        let mut count = 0;
        for _ in 0..100 {
            count = connection.hlen("unacked").await.unwrap();
            if count == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        count
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

fn run(port: u16, settings: &[&str]) -> Child {
    let program = if which("redis-server") { "redis-server" } else { "valkey-server" };
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
        .args(settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis is missing: run `make setup`")
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
