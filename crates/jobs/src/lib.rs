//! Jobs over Redis in Celery's own wire format (message protocol 2 as kombu lays it out), so that stock Python
//! programs can produce and consume them, and with progress that any number of watchers can follow.
//!
//! | key or channel | what it holds |
//! |---|---|
//! | `<queue>`, `<queue>\x06\x16{3,6,9}` | waiting messages by priority; pushed left, taken right |
//! | `unacked`, `unacked_index` | messages in hand by delivery tag, and when they were taken: kombu's own shape |
//! | `celery-task-meta-<id>` | the result, as key and as channel |
//! | `/<db>.celery.pidbox`, `/<db>.celeryev/…` | Celery's remote control and events |
//! | `voice:leases:<queue>` | ours: workers, by the moment at which their lease runs out |
//! | `voice:worker:<worker>` | ours: until when a worker's lease holds, how many jobs it runs at once, and what is told of a job that it starts |
//! | `voice:ready:<queue>` | ours: workers to which new jobs are handed, the one that was served last at the end |
//! | `voice:inbox:<worker>` | ours: channel on which a worker is handed jobs that have been claimed for it |
//! | `voice:held:<worker>` | ours: what a worker holds: delivery tag → number of the claim and list it came from |
//! | `voice:claims` | ours: counter that numbers claims |
//! | `voice:deaths:<queue>` | ours: how many workers died with a message in hand |
//! | `voice:suspects:<queue>` | ours: waiting messages of which one may be what kills workers; run one at a time by each |
//! | `voice:parked:<queue>` | ours: messages whose time has not come, by that time |
//! | `voice:dead:<queue>` | ours: what nobody could run, with the reason |
//! | `voice:progress:<id>` | ours: what happened to a job, as a stream and as a channel; kept for an hour |
//! | `voice:known:<id>` | ours: that a job exists which nobody has claimed yet |
//! | `voice:call:<call>` | ours: the newest job of a call |
//! | `voice:revoked:<id>` | ours: a revocation, for workers that start later |
//!
//! Taking a message is one atomic script, so that a crash leaves it in a list or in `unacked`, never nowhere. Every
//! claim has a number, and whatever a worker writes about a job is refused once its claim is no longer the one that
//! holds: a worker that was given up for dead cannot overwrite its successor. Leases last a second and are renewed in
//! one script for each worker, which also gives the messages of dead workers back.
//!
//! A producer of ours hands a new job straight to a worker that has a hand free: the script that enqueues it claims it in
//! that worker's name and publishes it on its channel. A message that gets lost on this way is in the worker's hands
//! without its knowing, and goes back with its next heartbeats; so does one whose claim was never answered. Messages of
//! other producers, and those that found no hand free, are taken from the lists.
//!
//! What somebody waits for goes over one connection, on which the process also hears what is published; other commands
//! go through a pool. Waiting for messages has a connection of its own.

mod batch;
mod claim;
mod connection;
mod consumer;
mod control;
mod error;
mod events;
mod hub;
mod job;
mod keys;
mod line;
mod progress;
mod queue;
mod result;
mod scripts;
mod store;
mod watch;
mod wire;

pub use connection::{Jobs, NewJob};
pub use consumer::{Consumer, ConsumerConfig, Handler};
pub use error::JobsError;
pub use job::{Job, JobFailure};
pub use progress::{Progress, ProgressEvent, ProgressSink, ToolCall};
pub use queue::{DeadJob, JobStatus, QueueStats};

#[cfg(test)]
mod tests;
