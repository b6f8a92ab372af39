//! Jobs over Redis in Celery's own wire format (message protocol 2 as kombu lays it out), so that stock Python
//! programs can produce and consume them, and with progress that any number of watchers can follow.
//!
//! | key or channel | what it holds |
//! |---|---|
//! | `<queue>`, `<queue>\x06\x16{3,6,9}` | waiting messages by priority; pushed left, taken right |
//! | `unacked`, `unacked_index` | messages in hand by delivery tag, and when they were taken: kombu's own shape |
//! | `celery-task-meta-<id>` | the result, as key and as channel |
//! | `/<db>.celery.pidbox` | remote control: revocations |
//! | `voice:progress:<id>` | ours: what happened to a job, as a stream and as a channel; kept for an hour |
//! | `voice:revoked:<id>` | ours: a revocation, for workers that start later |
//! | `voice:dead:<queue>` | ours: what could not be read, with the reason |
//!
//! Taking a message is one atomic script, so that a crash leaves it in a list or in `unacked`, never nowhere.
//! Ordinary commands go through a pool; waiting for messages and subscriptions have connections of their own.

mod claim;
mod connection;
mod consumer;
mod control;
mod error;
mod hub;
mod job;
mod progress;
mod result;
mod scripts;
mod watch;
mod wire;

pub use connection::{Jobs, NewJob};
pub use consumer::{Consumer, ConsumerConfig, Handler};
pub use error::JobsError;
pub use job::{Job, JobFailure};
pub use progress::{Progress, ProgressEvent, ProgressSink};

#[cfg(test)]
mod tests;
