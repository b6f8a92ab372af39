//! What tests may see of a call.

use serde::Serialize;
use serde_json::{Value, json};
use voice_audio::{Audio, TELEPHONE_HERTZ, mulaw, wav};

use super::{Call, State, dialling::Dialled};
use crate::signalwire::params::{ControlId, Media};

/// Frames quieter than this hold no sound: the idle noise of a mu-law line.
const SILENCE_DB: f32 = -50.0;
/// Shorter pauses belong to speech and are not listed.
const SHORTEST_GAP_FRAMES: usize = 5;

/// A command that arrived.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CommandLog {
    pub(super) at_ms: f64,
    pub(super) method: String,
    pub(super) params: Value,
    /// Code of the answer.
    pub(super) code: String,
}

/// A play.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlaybackLog {
    pub(super) control_id: ControlId,
    pub(super) requested_at_ms: f64,
    pub(super) started_at_ms: Option<f64>,
    pub(super) ended_at_ms: Option<f64>,
    /// `end`, `stop`, `input`, `error` or `call_ended`.
    pub(super) ended_by: Option<&'static str>,
    /// How much of it was heard.
    pub(super) position_ms: f64,
    pub(super) items: Vec<ItemLog>,
}

/// One item of a play.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ItemLog {
    /// `url`, `text`, `silence_ms` or `ringtone`.
    #[serde(flatten)]
    pub(super) what: Value,
    pub(super) duration_ms: Option<f64>,
    pub(super) started_at_ms: Option<f64>,
    pub(super) ended_at_ms: Option<f64>,
}

/// A recording.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecordingLog {
    pub(super) control_id: ControlId,
    pub(super) url: String,
    pub(super) state: &'static str,
    pub(super) started_at_ms: f64,
    pub(super) finished_at_ms: Option<f64>,
    pub(super) duration_ms: f64,
}

/// Where the caller heard nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Silences {
    /// The longest gap.
    longest_ms: f64,
    /// Every gap of at least 100 ms.
    gaps: Vec<Gap>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Gap {
    from_ms: f64,
    to_ms: f64,
}

impl Media {
    /// How it is called in logs.
    pub(super) fn name(&self) -> Value {
        match self {
            Self::Audio { url } => json!({ "url": url }),
            Self::Tts { text } => json!({ "text": text }),
            Self::Silence { duration } => json!({ "silence_ms": duration.0 * 1e3 }),
            Self::Ringtone { name, .. } => json!({ "ringtone": name }),
        }
    }
}

impl Call {
    pub(super) fn log_playback(&mut self, control_id: &ControlId, media: &[Media]) {
        let items = media.iter().map(Media::name);
        self.playbacks.push(PlaybackLog {
            control_id: control_id.clone(),
            requested_at_ms: self.now.at_ms,
            started_at_ms: None,
            ended_at_ms: None,
            ended_by: None,
            position_ms: 0.0,
            items: items
                .map(|what| ItemLog { what, duration_ms: None, started_at_ms: None, ended_at_ms: None })
                .collect(),
        });
    }

    /// Everything, as JSON.
    pub(crate) fn view(&self) -> Value {
        json!({
            "call_id": self.id,
            "from": self.ring.from,
            "to": self.ring.to,
            "context": self.ring.context,
            "direction": Dialled::direction(self.dialled.as_ref()),
            "tag": Dialled::tag(self.dialled.as_ref()),
            "state": match self.state {
                State::Created { .. } => "created",
                State::Dialling => "dialling",
                State::HandedOver => "handed_over",
                State::Answered => "answered",
                State::Ending { .. } => "ending",
                State::Ended => "ended",
            },
            "owner": self.owner,
            "answered_at_ms": self.answered_at_ms,
            "ended_at_ms": self.ended_at_ms,
            "end_reason": self.end_reason,
            "playing": self.playback.as_ref().map(|playback| &playback.control_id),
            "recording": self.recording.as_ref().map(|recording| &recording.control_id),
            "collecting": self.collect.as_ref().map(|collect| &collect.control_id),
            "detecting": self.detection.as_ref().map(|detection| &detection.control_id),
            "detected": self.detected,
            "connected_to": self.bridge.as_ref().filter(|bridge| bridge.is_connected).map(|bridge| &bridge.device),
            "heard_ms": self.heard.len() as f64 / 8.0,
            "commands": self.commands,
            "playbacks": self.playbacks,
            "caller_speech": self.caller.spoken(),
            "recordings": self.recordings,
            "streams": self.stream_logs,
            "documents": self.documents,
            "violations": self.violations,
        })
    }

    /// What the caller heard, mu-law.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.clone()
    }

    /// Both sides of the line as 16-bit WAV, mixed.
    pub(crate) fn line(&self) -> Vec<u8> {
        let (said, heard) = (mulaw::decode(&self.said), mulaw::decode(&self.heard));
        let mixed = heard.iter().enumerate().map(|(n, heard)| heard + said.get(n).copied().unwrap_or(0.0));
        wav::write_pcm16(&Audio { samples: mixed.collect(), sample_rate_hertz: TELEPHONE_HERTZ })
    }

    /// Where the caller heard nothing between two moments of the simulator's clock. `None` before the answer.
    pub(crate) fn silences(&self, from_ms: f64, to_ms: f64) -> Option<Silences> {
        let answered = self.answered_at_ms?;
        let frame_of = |ms: f64| (((ms - answered).max(0.0)) / super::FRAME_MS) as usize;
        let frames = self.heard.chunks_exact(160).enumerate();
        let window = frames.skip(frame_of(from_ms)).take_while(|(n, _)| *n < frame_of(to_ms));
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (n, _) in window.filter(|(_, frame)| is_silent(frame)) {
            match runs.last_mut() {
                Some((_, end)) if *end == n => *end = n + 1,
                _ => runs.push((n, n + 1)),
            }
        }
        let at = |frame: usize| answered + frame as f64 * super::FRAME_MS;
        let longest = runs.iter().map(|(start, end)| end - start).max().unwrap_or(0);
        let gaps = runs.iter().filter(|(start, end)| end - start >= SHORTEST_GAP_FRAMES);
        Some(Silences {
            longest_ms: longest as f64 * super::FRAME_MS,
            gaps: gaps.map(|(start, end)| Gap { from_ms: at(*start), to_ms: at(*end) }).collect(),
        })
    }
}

fn is_silent(frame: &[u8]) -> bool {
    let samples = mulaw::decode(frame);
    let power = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
    10.0 * (power + 1e-10).log10() < SILENCE_DB
}
