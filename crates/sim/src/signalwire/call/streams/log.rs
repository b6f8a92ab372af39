//! What tests may see of a stream.

use serde::Serialize;

use super::playout::Counts;
use crate::signalwire::params::StreamTo;

/// A stream, live or over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamLog {
    stream_sid: String,
    /// `connect`, `stream` or `tap`.
    kind: &'static str,
    #[serde(flatten)]
    to: StreamTo,
    requested_at_ms: f64,
    pub(super) opened_at_ms: Option<f64>,
    pub(super) closed_at_ms: Option<f64>,
    /// `stop`, `call_ended`, or what the other side did: a close code and its reason.
    pub(super) closed_by: Option<String>,
    /// Messages with the caller's sound; those that were lost are among them.
    pub(super) frames_sent: u64,
    pub(super) frames_lost: u64,
    pub(super) frames_doubled: u64,
    pub(super) frames_late: u64,
    /// Messages with sound for the caller.
    pub(super) media_received: u64,
    #[serde(flatten)]
    pub(super) sound: Counts,
    pub(super) marks: Vec<MarkLog>,
    pub(super) clears: Vec<ClearLog>,
}

/// A mark.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MarkLog {
    name: String,
    received_at_ms: f64,
    pub(super) echoed_at_ms: Option<f64>,
    pub(super) was_cleared: bool,
}

/// A clear.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ClearLog {
    pub(super) at_ms: f64,
    pub(super) dropped_ms: f64,
}

impl StreamLog {
    pub(super) fn new(stream_sid: String, kind: &'static str, to: &StreamTo, now_ms: f64) -> Self {
        Self {
            stream_sid,
            kind,
            to: to.clone(),
            requested_at_ms: now_ms,
            opened_at_ms: None,
            closed_at_ms: None,
            closed_by: None,
            frames_sent: 0,
            frames_lost: 0,
            frames_doubled: 0,
            frames_late: 0,
            media_received: 0,
            sound: Counts::default(),
            marks: Vec::new(),
            clears: Vec::new(),
        }
    }

    /// The oldest mark of that name that has not come back.
    pub(super) fn open_mark(&mut self, name: &str) -> Option<&mut MarkLog> {
        self.marks.iter_mut().find(|mark| mark.name == name && mark.echoed_at_ms.is_none())
    }
}

impl MarkLog {
    pub(super) fn new(name: String, received_at_ms: f64) -> Self {
        Self { name, received_at_ms, echoed_at_ms: None, was_cleared: false }
    }
}
