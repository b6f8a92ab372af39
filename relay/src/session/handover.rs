//! Handing the call over: to which number, and what whoever answers there is told.

use std::future::Future;

use jiff::Timestamp;
use voice_call::{Destination, Event, TransferFailure};

use super::{Session, now, sounds::CLIP_PATIENCE};
use crate::{
    assistants::Assistant,
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
        let plan = &self.tools.plan;
        let is_allowed = match plan.check(number) {
            Ok(()) => plan.take(Timestamp::now()).await,
            Err(error) => Err(error),
        };
        match is_allowed {
            Ok(()) => Some(number.clone()),
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
    pub(super) fn prepare_announcement(&mut self, text: String) {
        let made = self.make_announcement(text);
        self.work.spawn(async move { drop(made.await) });
    }

    pub(super) fn announce(&mut self, text: String) {
        let (made, commands) = (self.make_announcement(text), self.line.commands.clone());
        self.work.spawn(async move {
            // A line that is gone has nobody to tell.
            let _ = commands.send(LineCommand::TellTarget(made.await)).await;
        });
    }

    /// A clip whatever the call's line is: the other leg is at the provider.
    fn make_announcement(&self, text: String) -> impl Future<Output = Announcement> + Send + 'static {
        let engine = if self.tools.is_voice_sticky { &self.engine } else { "" };
        let Assistant { voice, language, .. } = &*self.assistant;
        let work = self.tools.speech.clip(&text, voice, language, engine, CLIP_PATIENCE);
        let language = language.clone();
        async move {
            let made = work.await;
            if let Err(error) = &made {
                tracing::warn!(%error, "an announcement could not be made");
            }
            Announcement { clip: made.ok(), text, language }
        }
    }
}
