//! The tape: a recording of what the caller says.

use std::time::Duration;

use tokio::time::Instant;
use voice_signalwire::{Error, Record, RecordEvent, RecordState};

use super::{Answered, RecordingLine, control_id};
use crate::ports::Recording;

/// A stop whose confirmation is lost counts as done after this.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// A tape without speech is changed for a fresh one after this, so that no recording grows without bound.
const LENGTH: Duration = Duration::from_mins(1);

/// A tape that ends by itself within this is not started again at once.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// Between attempts then.
const PAUSE: Duration = Duration::from_millis(300);

/// Speech in a tape that ended by its own silence is at least this long.
const LEAST_SPEECH: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) enum Tape {
    Off { restart_at: Instant },
    On { control: String, url: Option<String>, since: Instant, is_confirmed: bool, stop_by: Option<Instant> },
}

impl Default for Tape {
    fn default() -> Self {
        Self::Off { restart_at: Instant::now() }
    }
}

impl Tape {
    /// One that another process has started: nothing on it counts.
    pub(super) fn left_running(control: String) -> Self {
        Self::On { control, url: None, since: Instant::now(), is_confirmed: true, stop_by: None }
    }

    pub(super) fn is_on(&self) -> bool {
        matches!(self, Self::On { .. })
    }

    /// When it began, or now.
    pub(super) fn since(&self) -> Instant {
        match self {
            Self::On { since, .. } => *since,
            Self::Off { .. } => Instant::now(),
        }
    }

    /// Where it will be, and when it began; `None` if it is not known, or off.
    pub(super) fn address(&self) -> Option<(String, Instant)> {
        match self {
            Self::On { url: Some(url), since, .. } => Some((url.clone(), *since)),
            Self::On { url: None, .. } | Self::Off { .. } => None,
        }
    }

    fn is(&self, control_id: &str) -> bool {
        matches!(self, Self::On { control, .. } if control == control_id)
    }

    pub(super) fn next_deadline(&self, has_speech: bool) -> Option<Instant> {
        match self {
            Self::Off { restart_at } => (*restart_at > Instant::now()).then_some(*restart_at),
            Self::On { stop_by: Some(stop_by), .. } => Some(*stop_by),
            Self::On { since, .. } if !has_speech => Some(*since + LENGTH),
            Self::On { .. } => None,
        }
    }
}

impl RecordingLine {
    pub(super) fn keep_tape(&mut self) {
        let Tape::Off { restart_at } = self.tape else { return };
        // Without an ear the tape ends by silence, so it must not hear the assistant's turn.
        let must_wait = !self.has_ear && self.mouth.is_some();
        if restart_at > Instant::now() || must_wait {
            return;
        }
        let end_silence = if self.has_ear { Duration::ZERO } else { self.settings.end_silence };
        let control = control_id();
        self.trunk.page.update(|kept| kept.running.tape = Some(control.clone()));
        let record = self.trunk.client.record(
            &self.trunk.leg,
            &control,
            Record { end_silence_timeout: end_silence.as_secs_f64() },
        );
        self.tape = Tape::On {
            control: control.clone(),
            url: None,
            since: Instant::now(),
            is_confirmed: false,
            stop_by: None,
        };
        self.work.spawn(async move { Answered::Record { control, result: record.await } });
    }

    pub(super) fn stop_tape(&mut self) {
        let Tape::On { control, stop_by, .. } = &mut self.tape else { return };
        *stop_by = Some(Instant::now() + STOP_WAIT);
        let stop = self.trunk.client.stop_record(&self.trunk.leg, control);
        let control = control.clone();
        self.work.spawn(async move { Answered::TapeStopped { control, result: stop.await } });
    }

    pub(super) async fn record_answered(&mut self, control: &str, result: Result<Option<String>, Error>) {
        if !self.tape.is(control) {
            return;
        }
        match result {
            Ok(address) => {
                if let Tape::On { url, .. } = &mut self.tape {
                    // Kept from the result, so that a lost `finished` loses no utterance.
                    *url = url.take().or(address);
                }
            }
            Err(Error::Gone) => self.hung_up().await,
            // Whether it runs is found out once the connection is back; that it is down may be told after this.
            Err(Error::Disconnected) => {}
            Err(Error::Timeout(_)) if self.trunk.is_down() => {}
            Err(error) => {
                tracing::warn!(%error, "the tape was refused");
                self.degraded("TAPE_REFUSED").await;
                self.tape = Tape::Off { restart_at: Instant::now() + PAUSE };
                self.settle_utterance().await;
            }
        }
    }

    pub(super) async fn tape_stopped(&mut self, control: &str, result: Result<(), Error>) {
        if self.tape.is(control) && result.is_err_and(|error| error.is_gone()) {
            self.tape_over(None).await;
        }
    }

    pub(super) async fn recorded(&mut self, event: RecordEvent) {
        let RecordEvent { control_id, state, url, duration } = event;
        if !self.tape.is(&control_id) {
            return;
        }
        match state {
            RecordState::Recording => {
                if let Tape::On { since, is_confirmed, .. } = &mut self.tape
                    && !std::mem::replace(is_confirmed, true)
                {
                    *since = Instant::now();
                }
            }
            RecordState::Paused => {}
            RecordState::NoInput => self.tape_over(None).await,
            RecordState::Finished => {
                if !self.has_ear && self.speech.is_none() && self.is_speech(duration) {
                    let Tape::On { since, .. } = self.tape else { return };
                    self.speech = Some(super::Speech { started: since, parts: Vec::new(), is_over: true });
                }
                self.tape_over(url).await;
            }
        }
    }

    /// Whether a tape that ended by its own silence holds more than that silence.
    fn is_speech(&self, duration: Option<Duration>) -> bool {
        let is_stopped = matches!(self.tape, Tape::On { stop_by: Some(_), .. });
        !is_stopped && duration.is_none_or(|duration| duration > self.settings.end_silence + LEAST_SPEECH)
    }

    /// Notes that the tape has ended. What was said on it belongs to the utterance.
    pub(super) async fn tape_over(&mut self, finished_url: Option<String>) {
        let Tape::On { url, since, stop_by, .. } = std::mem::take(&mut self.tape) else { return };
        if stop_by.is_none() && since.elapsed() < TOO_SHORT {
            self.tape = Tape::Off { restart_at: Instant::now() + PAUSE };
        }
        // The next tape starts before anything is done with this one: what the caller adds is not lost.
        self.keep_listening();
        if let (Some(speech), Some(url)) = (&mut self.speech, finished_url.or(url)) {
            let speech_start = speech.started.saturating_duration_since(since);
            speech.parts.push(Recording { url, speech_start });
        }
        self.settle_utterance().await;
    }

    pub(super) async fn expire_tape(&mut self, now: Instant) {
        let Tape::On { since, stop_by, .. } = &self.tape else { return };
        match stop_by {
            Some(stop_by) if *stop_by <= now => self.tape_over(None).await,
            None if self.speech.is_none() && *since + LENGTH <= now => self.stop_tape(),
            Some(_) | None => {}
        }
    }
}
