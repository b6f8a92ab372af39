//! Who has answered, and digits that are dialled into the call.

use std::time::Duration;

use voice_call::{Answerer, Event};
use voice_signalwire::{DetectEvent, Error};

use super::{Answered, RecordingLine, control_id};

/// How long the platform looks for who has answered, and for the end of a machine's greeting.
const DETECTION: Duration = Duration::from_secs(40);

impl RecordingLine {
    pub(super) fn screen(&mut self) {
        let control = control_id();
        let detect = self.client.detect_machine(&self.leg, &control, DETECTION);
        self.detection = Some(control);
        self.work.spawn(async move { Answered::Detect(detect.await) });
    }

    pub(super) async fn detect_answered(&mut self, result: Result<(), Error>) {
        let Err(error) = result else { return };
        tracing::warn!(%error, "who has answered cannot be found out");
        self.detection = None;
        self.tell(Event::AnswererDetected { answerer: Answerer::Unknown }).await;
    }

    pub(super) async fn detected(&mut self, control: &str, event: DetectEvent) {
        if self.detection.as_deref() != Some(control) {
            return;
        }
        let answerer = match event {
            DetectEvent::Human => Answerer::Human,
            DetectEvent::Machine => Answerer::Machine,
            DetectEvent::Unknown => Answerer::Unknown,
            // Nothing more will be known of a machine, so this is when to speak; else it means nothing any more.
            DetectEvent::Ready | DetectEvent::Over => {
                self.detection = None;
                return self.tell(Event::MachineReady).await;
            }
        };
        self.tell(Event::AnswererDetected { answerer }).await;
    }

    pub(super) fn send_digits(&mut self, digits: &str) {
        let control = control_id();
        let send = self.client.send_digits(&self.leg, &control, digits);
        self.digits = Some(control);
        self.work.spawn(async move { Answered::Digits(send.await) });
    }

    pub(super) async fn digits_answered(&mut self, result: Result<(), Error>) {
        let Err(error) = result else { return };
        tracing::warn!(%error, "digits could not be dialled");
        self.digits = None;
        self.tell(Event::DigitsFailed).await;
    }

    pub(super) async fn digits_sent(&mut self, control: &str) {
        if self.digits.take_if(|ours| ours == control).is_some() {
            self.tell(Event::DigitsSent).await;
        }
    }
}
