//! Commands that are under way together go out together: while one round trip is on, the next batch gathers. Whoever
//! comes to an idle line carries his own command out at once, without a task in between; a busy line pays a fraction of a
//! round trip for each.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::{JobsError, store::Store};

/// Commands of one batch.
const LARGEST: usize = 64;

/// Commands that may wait for their batch.
const MOST: usize = 4_096;

type Answer<R> = Result<R, JobsError>;
type Waiting<T> = Vec<(T, oneshot::Sender<Answer<<T as Command>::Answer>>)>;

/// Something that is said to Redis, with others of its kind.
pub(crate) trait Command: Sized + Send + 'static {
    type Answer: Send + 'static;

    /// Says all of them at once; gives as many answers as there are commands.
    fn carry_out(
        store: Arc<Store>,
        commands: Vec<Self>,
    ) -> impl Future<Output = Answer<Vec<Self::Answer>>> + Send + 'static;
}

/// One kind of command, batched.
pub(crate) struct Batch<T: Command> {
    store: Arc<Store>,
    waiting: Mutex<Waiting<T>>,
    /// Held by whoever carries a batch out.
    line: Arc<tokio::sync::Mutex<()>>,
    carriers: TaskTracker,
}

impl<T: Command> Batch<T> {
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        let carriers = TaskTracker::new();
        Self { store: store.clone(), waiting: Mutex::default(), line: Arc::default(), carriers }
    }

    /// Has a command carried out, with others.
    pub(crate) async fn run(&self, command: T) -> Answer<T::Answer> {
        let (sender, mut answer) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= MOST {
                return Err(JobsError::Unavailable(format!("{MOST} commands wait for redis already")));
            }
            waiting.push((command, sender));
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
            let carried = T::carry_out(self.store.clone(), items);
            let carry = async move {
                tell(askers, carried.await);
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

    fn next_batch(&self) -> Waiting<T> {
        let mut waiting = self.waiting();
        if waiting.len() <= LARGEST {
            return mem::take(&mut *waiting);
        }
        let rest = waiting.split_off(LARGEST);
        mem::replace(&mut *waiting, rest)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting<T>> {
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
