//! The ear: the platform's own recogniser, which tells when the caller begins and ends.

use std::time::Duration;

use tokio::time::Instant;
use voice_call::{Event, Recogniser};
use voice_signalwire::{Collect, CollectEvent, Error, Heard};

use super::{Answered, RecordingLine, control_id};

/// A stop whose confirmation is lost counts as done after this.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// An ear that ends by itself within this is not started again at once.
const TOO_SHORT: Duration = Duration::from_millis(500);

/// Between attempts then.
const PAUSE: Duration = Duration::from_millis(300);

/// An ear that fails this often in a row does not work.
const FAILURES: u32 = 3;

/// The longest speech in one go; longer ones are ended by the call itself.
const SPEECH_SECONDS: f64 = 120.0;

#[derive(Debug)]
pub(super) struct Ear {
    state: State,
    failures: u32,
}

#[derive(Debug)]
enum State {
    Off { restart_at: Instant },
    On { control: String, since: Instant, stop_by: Option<Instant> },
}

impl Default for Ear {
    fn default() -> Self {
        Self { state: State::Off { restart_at: Instant::now() }, failures: 0 }
    }
}

impl Ear {
    /// One that another process has started.
    pub(super) fn left_running(control: String) -> Self {
        Self { state: State::On { control, since: Instant::now(), stop_by: None }, failures: 0 }
    }

    fn is(&self, control_id: &str) -> bool {
        matches!(&self.state, State::On { control, .. } if control == control_id)
    }

    fn over(&mut self) {
        let is_early =
            matches!(&self.state, State::On { since, stop_by: None, .. } if since.elapsed() < TOO_SHORT);
        let pause = if is_early { PAUSE } else { Duration::ZERO };
        self.state = State::Off { restart_at: Instant::now() + pause };
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Off { restart_at } => (*restart_at > Instant::now()).then_some(*restart_at),
            State::On { stop_by, .. } => *stop_by,
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if matches!(&self.state, State::On { stop_by: Some(stop_by), .. } if *stop_by <= now) {
            self.over();
        }
    }
}

impl RecordingLine {
    pub(super) fn keep_ear(&mut self) {
        let State::Off { restart_at } = self.ear.state else { return };
        if !self.has_ear || restart_at > Instant::now() {
            return;
        }
        let control = control_id();
        self.trunk.page.update(|kept| kept.running.ear = Some(control.clone()));
        let collect = Collect {
            end_silence_timeout: self.settings.end_silence.as_secs_f64(),
            speech_timeout: SPEECH_SECONDS,
            language: self.settings.language.clone(),
            most_digits: self.most_digits,
        };
        let started = self.trunk.client.collect(&self.trunk.leg, &control, &collect);
        self.ear.state = State::On { control: control.clone(), since: Instant::now(), stop_by: None };
        self.work.spawn(async move { Answered::Collect { control, result: started.await } });
    }

    pub(super) fn stop_ear(&mut self) {
        let State::On { control, stop_by, .. } = &mut self.ear.state else { return };
        *stop_by = Some(Instant::now() + STOP_WAIT);
        let stop = self.trunk.client.stop_collect(&self.trunk.leg, control);
        let control = control.clone();
        self.work.spawn(async move { Answered::EarStopped { control, result: stop.await } });
    }

    pub(super) async fn collect_answered(&mut self, control: &str, result: Result<(), Error>) {
        if !self.ear.is(control) {
            return;
        }
        match result {
            // As with the tape.
            Ok(()) | Err(Error::Disconnected) => {}
            Err(Error::Gone) => self.hung_up().await,
            Err(Error::Timeout(_)) if self.trunk.is_down() => {}
            Err(Error::Refused { .. } | Error::Protocol { .. }) => self.lose_ear().await,
            Err(error) => {
                tracing::warn!(%error, "the ear could not be started");
                self.ear_failed().await;
            }
        }
    }

    pub(super) fn ear_stopped(&mut self, control: &str, result: &Result<(), Error>) {
        if self.ear.is(control)
            && result.as_ref().is_ok_and(|()| true) | result.as_ref().is_err_and(Error::is_gone)
        {
            self.ear.over();
        }
    }

    pub(super) async fn heard(&mut self, event: CollectEvent) {
        let CollectEvent { control_id, is_over, heard } = event;
        if !self.ear.is(&control_id) || !self.is_listening {
            return;
        }
        let is_stopped = matches!(self.ear.state, State::On { stop_by: Some(_), .. });
        if is_over {
            self.ear.over();
            self.keep_listening();
        }
        if is_stopped {
            return;
        }
        if !matches!(heard, Heard::Failed) {
            self.ear.failures = 0;
        }
        match heard {
            // It may be a key: whoever is to press some speaks once there are words.
            Heard::Start if self.most_digits > 1 => {}
            Heard::Start => self.speech_started().await,
            Heard::Speech { text, is_final } => {
                self.speech_started().await;
                self.tell(Event::PartialHeard {
                    stable: if is_final { text.chars().count() } else { 0 },
                    text,
                    source: Recogniser::Line,
                    completeness: None,
                })
                .await;
                if is_final {
                    self.end_utterance().await;
                }
            }
            Heard::Digits(digits) => {
                self.abandon_speech().await;
                for digit in digits.chars() {
                    self.tell(Event::DigitPressed { digit }).await;
                }
            }
            Heard::NoInput => self.abandon_speech().await,
            // Speech that the platform could not make out may still be speech for us.
            Heard::NoMatch if self.speech.is_some() => self.end_utterance().await,
            Heard::NoMatch => {}
            Heard::Failed => self.ear_failed().await,
        }
    }

    async fn abandon_speech(&mut self) {
        if self.speech.take_if(|speech| !speech.is_over).is_some() {
            self.tell(Event::SpeechAbandoned).await;
        }
    }

    async fn ear_failed(&mut self) {
        self.ear.over();
        self.ear.failures += 1;
        if self.speech.is_some() {
            self.end_utterance().await;
        }
        if self.ear.failures >= FAILURES {
            self.lose_ear().await;
        }
    }

    /// The call goes on without barge-in: silence on the tape ends an utterance.
    async fn lose_ear(&mut self) {
        self.ear.over();
        if std::mem::replace(&mut self.has_ear, false) {
            self.degraded("EAR_REFUSED").await;
            self.stop_tape();
        }
    }
}
