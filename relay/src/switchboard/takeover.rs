//! Calls of the process that was here before this one: the platform still has them, and they are taken back as they
//! were when they were last written down.

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use voice_call::Call;
use voice_signalwire::Leg;

use super::{
    CONTROL_QUEUE, Switchboard,
    lines::{Lines, call_of},
};
use crate::{
    adapters::{recording_line, stream_line},
    doors::Door,
    kept::{KeptCall, Stage},
    ports::LINE_QUEUE,
    registry::{CallRecord, Origin},
    session::{Session, now},
};

impl Switchboard {
    /// Takes back all calls that are known and not taken back yet.
    pub(super) fn take_over(&mut self, lines: &mut Lines) {
        let Some(Ok(kept)) = self.kept.take().map(|mut kept| kept.try_recv()) else { return };
        for (call_id, kept) in kept {
            match kept.leg.clone().map(Leg::from) {
                Some(leg) if (kept.origin, kept.stage) != (Origin::Placed, Stage::Ringing) => {
                    self.take_back(lines, call_id, kept, leg);
                }
                // Whoever has not answered yet is not kept waiting for somebody who may come too late.
                Some(leg) => {
                    self.end(lines, &leg, "cancel");
                    self.ledger.forget(call_id);
                }
                None => self.ledger.forget(call_id),
            }
        }
    }

    /// Somebody is called, or has answered, for a call that this relay does not know any more.
    pub(super) fn end_unknown(&self, lines: &mut Lines, leg: &Leg, tag: &str) {
        if self.ledger.relay_id().owns(tag) && !lines.by_leg.contains_key(call_of(tag)) {
            self.end(lines, leg, "hangup");
        }
    }

    fn end(&self, lines: &mut Lines, leg: &Leg, reason: &str) {
        let end = self.client.end(leg, reason);
        lines.sessions.spawn(async move {
            if let Err(error) = end.await {
                tracing::debug!(%error, "a call that is not known any more could not be ended");
            }
            String::new()
        });
    }

    fn take_back(&self, lines: &mut Lines, call_id: String, kept: KeptCall, leg: Leg) {
        let our_number = match kept.origin {
            Origin::Received | Origin::Streamed => kept.called_number.clone(),
            Origin::Placed => kept.caller_number.clone(),
        };
        let assistant = self.assistants.of(&kept.context, &our_number);
        let mut config = self.config_of(&assistant, kept.door);
        config.instructions.clone_from(&kept.instructions);
        let call = match kept.stage {
            Stage::Ringing => Call::answer(now(), config),
            Stage::Talking => Call::take_back(now(), config, kept.to_core(Timestamp::now())),
            Stage::HandedOver => Call::hand_over_again(now(), config, kept.last_id()),
        };
        let (sender, control) = mpsc::channel(CONTROL_QUEUE);
        let numbers = (kept.caller_number.clone(), kept.called_number.clone());
        let record = CallRecord::new(
            call_id.clone(),
            kept.origin,
            kept.context.clone(),
            numbers,
            kept.created_at,
            sender,
        );
        let record = Arc::new(record.taken_back(kept.next_sequence(), kept.turns));
        self.registry.insert(record.clone());
        let (platform, events) = mpsc::channel(LINE_QUEUE);
        let KeptCall { door, stage, running, .. } = kept.clone();
        let page = Arc::new(self.ledger.page(&call_id, kept));
        let (key, at_platform) = (leg.call_id.clone(), (leg, our_number));
        let client = self.client.clone();
        let (line, work) = match door {
            Door::Recording => {
                let settings = self.door_for(&assistant);
                let left = (stage, running);
                let (line, work) =
                    recording_line::take_back(client, at_platform, settings, left, page.clone(), events);
                (line, work.boxed())
            }
            Door::Stream => {
                let media = self.stream.media(&call_id);
                let (line, work) =
                    stream_line::take_back(client, at_platform, media, stage, page.clone(), events);
                (line, work.boxed())
            }
        };
        let session = Session::new(call, record.clone(), assistant, line, control, self.tools_of(door));
        tracing::info!(call.id = record.call_id, "a call is taken back");
        lines.spawn(key, &record, platform, session.on(page), work);
    }
}
