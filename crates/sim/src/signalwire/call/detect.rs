//! Telling a machine from a person by how long it speaks.

use std::time::Duration;

use serde_json::{Value, json};
use voice_audio::vad::{EnergyVad, Transition};

use super::{Call, caller::CallerFrame, commands::Done};
use crate::signalwire::{
    params::{self, ControlId, DetectMachine, Seconds, parse},
    wire::Refusal,
};

/// Samples louder than this are sound.
const LOUD: f32 = 0.02;

/// A running detection.
#[derive(Debug)]
pub(crate) struct Detection {
    pub(super) control_id: ControlId,
    how: DetectMachine,
    vad: EnergyVad,
    frames: u64,
    last_frame: u64,
    /// Frame at which speech began.
    speaking_since: Option<u64>,
    /// The newest frame with sound in it.
    last_sound: u64,
    is_machine: bool,
}

/// What a detection has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    Human,
    Machine,
    Unknown,
    Ready { beep: bool },
    Finished,
}

impl Detection {
    pub(super) fn new(control_id: ControlId, how: DetectMachine, timeout: Seconds) -> Self {
        let vad = EnergyVad::new(Duration::from_secs_f64(how.end_silence_timeout.0));
        Self {
            control_id,
            how,
            vad,
            frames: 0,
            last_frame: timeout.frames(),
            speaking_since: None,
            last_sound: 0,
            is_machine: false,
        }
    }

    /// Takes 20 ms of whoever has answered.
    pub(super) fn frame(&mut self, caller: &CallerFrame) -> Vec<Detected> {
        self.frames += 1;
        let transition = self.vad.push(&caller.samples);
        if transition == Some(Transition::Started) {
            self.speaking_since.get_or_insert(self.frames);
        }
        if caller.samples.iter().any(|sample| sample.abs() > LOUD) {
            self.last_sound = self.frames;
        }
        let mut out = Vec::new();
        // The silence that ends speech is no part of it.
        let is_long = self.speaking_since.is_some_and(|since| {
            self.last_sound.saturating_sub(since) >= self.how.machine_voice_threshold.frames()
        });
        if !self.is_machine && (is_long || caller.has_tone_ended) {
            self.is_machine = true;
            out.push(Detected::Machine);
            if !self.how.detect_message_end {
                out.push(Detected::Finished);
                return out;
            }
        }
        let is_over = transition == Some(Transition::Ended);
        match (self.is_machine, self.speaking_since) {
            (true, _) if caller.has_tone_ended => {
                out.extend([Detected::Ready { beep: true }, Detected::Finished]);
            }
            (true, _) if is_over => out.extend([Detected::Ready { beep: false }, Detected::Finished]),
            (false, _) if is_over => out.extend([Detected::Human, Detected::Finished]),
            (false, None) if self.frames >= self.how.initial_timeout.frames() => {
                out.extend([Detected::Unknown, Detected::Finished]);
            }
            _ if self.frames >= self.last_frame => out.push(Detected::Finished),
            _ => {}
        }
        out
    }
}

impl Call {
    pub(super) fn detect(&mut self, params: &Value) -> Done {
        let params::Detect { control_id, detect, timeout } = parse("CallDetectParams", params)?;
        let params::DetectWhat::Machine(how) = detect else {
            return Err(Refusal::crossed("400", "only the detection of machines is simulated"));
        };
        if self.detection.is_some() {
            return Err(Refusal::fault("409", "a detect is running on this call"));
        }
        self.register(&control_id, "detect")?;
        self.note("detect_started", json!({ "control_id": control_id }));
        self.detection = Some(Detection::new(control_id.clone(), how, timeout));
        Ok(json!({ "control_id": control_id }))
    }

    pub(super) fn stop_detect(&mut self, params: &Value) -> Done {
        let running = self.detection.as_ref().map(|detection| &detection.control_id);
        let id = self.find(params, "detect", "CallDetectStopParams", running)?;
        self.take_detected(vec![Detected::Finished]);
        Ok(json!({ "control_id": id }))
    }

    /// Sends what a detection has to say, and drops it when that was its last word.
    pub(super) fn take_detected(&mut self, detected: Vec<Detected>) {
        for what in detected {
            let Some(control_id) = self.detection.as_ref().map(|detection| detection.control_id.clone())
            else {
                return;
            };
            let (event, beep) = match what {
                Detected::Human => ("HUMAN", Some(false)),
                Detected::Machine => ("MACHINE", Some(false)),
                Detected::Unknown => ("UNKNOWN", Some(false)),
                Detected::Ready { beep } => ("READY", Some(beep)),
                Detected::Finished => ("finished", None),
            };
            if what == Detected::Finished {
                self.detection = None;
            }
            let mut params = json!({ "event": event });
            if let Some(beep) = beep {
                params["beep"] = json!(beep);
            }
            self.detected.push(event);
            self.note("detected", json!({ "control_id": control_id, "detected": event }));
            let params =
                json!({ "control_id": control_id, "detect": { "type": "machine", "params": params } });
            self.event("calling.call.detect", event, params);
        }
    }
}
