//! Turns as jobs on the Celery queue.

use futures::stream::BoxStream;
use voice_call::TurnId;
use voice_jobs::Jobs;

use crate::ports::{Turn, TurnEvent, Turns, Work};

/// The queue.
#[derive(Clone, Debug)]
pub struct JobTurns {
    jobs: Jobs,
}

impl JobTurns {
    /// Uses a queue.
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }
}

impl Turns for JobTurns {
    fn start(&self, turn: Turn) -> BoxStream<'static, TurnEvent> {
        Box::pin(futures::stream::empty())
    }
    fn cancel(&self, call_id: &str, turn: TurnId) -> Work<()> {
        Box::pin(async {})
    }
}
