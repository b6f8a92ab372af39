//! Media streams of a call: one that the call is connected to, which hears the caller and speaks to him, and any number
//! that only listen.

mod codec;
mod commands;
mod degrade;
mod dialect;
mod log;
mod playout;
mod socket;

use serde_json::json;
use voice_audio::FRAME_SAMPLES;

pub(crate) use self::{codec::Codec, log::StreamLog};
use self::{
    codec::RateChange,
    degrade::{Degrade, Fate},
    dialect::{Place, Said, Speaker},
    log::{ClearLog, MarkLog},
    playout::{Change, PlayOut},
};
use super::{Call, Output, World};
use crate::signalwire::params::{ControlId, Direction, StreamTo, TapDevice, TapWhat};

/// A stream of a call.
#[derive(Debug)]
pub(super) struct MediaStream {
    pub(super) id: String,
    kind: Kind,
    to: StreamTo,
    codec: Codec,
    speaker: Speaker,
    sides: Vec<Side>,
    playout: PlayOut,
    degrade: Degrade,
    is_open: bool,
    /// Its place among the logs.
    log: usize,
}

/// Why there is a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// The call is connected to it, by a command or by a document.
    Connected,
    /// It listens.
    Listening { control_id: ControlId },
    /// It listens, and is sent bare bytes.
    Tapping { control_id: ControlId, tap: TapWhat, device: TapDevice },
}

/// One direction that a stream listens to.
#[derive(Debug)]
struct Side {
    track: &'static str,
    direction: Direction,
    rate: RateChange,
    /// Sound for the message that is being filled.
    pending: Vec<f32>,
    chunk: u64,
}

/// A socket that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenSocket {
    /// Of the stream.
    pub(crate) stream_id: String,
    /// Where.
    pub(crate) url: String,
    /// Shown there.
    pub(crate) bearer: Option<String>,
}

/// Something to write to a media socket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ToSocket {
    /// A message, this much later; if it keeps its place, those behind it wait as well.
    Message {
        /// Text or bytes.
        message: Message,
        /// How much later.
        delay_ms: f64,
    },
    /// What waits, and the end.
    Close,
}

/// A WebSocket message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl MediaStream {
    fn tracks(&self) -> Vec<&'static str> {
        self.sides.iter().map(|side| side.track).collect()
    }
}

impl Side {
    fn new(track: &'static str, direction: Direction, codec: Codec) -> Self {
        let rate = RateChange::new(codec.factor());
        Self { track, direction, rate, pending: Vec::new(), chunk: 0 }
    }

    /// Takes 20 ms of both parties; gives a message's worth of sound once there is one.
    fn take(&mut self, caller: &[f32], ear: &[f32], codec: Codec) -> Option<(Place, Vec<u8>)> {
        let sound = match self.direction {
            Direction::Speak => self.rate.up(caller),
            Direction::Listen => self.rate.up(ear),
            Direction::Both => {
                let mixed: Vec<f32> = caller.iter().zip(ear).map(|(caller, ear)| caller + ear).collect();
                self.rate.up(&mixed)
            }
        };
        self.pending.extend(sound);
        if self.pending.len() < codec.frame_samples() * codec.frames {
            return None;
        }
        let timestamp_ms = self.chunk * 20 * codec.frames as u64;
        self.chunk += 1;
        let place = Place { track: self.track, chunk: self.chunk, timestamp_ms };
        Some((place, codec.encode(&std::mem::take(&mut self.pending))))
    }
}

impl Call {
    /// Twenty milliseconds of both parties, to every stream that listens.
    pub(super) fn stream_frame(&mut self, caller: &[f32; FRAME_SAMPLES], ear: &[f32], world: &World) {
        let now_ms = self.now.at_ms;
        for stream in self.streams.iter_mut().filter(|stream| stream.is_open) {
            let log = &mut self.stream_logs[stream.log];
            for side in &mut stream.sides {
                let Some((place, bytes)) = side.take(caller, ear, stream.codec) else { continue };
                let message = match stream.kind {
                    Kind::Tapping { .. } => Message::Binary(bytes),
                    Kind::Connected | Kind::Listening { .. } => {
                        Message::Text(stream.speaker.media(place, &bytes).to_string())
                    }
                };
                log.frames_sent += 1;
                let (delay_ms, copies) = match stream.degrade.fate(&world.stream_faults, now_ms) {
                    Fate::Lost => {
                        log.frames_lost += 1;
                        continue;
                    }
                    Fate::Overtaken { delay_ms } => {
                        log.frames_late += 1;
                        (delay_ms, 1)
                    }
                    Fate::InOrder { delay_ms, is_doubled } => {
                        log.frames_doubled += u64::from(is_doubled);
                        (delay_ms, 1 + usize::from(is_doubled))
                    }
                };
                for _ in 0..copies {
                    let to_socket = ToSocket::Message { message: message.clone(), delay_ms };
                    self.outputs.push_back(Output::ToSocket { stream_id: stream.id.clone(), to_socket });
                }
            }
        }
    }

    /// What the stream says, into the caller's ear.
    pub(super) fn play_streams(&mut self, ear: &mut [f32]) {
        let now_ms = self.now.at_ms;
        let mut marks = Vec::new();
        let mut changes = Vec::new();
        for stream in self.streams.iter_mut().filter(|stream| stream.kind == Kind::Connected) {
            let played = stream.playout.frame(ear, now_ms);
            self.stream_logs[stream.log].sound = stream.playout.counts;
            marks.extend(played.marks.into_iter().map(|name| (stream.id.clone(), name)));
            changes.extend(played.change.map(|change| (stream.id.clone(), change)));
        }
        for (id, change) in changes {
            let event = match change {
                Change::Began => "stream_sound_began",
                Change::Ended => "stream_sound_ended",
            };
            self.note(event, json!({ "stream": id }));
        }
        for (id, name) in marks {
            self.echo_mark(&id, &name, false);
        }
    }

    /// Tells streams that the caller has pressed a key.
    pub(super) fn stream_digit(&mut self, digit: char) {
        let mut messages = Vec::new();
        for stream in self.streams.iter_mut().filter(|stream| stream.is_open) {
            if stream.kind == Kind::Connected {
                messages.push((stream.id.clone(), stream.speaker.dtmf(digit)));
            }
        }
        for (id, message) in messages {
            self.send_to(&id, Message::Text(message.to_string()), 0.0);
        }
    }

    /// Ends a stream from this side.
    pub(super) fn close_stream(&mut self, id: &str, by: &'static str) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        if stream.is_open && !matches!(stream.kind, Kind::Tapping { .. }) {
            let message = stream.speaker.stop();
            self.send_to(id, Message::Text(message.to_string()), 0.0);
        }
        self.outputs.push_back(Output::ToSocket { stream_id: id.to_owned(), to_socket: ToSocket::Close });
        self.forget_stream(id, by);
    }

    pub(super) fn stop_listening_streams(&mut self) {
        let listening = self.streams.iter().filter(|stream| stream.kind != Kind::Connected);
        let ids: Vec<String> = listening.map(|stream| stream.id.clone()).collect();
        for id in ids {
            self.close_stream(&id, "call_ended");
        }
    }

    pub(super) fn close_streams(&mut self, by: &'static str) {
        let ids: Vec<String> = self.streams.iter().map(|stream| stream.id.clone()).collect();
        for id in ids {
            self.close_stream(&id, by);
        }
    }

    /// Lets go of a stream, and says so.
    fn forget_stream(&mut self, id: &str, why: &str) -> Option<Kind> {
        let place = self.streams.iter().position(|stream| stream.id == id)?;
        self.stream_status(id, "stream-stopped", Some(why));
        let stream = self.streams.remove(place);
        let log = &mut self.stream_logs[stream.log];
        (log.closed_at_ms, log.closed_by) = (Some(self.now.at_ms), Some(why.to_owned()));
        log.sound = stream.playout.counts;
        self.note("stream_closed", json!({ "stream": id, "by": why }));
        match &stream.kind {
            Kind::Connected => {}
            Kind::Listening { control_id } => {
                let (url, name) = (&stream.to.url, &stream.to.name);
                let event =
                    json!({ "control_id": control_id, "state": "finished", "url": url, "name": name });
                self.event("calling.call.stream", "finished", event);
            }
            Kind::Tapping { control_id, tap, device } => {
                let event =
                    json!({ "control_id": control_id, "state": "finished", "tap": tap, "device": device });
                self.event("calling.call.tap", "finished", event);
            }
        }
        Some(stream.kind)
    }

    fn send_to(&mut self, id: &str, message: Message, delay_ms: f64) {
        let to_socket = ToSocket::Message { message, delay_ms };
        self.outputs.push_back(Output::ToSocket { stream_id: id.to_owned(), to_socket });
    }

    fn stream_status(&mut self, id: &str, event: &str, error: Option<&str>) {
        let Some(stream) = self.streams.iter().find(|stream| stream.id == id) else { return };
        let Some(url) = stream.to.status_url.clone() else { return };
        let event = if stream.is_open { event } else { "stream-error" };
        let mut form = vec![
            ("AccountSid".to_owned(), "AC-voice-sim".to_owned()),
            ("CallSid".to_owned(), self.id.clone()),
            ("StreamSid".to_owned(), id.to_owned()),
            ("StreamEvent".to_owned(), event.to_owned()),
            ("Timestamp".to_owned(), self.now.unix.to_string()),
        ];
        form.extend(stream.to.name.clone().map(|name| ("StreamName".to_owned(), name)));
        if let Some(error) = error.filter(|_| event == "stream-error") {
            form.push(("StreamError".to_owned(), error.to_owned()));
        }
        self.outputs.push_back(Output::PostStatus { url, form });
    }
}
