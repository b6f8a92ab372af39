//! Speech to text with what can be done about a slow or failing provider: a second attempt after a quick failure, and a
//! second request (a hedge) beside a first one that is slower than usual. The first answer wins, the other request is dropped.

mod pace;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use self::pace::Pace;
use crate::{
    error::TurnError,
    ports::{Need, Stretch, Transcribe, Work},
};

/// What the models work on.
pub(crate) const STT_HERTZ: u32 = 16_000;
/// Less voice than this is a cough.
pub(crate) const LEAST_VOICE: Duration = Duration::from_millis(200);
/// A provider that asks to wait longer than this is not asked again within the turn.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Speech recognition may take this long in all.
const LIMIT: Duration = Duration::from_secs(4);
/// A first attempt that fails sooner leaves time for a second one.
const RETRY_WITHIN: Duration = Duration::from_millis(1_500);
/// What a second attempt waits for if the provider does not say.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Speech to text. Cheap to clone; clones learn together.
#[derive(Clone)]
pub(crate) struct Recogniser {
    stt: Arc<dyn Transcribe>,
    /// `None` where there is no second request.
    pace: Option<Arc<Mutex<Pace>>>,
}

type Answer = Result<Vec<Stretch>, TurnError>;

/// A WAV file, and how to have it again for a second request. Thousands may wait for a slow provider: what has been sent to it
/// is not kept for that.
pub(crate) struct Wav<'a> {
    first: Bytes,
    again: Again<'a>,
}

type Again<'a> = Box<dyn Fn() -> Work<'a, Result<Bytes, TurnError>> + Send + Sync + 'a>;

impl<'a> Wav<'a> {
    /// One that can be made again.
    pub(crate) fn new<Made>(first: Bytes, again: impl Fn() -> Made + Send + Sync + 'a) -> Self
    where
        Made: Future<Output = Result<Bytes, TurnError>> + Send + 'a,
    {
        Self { first, again: Box::new(move || Box::pin(again())) }
    }
}

impl From<Bytes> for Wav<'static> {
    /// One that is kept anyway.
    fn from(wav: Bytes) -> Self {
        let kept = wav.clone();
        Self::new(wav, move || std::future::ready(Ok(kept.clone())))
    }
}

impl std::fmt::Debug for Recogniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recogniser").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Recogniser {
    /// Asks `stt`.
    pub(crate) fn new(stt: Arc<dyn Transcribe>, is_hedged: bool) -> Self {
        Self { stt, pace: is_hedged.then(Arc::default) }
    }

    /// Recognises a WAV file for somebody who waits.
    ///
    /// # Errors
    /// When neither attempt gives an answer in time.
    pub(crate) async fn awaited(&self, wav: impl Into<Wav<'_>>, language: Option<&str>) -> Answer {
        let begun = Instant::now();
        let Wav { first, again } = wav.into();
        let first = self.ask(first, language, LIMIT, Need::Awaited);
        let answer = self.hedged(first, begun, &again, language).await;
        let Err(error) = &answer else { return answer };
        let wait = error.retry_after.unwrap_or(RETRY_AFTER);
        if !error.is_retryable || wait > LONGEST_WAIT || begun.elapsed() > RETRY_WITHIN {
            return answer;
        }
        sleep(wait).await;
        self.ask(again().await?, language, LIMIT.saturating_sub(begun.elapsed()), Need::Awaited).await
    }

    /// Recognises a WAV file for somebody who will wait once `wanted` says so: only then a second request is made. A failure
    /// is left to him.
    ///
    /// # Errors
    /// When there is no answer, or nothing can be spent on it.
    pub(crate) async fn partial(&self, wav: Bytes, language: Option<&str>, wanted: &Notify) -> Answer {
        let begun = Instant::now();
        let Wav { first, again } = Wav::from(wav);
        let mut first = self.ask(first, language, LIMIT, Need::Partial);
        tokio::select! {
            answer = &mut first => return answer,
            () = wanted.notified() => {}
        }
        self.hedged(first, begun, &again, language).await
    }

    /// Waits for an answer to `first`, or to a second request if that is slow.
    async fn hedged<'a>(
        &'a self,
        mut first: Work<'a, Answer>,
        begun: Instant,
        again: &Again<'_>,
        language: Option<&'a str>,
    ) -> Answer {
        let Some(pace) = &self.pace else { return first.await };
        let patience = lock(pace).patience();
        tokio::select! {
            answer = &mut first => return answer,
            () = sleep_until(begun + patience) => {}
        }
        if !lock(pace).may_hedge() {
            count("spared");
            return first.await;
        }
        let second = async {
            let wav = again().await?;
            self.ask(wav, language, LIMIT.saturating_sub(begun.elapsed()), Need::Hedge).await
        };
        // Boxed: most that wait have none.
        let mut second = Box::pin(second);
        tokio::select! {
            answer = &mut first => match answer {
                Err(_) => told("rescued", "failed", second.await),
                answer @ Ok(_) => told("lost", "lost", answer),
            },
            answer = &mut second => match answer {
                Err(error) => {
                    // Refused for the sake of those that are needed, or failed: the first may still come.
                    tracing::debug!(reason = error.reason, "a second request has failed");
                    told("failed", "failed", first.await)
                }
                answer @ Ok(_) => {
                    // It was slower than this, and is to be remembered so.
                    lock(pace).learn(begun.elapsed());
                    told("won", "won", answer)
                }
            },
        }
    }

    /// One request.
    fn ask<'a>(
        &'a self,
        wav: Bytes,
        language: Option<&'a str>,
        limit: Duration,
        need: Need,
    ) -> Work<'a, Answer> {
        Box::pin(async move {
            let begun = Instant::now();
            let answer = self.stt.transcribe(wav, language, limit, need).await;
            let took = begun.elapsed();
            let result = answer.as_ref().err().map_or("answered", |error| error.reason);
            let labels = [("need", need.name()), ("result", result)];
            metrics::counter!("stt_requests_total", &labels).increment(1);
            metrics::histogram!("stt_duration_seconds", &labels).record(took.as_secs_f64());
            // A quick refusal says nothing of how long an answer takes.
            if let Some(pace) = &self.pace
                && (answer.is_ok() || result == "STT_TIMEOUT")
            {
                lock(pace).learn(took);
            }
            answer
        })
    }
}

/// Counts how a second request has ended.
fn told(ok: &'static str, err: &'static str, answer: Answer) -> Answer {
    count(if answer.is_ok() { ok } else { err });
    answer
}

fn count(outcome: &'static str) {
    metrics::counter!("stt_hedges_total", "outcome" => outcome).increment(1);
}

fn lock(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
