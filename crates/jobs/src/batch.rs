//! Commands that are under way together go out together: while one round trip is on, the next batch gathers. Whoever
//! comes to an idle line carries his own command out at once, without a task in between; a busy line pays a fraction of a
//! round trip for each.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::JobsError;

/// Commands of one batch.
const LARGEST: usize = 64;

/// Commands that may wait for their batch.
const MOST: usize = 4_096;

type Answer<R> = Result<R, JobsError>;
type Waiting<T, R> = Vec<(T, oneshot::Sender<Answer<R>>)>;

/// One kind of command, batched.
pub(crate) struct Batch<T, R> {
    waiting: Mutex<Waiting<T, R>>,
    /// Held by whoever carries a batch out.
    line: Arc<tokio::sync::Mutex<()>>,
    carriers: TaskTracker,
}

impl<T: Send + 'static, R: Send + 'static> Batch<T, R> {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), line: Arc::default(), carriers: TaskTracker::new() }
    }

    /// Has `flush` carry an item out, with others. `flush` gives as many answers as it gets items.
    pub(crate) async fn run<F, W>(&self, item: T, flush: F) -> Answer<R>
    where
        F: Fn(Vec<T>) -> W,
        W: Future<Output = Answer<Vec<R>>> + Send + 'static,
    {
        let (sender, mut answer) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= MOST {
                return Err(JobsError::Unavailable(format!("{MOST} commands wait for redis already")));
            }
            waiting.push((item, sender));
        }
        loop {
            let line = self.line.clone().lock_owned().await;
            // Somebody may have taken it along.
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Closed) => return Err(stopped()),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let batch = self.next_batch();
            let is_alone = batch.len() == 1;
            let (items, askers): (Vec<T>, Vec<_>) = batch.into_iter().unzip();
            let flushed = flush(items);
            let carry = async move {
                tell(askers, flushed.await);
                drop(line);
            };
            if is_alone {
                carry.await;
            } else {
                // Others depend on it: it must not end with whoever happens to carry it out.
                let _ = self.carriers.spawn(carry).await;
            }
        }
    }

    fn next_batch(&self) -> Waiting<T, R> {
        let mut waiting = self.waiting();
        if waiting.len() <= LARGEST {
            return mem::take(&mut *waiting);
        }
        let rest = waiting.split_off(LARGEST);
        mem::replace(&mut *waiting, rest)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting<T, R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell<R>(askers: Vec<oneshot::Sender<Answer<R>>>, answers: Answer<Vec<R>>) {
    match answers {
        Ok(answers) => {
            for (asker, answer) in askers.into_iter().zip(answers) {
                let _ = asker.send(Ok(answer));
            }
        }
        Err(error) => {
            let text = error.to_string();
            for asker in askers {
                let _ = asker.send(Err(JobsError::Unavailable(text.clone())));
            }
        }
    }
}

fn stopped() -> JobsError {
    JobsError::Unavailable("the runtime is being stopped".to_owned())
}
