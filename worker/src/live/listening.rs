//! Does what a dictation decides: reads what comes in, asks the recogniser, gives what is to be told.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Partials, Transcript,
    audio::Format,
    dictation::{Dictation, Step},
};
use crate::{
    error::{Error, TurnError},
    phantoms,
    ports::Work,
    recogniser::Recogniser,
};

/// Silence after which a stream of audio is taken for abandoned.
const IDLE: Duration = Duration::from_mins(1);

/// What comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The next piece of audio.
    Audio(Bytes),
    /// The words so far are wanted; the flush's number.
    Flush(i32),
}

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Words.
    Words(Transcript),
    /// The audio is complete; the final words follow.
    Complete,
}

/// Listens to one utterance. Dropping it ends what it has asked of the recogniser.
pub(crate) struct Listening<S> {
    dictation: Dictation,
    recogniser: Recogniser,
    partials: Partials,
    language: Option<String>,
    input: S,
    /// The pass that is under way, and how it is told that somebody waits for it.
    pass: Option<(Work<'static, Result<String, TurnError>>, Arc<Notify>)>,
    last_input: Instant,
    /// How long the next input may take.
    patience: Duration,
    idle: Pin<Box<Sleep>>,
}

enum Next {
    Input(Option<Result<Input, Error>>),
    Heard(Result<String, TurnError>),
    Idle,
}

impl<S> std::fmt::Debug for Listening<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("duration", &self.dictation.duration()).finish_non_exhaustive()
    }
}

impl<S: Stream<Item = Result<Input, Error>> + Unpin> Listening<S> {
    /// Begins to listen. Words come before the end only if they are wanted and this process has means for it.
    pub(crate) fn new(
        recogniser: Recogniser,
        partials: Partials,
        format: Format,
        language: Option<String>,
        wants_partials: bool,
        input: S,
    ) -> Self {
        let wants_partials = wants_partials && partials.0.is_some();
        let last_input = Instant::now();
        Self {
            dictation: Dictation::new(format, wants_partials),
            recogniser,
            partials,
            language,
            input,
            pass: None,
            last_input,
            patience: IDLE,
            idle: Box::pin(sleep_until(last_input + IDLE)),
        }
    }

    /// What is heard next; `None` after the final words.
    ///
    /// # Errors
    /// When the input is wrong or stays away, or the recogniser fails. Nothing follows.
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>, Error> {
        loop {
            match self.dictation.step(Instant::now()) {
                Step::Tell(transcript) => return Ok(Some(Heard::Words(transcript))),
                Step::End => return Ok(None),
                Step::Fail(error) => return Err(Error::Turn(error)),
                Step::TryPass => self.try_pass(),
                Step::Pass => self.begin(),
                Step::Hurry => {
                    if let Some((_, wanted)) = &self.pass {
                        wanted.notify_one();
                    }
                }
                Step::Wait => match self.come().await {
                    Next::Input(Some(input)) => self.take(input?)?,
                    Next::Input(None) => {
                        self.dictation.close();
                        return Ok(Some(Heard::Complete));
                    }
                    Next::Heard(heard) => {
                        self.pass = None;
                        if let Err(error) = &heard {
                            tracing::debug!(reason = error.reason, %error, "a pass has failed");
                        }
                        self.dictation.finish(heard, Instant::now());
                    }
                    Next::Idle => return Err(Error::Idle(self.patience)),
                },
            }
        }
    }

    /// Playing time of all audio so far.
    pub(crate) fn duration(&self) -> Duration {
        self.dictation.duration()
    }

    fn take(&mut self, input: Input) -> Result<(), Error> {
        self.last_input = Instant::now();
        match input {
            Input::Audio(audio) => self.dictation.hear(&audio),
            Input::Flush(id) => self.dictation.flush(id),
        }
    }

    fn try_pass(&mut self) {
        match self.partials.take(Instant::now()) {
            Ok(()) => self.begin(),
            Err(until) => self.dictation.put_off(until),
        }
    }

    /// Begins a pass over all that there is; one that is under way is dropped, and its request with it.
    fn begin(&mut self) {
        self.dictation.begin();
        let is_awaited = self.dictation.is_awaited();
        let (wav, recogniser, language) =
            (self.dictation.to_wav(), self.recogniser.clone(), self.language.clone());
        let wanted = Arc::new(Notify::new());
        let waits = wanted.clone();
        let work = async move {
            let wav = wav.await?;
            let language = language.as_deref();
            let stretches = if is_awaited {
                recogniser.awaited(wav, language).await
            } else {
                recogniser.partial(wav, language, &waits).await
            };
            Ok(phantoms::spoken(&stretches?))
        };
        self.pass = Some((Box::pin(work), wanted));
    }

    /// Waits for whatever comes first.
    async fn come(&mut self) -> Next {
        let Self { dictation, input, pass, last_input, patience, idle, .. } = self;
        let is_closed = dictation.is_closed();
        loop {
            let pass = async {
                match pass {
                    Some((work, _)) => work.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = pass => return Next::Heard(heard),
                input = input.next(), if !is_closed => return Next::Input(input),
                () = &mut *idle, if !is_closed => {}
            }
            // Set anew when it fires, not with every piece of audio: that would cost more than the piece.
            let until = *last_input + *patience;
            if until <= Instant::now() {
                return Next::Idle;
            }
            idle.as_mut().reset(until);
        }
    }
}

impl Partials {
    fn take(&self, now: Instant) -> Result<(), Instant> {
        let Some(budget) = &self.0 else { return Err(now + IDLE) };
        budget.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(now)
    }
}

#[cfg(test)]
mod tests;
