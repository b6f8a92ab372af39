//! Answering a call.

use std::time::Duration;

use tokio::time::Instant;
use voice_call::Event;
use voice_signalwire::Error;

use super::{Answered, RecordingLine};

/// The event of an answered call may be lost; then the command's result counts.
const ANSWER_WAIT: Duration = Duration::from_millis(1_500);

/// How far the call is with being answered.
#[derive(Debug)]
pub(super) enum Pickup {
    Ringing,
    /// The command is on its way.
    Asked {
        is_repeated: bool,
    },
    /// The connection went down with the command; whether it arrived is not known.
    Unsure,
    /// The command was carried out; its event is due by then.
    Accepted {
        due: Instant,
    },
    Answered,
}

impl RecordingLine {
    pub(super) fn answer(&mut self, is_repeated: bool) {
        self.pickup = Pickup::Asked { is_repeated };
        let answer = self.client.answer(&self.leg);
        self.work.spawn(async move { Answered::Call(answer.await) });
    }

    pub(super) async fn answer_answered(&mut self, result: Result<(), Error>) {
        let Pickup::Asked { is_repeated } = self.pickup else { return };
        match result {
            Ok(()) => self.pickup = Pickup::Accepted { due: Instant::now() + ANSWER_WAIT },
            Err(Error::Gone) => self.hung_up().await,
            Err(Error::Disconnected) if self.is_down => self.pickup = Pickup::Unsure,
            Err(Error::Disconnected) => self.answer(true),
            // The first one had arrived after all.
            Err(Error::Refused { .. }) if is_repeated => self.answered().await,
            Err(error) => {
                tracing::warn!(%error, "a call could not be answered");
                self.tell(Event::LineFailed).await;
            }
        }
    }

    pub(super) async fn answered(&mut self) {
        if !matches!(std::mem::replace(&mut self.pickup, Pickup::Answered), Pickup::Answered) {
            self.tell(Event::Answered).await;
        }
    }
}
