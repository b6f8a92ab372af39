//! A Redis of a test's own, as the queue sees it.

use std::time::Duration;

use deadpool_redis::redis::{AsyncCommands as _, aio::MultiplexedConnection};
use voice_redis::server::Server;

use crate::Jobs;

pub(super) struct Redis(Server);

impl Redis {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(super) async fn start_with(settings: &[&str]) -> Self {
        Self(Server::start(settings).await)
    }

    pub(super) async fn restart(&mut self) {
        self.0.stop();
        self.0.start_again().await;
    }

    pub(super) fn jobs(&self) -> Jobs {
        Jobs::connect(&self.0.url().into(), "celery").unwrap()
    }

    pub(super) async fn connection(&self) -> MultiplexedConnection {
        self.0.connection().await
    }

    /// Messages that somebody has taken and not let go; waits a moment for the last one.
    pub(super) async fn in_hand(&self) -> usize {
        let mut connection = self.connection().await;
        let mut count = 0;
        for _ in 0..1_000 {
            count = connection.hlen("unacked").await.unwrap();
            if count == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        count
    }
}
