//! Following a job: from its first event, at any time, without a gap.

use std::time::Duration;

use async_stream::stream;
use futures::Stream;
use jiff::Timestamp;

use crate::{
    Jobs, JobsError, ProgressEvent,
    hub::{NOTES, Note, Subscription},
    keys, result,
};

/// A note that got lost costs this much at most.
const RECHECK: Duration = Duration::from_secs(1);

/// A broker that is away for longer ends the watching.
const PATIENCE: Duration = Duration::from_secs(30);

/// A watching that has begun: whatever is published from now on is seen.
#[derive(Debug)]
pub(crate) struct Watching {
    subscription: Subscription,
    joined: tokio::sync::oneshot::Receiver<()>,
}

impl Watching {
    /// Whether nothing is missed from now on.
    async fn has_begun(&mut self) -> bool {
        matches!(tokio::time::timeout(RECHECK, &mut self.joined).await, Ok(Ok(())))
    }
}

impl Jobs {
    /// Follows a job from the event after `after` to its last one. A result that came without progress, from a
    /// stock Celery worker, becomes one last event.
    pub fn watch(
        &self,
        job_id: &str,
        after: u64,
    ) -> impl Stream<Item = Result<ProgressEvent, JobsError>> + Send + use<> {
        let watching = self.begin_watching(job_id);
        self.follow(job_id, after, watching, true)
    }

    pub(crate) fn begin_watching(&self, job_id: &str) -> Watching {
        let channels = vec![keys::progress(job_id), keys::result(job_id)];
        let (subscription, joined) = self.inner.hub.join(channels, NOTES);
        Watching { subscription, joined }
    }

    fn follow(
        &self,
        job_id: &str,
        after: u64,
        mut watching: Watching,
        mut must_read: bool,
    ) -> impl Stream<Item = Result<ProgressEvent, JobsError>> + Send + use<> {
        let (jobs, job_id) = (self.clone(), job_id.to_owned());
        stream! {
            if must_read {
                // A hub that cannot connect is no reason to wait: the stream is read again and again meanwhile.
                watching.has_begun().await;
            }
            let Watching { mut subscription, .. } = watching;
            let mut last = after;
            let mut seen_at = tokio::time::Instant::now();
            loop {
                if must_read {
                    match jobs.read(&job_id, last).await {
                        Ok((events, stored)) => {
                            seen_at = tokio::time::Instant::now();
                            for event in events {
                                last = event.sequence;
                                let is_last = event.event.is_last();
                                yield Ok(event);
                                if is_last {
                                    return;
                                }
                            }
                            if let Some(event) = stored.as_deref().and_then(result::outcome) {
                                yield Ok(ProgressEvent { sequence: last + 1, at: Timestamp::now(), event });
                                return;
                            }
                        }
                        Err(error) if seen_at.elapsed() > PATIENCE => {
                            yield Err(error);
                            return;
                        }
                        Err(error) => tracing::debug!(%error, "a job cannot be watched for now"),
                    }
                }
                must_read = match tokio::time::timeout(RECHECK, subscription.notes.recv()).await {
                    Ok(Some(Note::Published { channel, payload })) if channel == keys::progress(&job_id) => {
                        match ProgressEvent::parse(&payload) {
                            Some(event) if event.sequence <= last => false,
                            Some(event) if event.sequence == last + 1 => {
                                last = event.sequence;
                                let is_last = event.event.is_last();
                                yield Ok(event);
                                if is_last {
                                    return;
                                }
                                false
                            }
                            Some(_) | None => true,
                        }
                    }
                    Ok(Some(Note::Published { payload, .. })) => result::outcome(&payload).is_some(),
                    Ok(Some(Note::Resync)) | Err(_) => true,
                    Ok(None) => {
                        tokio::time::sleep(RECHECK).await;
                        true
                    }
                };
            }
        }
    }

    /// Enqueues a job and follows it; the following begins first, so that nothing is missed.
    pub fn run(
        &self,
        job: crate::NewJob,
    ) -> impl Stream<Item = Result<ProgressEvent, JobsError>> + Send + use<> {
        let jobs = self.clone();
        stream! {
            let mut watching = jobs.begin_watching(&job.id);
            let must_read = !watching.has_begun().await;
            if let Err(error) = jobs.enqueue(&job).await {
                yield Err(error);
                return;
            }
            for await event in jobs.follow(&job.id, 0, watching, must_read) {
                yield event;
            }
        }
    }
}
