//! A running recording: the caller's audio of its span, and the silences and keys that end it.

use std::time::Duration;

use serde_json::json;
use voice_audio::{mulaw::to_i16, vad::EnergyVad};

use super::{Call, Output};
use crate::signalwire::{
    params::{ControlId, Direction, PauseBehavior, RecordAudio, Seconds},
    switches::Switches,
};

/// Samples of the beep: a quarter of a second.
const BEEP_SAMPLES: usize = 2_000;
/// Bytes of a WAV header in front of 16-bit PCM.
const WAV_HEADER_BYTES: usize = 44;

/// A running record.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(super) control_id: ControlId,
    pub(super) id: String,
    options: RecordAudio,
    vad: EnergyVad,
    frames: u64,
    samples: Vec<i16>,
    pub(super) paused: Option<PauseBehavior>,
    has_speech: bool,
    silent_frames: u64,
    beeped: usize,
    start_unix: f64,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordingEnd {
    /// There is a file.
    Finished,
    /// Nobody spoke in time.
    NoInput,
}

impl Recording {
    pub(super) fn new(control_id: ControlId, id: String, options: RecordAudio, start_unix: f64) -> Self {
        Self {
            control_id,
            id,
            vad: EnergyVad::new(Duration::from_millis(200)),
            options,
            frames: 0,
            samples: Vec::new(),
            paused: None,
            has_speech: false,
            silent_frames: 0,
            beeped: 0,
            start_unix,
        }
    }

    /// Whether this key ends it.
    pub(super) fn is_ended_by(&self, digit: char) -> bool {
        self.options.terminators.contains(digit)
    }

    /// Adds the beep, while there is one, to what the caller hears.
    pub(super) fn beep(&mut self, ear: &mut [f32]) {
        if !self.options.beep {
            return;
        }
        for out in ear.iter_mut().take(BEEP_SAMPLES - self.beeped) {
            *out += 0.2 * (self.beeped as f32 * std::f32::consts::TAU * 1_000.0 / 8_000.0).sin();
            self.beeped += 1;
        }
    }

    /// Takes 20 ms of both sides; says if that ends it.
    pub(super) fn frame(&mut self, said: &[f32], heard: &[f32], switches: &Switches) -> Option<RecordingEnd> {
        match self.paused {
            Some(PauseBehavior::Skip) => return None,
            Some(PauseBehavior::Silence) => self.samples.extend(said.iter().map(|_| 0)),
            None => self.samples.extend(said.iter().zip(heard).map(|(said, heard)| {
                to_i16(match self.options.direction {
                    Direction::Speak => *said,
                    Direction::Listen => *heard,
                    Direction::Both => said + heard,
                })
            })),
        }
        self.frames += 1;
        self.vad.push(said);
        if self.vad.is_speaking() {
            self.has_speech = true;
            self.silent_frames = 0;
        } else {
            self.silent_frames += 1;
        }
        self.is_over(switches)
    }

    fn is_over(&self, switches: &Switches) -> Option<RecordingEnd> {
        let initial = match self.options.initial_timeout {
            Seconds(0.0) if switches.zero_initial_timeout_is_off => 0,
            Seconds(0.0) => RecordAudio::DEFAULT_INITIAL_TIMEOUT.frames(),
            seconds => seconds.frames(),
        };
        let end_silence = self.options.end_silence_timeout.frames();
        let counts_silence = self.has_speech || switches.silence_ends_unspoken_recording;
        if initial > 0 && !self.has_speech && self.frames >= initial {
            return Some(RecordingEnd::NoInput);
        }
        (end_silence > 0 && counts_silence && self.silent_frames >= end_silence)
            .then_some(RecordingEnd::Finished)
    }
}

impl Call {
    /// Where a recording will be.
    pub(super) fn recording_url(&self, id: &str) -> String {
        format!("{}/{id}.wav", self.recordings_url)
    }

    /// Ends the running recording.
    pub(super) fn end_recording(&mut self, end: RecordingEnd) {
        let Some(recording) = self.recording.take() else { return };
        let Recording { control_id, id, options, samples, start_unix, has_speech, .. } = recording;
        let state = match end {
            RecordingEnd::Finished => "finished",
            RecordingEnd::NoInput => "no_input",
        };
        let duration = samples.len() as f64 / 8_000.0;
        let url = self.recording_url(&id);
        if let Some(log) = self.recordings.last_mut() {
            log.finished_at_ms = Some(self.now.at_ms);
            log.state = state;
            log.duration_ms = duration * 1e3;
        }
        let mut params = json!({ "control_id": control_id, "state": state, "record": { "audio": options } });
        if end == RecordingEnd::Finished {
            params["url"] = json!(url);
            params["duration"] = json!(duration);
            params["size"] = json!(WAV_HEADER_BYTES + 2 * samples.len());
            params["recording_id"] = json!(id);
            params["start_time"] = json!(start_unix);
            params["end_time"] = json!(self.now.unix);
            self.outputs.push_back(Output::Publish { recording_id: id, samples });
        }
        self.event("calling.call.record", state, params);
        let fields = json!({ "control_id": control_id, "state": state, "url": url, "duration_ms": duration * 1e3,
            "has_speech": has_speech });
        self.note("recording_finished", fields);
    }
}
