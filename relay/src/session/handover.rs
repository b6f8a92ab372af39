//! Handing the call over: to which number, and what whoever answers there is told.

use jiff::Timestamp;
use voice_call::{Destination, Event, TransferFailure};

use super::{Session, now};
use crate::{
    ports::{Announcement, LineCommand},
    registry::Origin,
};

impl Session {
    /// The number to call now. One that may not be called is as good as one where nobody answers.
    pub(super) async fn take_number(&mut self, to: Destination) -> Option<String> {
        let number = match to {
            Destination::Fallback => Some(self.tools.fallback_number.clone().unwrap_or_default()),
            Destination::Number { number } => Some(number),
            Destination::Target { name } => self.take_target(&name).await,
        };
        if number.is_none() {
            self.call.handle(now(), Event::TransferFailed { reason: TransferFailure::Refused });
        }
        number
    }

    async fn take_target(&self, name: &str) -> Option<String> {
        let number = &self.assistant.transfer_targets.get(name)?.number;
        match self.tools.plan.take(number, Timestamp::now()).await {
            Ok(_) => Some(number.clone()),
            Err(error) => {
                tracing::warn!(%error, "a call is not handed over");
                None
            }
        }
    }

    /// An announcement with what is known of the caller; an empty one is the assistant's own.
    pub(super) fn announced(&self, text: &str) -> String {
        let record = &self.record;
        let number = match record.origin {
            Origin::Received | Origin::Streamed => &record.caller_number,
            Origin::Placed => &record.called_number,
        };
        let text = if text.trim().is_empty() { &self.assistant.announcement } else { text };
        text.replace("{caller}", if number.is_empty() { "an unknown number" } else { number })
    }

    /// Has it made while the telephone rings, so that it is there at the answer.
    pub(super) fn prepare_announcement(&mut self, text: &str) {
        let made = self.clip_of(text);
        self.work.spawn(async move { drop(made.await) });
    }

    /// As a clip whatever the call's own line is: the other leg is at the provider.
    pub(super) fn announce(&mut self, text: String) {
        let (made, commands) = (self.clip_of(&text), self.line.commands.clone());
        let language = self.assistant.language.clone();
        self.work.spawn(async move {
            let announcement = Announcement { clip: made.await, text, language };
            // A line that is gone has nobody to tell.
            let _ = commands.send(LineCommand::TellTarget(announcement)).await;
        });
    }
}
