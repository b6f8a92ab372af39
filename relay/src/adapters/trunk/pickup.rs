//! Answering a call.

use std::time::Duration;

use tokio::time::Instant;
use voice_call::Event;
use voice_signalwire::Error;

use super::{Answered, News, Trunk};

/// The event of an answered call may be lost; then the command's result counts.
const ANSWER_WAIT: Duration = Duration::from_millis(1_500);

/// How far the call is with being answered.
#[derive(Debug)]
pub(in super::super) enum Pickup {
    Ringing,
    /// The command is on its way.
    Asked {
        is_repeated: bool,
    },
    /// The connection went down with the command, or the process did: whether it arrived is not known.
    Unsure,
    /// The command was carried out; its event is due by then.
    Accepted {
        due: Instant,
    },
    Answered,
}

impl Pickup {
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Accepted { due } => Some(*due),
            Self::Ringing | Self::Asked { .. } | Self::Unsure | Self::Answered => None,
        }
    }
}

impl Trunk {
    pub(in super::super) fn answer(&mut self) {
        let is_repeated = !matches!(self.pickup, Pickup::Ringing);
        self.pickup = Pickup::Asked { is_repeated };
        let answer = self.client.answer(&self.leg);
        self.work.spawn(async move { Answered::Call(answer.await) });
    }

    pub(super) fn answer_answered(&mut self, result: Result<(), Error>) -> Option<News> {
        let Pickup::Asked { is_repeated } = self.pickup else { return None };
        match result {
            Ok(()) => {
                self.pickup = Pickup::Accepted { due: Instant::now() + ANSWER_WAIT };
                None
            }
            Err(Error::Gone) => self.hung_up(),
            Err(Error::Disconnected) if self.is_down => {
                self.pickup = Pickup::Unsure;
                None
            }
            Err(Error::Disconnected) => {
                self.answer();
                None
            }
            // The first one had arrived after all.
            Err(Error::Refused { .. }) if is_repeated => self.answered(),
            Err(error) => {
                tracing::warn!(%error, "a call could not be answered");
                Some(News::Call(Event::LineFailed))
            }
        }
    }

    pub(super) fn answered(&mut self) -> Option<News> {
        let was_answered = matches!(std::mem::replace(&mut self.pickup, Pickup::Answered), Pickup::Answered);
        (!was_answered).then_some(News::Call(Event::Answered))
    }
}
