//! Commands that are under way together go out together: while one round trip is on, the next batch gathers. An
//! idle queue pays nothing for it, a busy one a fraction of a round trip for each command.

use std::sync::{Mutex, PoisonError};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::JobsError;

/// Commands that may wait for their batch.
const QUEUE: usize = 4_096;

/// Commands of one batch.
const LARGEST: usize = 64;

type Waiting<T, R> = (T, oneshot::Sender<Result<R, JobsError>>);

/// One kind of command, batched.
pub(crate) struct Batch<T, R> {
    started: Mutex<Option<Started<T, R>>>,
}

struct Started<T, R> {
    sender: mpsc::Sender<Waiting<T, R>>,
    /// Owns the task.
    _tasks: JoinSet<()>,
}

impl<T: Send + 'static, R: Send + 'static> Batch<T, R> {
    pub(crate) fn new() -> Self {
        Self { started: Mutex::new(None) }
    }

    /// Has `flush` carry an item out, with others. `flush` gives as many answers as it gets items.
    pub(crate) async fn run<F, W>(&self, item: T, flush: F) -> Result<R, JobsError>
    where
        F: Fn(Vec<T>) -> W + Send + 'static,
        W: Future<Output = Result<Vec<R>, JobsError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let sender = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            let started = started.get_or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let mut tasks = JoinSet::new();
                tasks.spawn(gather(receiver, flush));
                Started { sender, _tasks: tasks }
            });
            started.sender.clone()
        };
        let gone = || JobsError::Unavailable("the runtime is being stopped".to_owned());
        sender.send((item, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn gather<T, R, F, W>(mut waiting: mpsc::Receiver<Waiting<T, R>>, flush: F)
where
    F: Fn(Vec<T>) -> W,
    W: Future<Output = Result<Vec<R>, JobsError>>,
{
    let mut batch = Vec::with_capacity(LARGEST);
    while waiting.recv_many(&mut batch, LARGEST).await > 0 {
        let (items, askers): (Vec<T>, Vec<_>) = batch.drain(..).unzip();
        match flush(items).await {
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
}
