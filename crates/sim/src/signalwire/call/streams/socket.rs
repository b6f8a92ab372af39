//! What the socket of a stream brings: its beginning, what the client says, its end.

use serde_json::json;

use super::{ClearLog, Kind, MarkLog, Message, Said};
use crate::signalwire::{
    call::{Call, Output, State, World},
    clock::Now,
};

impl Call {
    /// The socket of a stream is open, or cannot be opened.
    pub(crate) fn stream_opened(&mut self, id: &str, opened: Result<(), String>, world: &World) {
        self.now = world.now;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        if let Err(why) = opened {
            self.note("stream_failed", json!({ "stream": id, "reason": why }));
            self.stream_over(id, &why, world);
            return;
        }
        stream.is_open = true;
        let messages = match stream.kind {
            Kind::Tapping { .. } => Vec::new(),
            Kind::Connected | Kind::Listening { .. } => {
                let tracks = stream.tracks();
                vec![
                    stream.speaker.connected(),
                    stream.speaker.start(stream.codec, &tracks, &stream.to.custom_parameters),
                ]
            }
        };
        let (kind, log, url, name) =
            (stream.kind.clone(), stream.log, stream.to.url.clone(), stream.to.name.clone());
        for message in messages {
            self.send_to(id, Message::Text(message.to_string()), 0.0);
        }
        self.stream_logs[log].opened_at_ms = Some(self.now.at_ms);
        self.note("stream_opened", json!({ "stream": id }));
        match kind {
            Kind::Connected => self.stream_connected(id),
            Kind::Listening { control_id } => {
                let event =
                    json!({ "control_id": control_id, "state": "streaming", "url": url, "name": name });
                self.event("calling.call.stream", "streaming", event);
            }
            Kind::Tapping { control_id, tap, device } => {
                let event =
                    json!({ "control_id": control_id, "state": "tapping", "tap": tap, "device": device });
                self.event("calling.call.tap", "tapping", event);
            }
        }
        self.stream_status(id, "stream-started", None);
    }

    /// A message came on the socket of a stream.
    pub(crate) fn stream_said(&mut self, id: &str, message: &Message, now: Now) {
        self.now = now;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        let said = match (message, &stream.kind) {
            // Whatever a tap is told, it has no way into the call.
            (_, Kind::Tapping { .. }) => return,
            (Message::Binary(_), _) => Err("a binary message".to_owned()),
            (Message::Text(_), Kind::Listening { .. }) => Err("a message to a one-way stream".to_owned()),
            (Message::Text(text), Kind::Connected) => stream.speaker.parse(text),
        };
        match said {
            Ok(Said::Media(bytes)) => self.stream_media(id, &bytes),
            Ok(Said::Mark(name)) => self.stream_mark(id, name),
            Ok(Said::Clear) => self.stream_clear(id),
            Ok(Said::Dtmf(digit)) => self.note("digits_sent", json!({ "stream": id, "digits": digit })),
            Err(why) => self.stream_fault(id, &why),
        }
    }

    fn stream_media(&mut self, id: &str, bytes: &[u8]) {
        let now_ms = self.now.at_ms;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        let log = &mut self.stream_logs[stream.log];
        log.media_received += 1;
        let Some(samples) = stream.codec.decode(bytes) else {
            return self.stream_fault(id, "a payload ends within a sample");
        };
        if !stream.playout.push(samples, now_ms) {
            self.stream_fault(id, "ten minutes of sound wait to be played");
        }
    }

    fn stream_mark(&mut self, id: &str, name: String) {
        let now_ms = self.now.at_ms;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        let waits = stream.playout.mark(&name);
        self.stream_logs[stream.log].marks.push(MarkLog::new(name.clone(), now_ms));
        if !waits {
            self.echo_mark(id, &name, false);
        }
    }

    fn stream_clear(&mut self, id: &str) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        let (dropped_ms, marks) = stream.playout.clear();
        let clear = ClearLog { at_ms: self.now.at_ms, dropped_ms };
        self.stream_logs[stream.log].clears.push(clear);
        self.note("stream_cleared", json!({ "stream": id, "dropped_ms": dropped_ms }));
        for mark in marks {
            self.echo_mark(id, &mark, true);
        }
    }

    pub(super) fn echo_mark(&mut self, id: &str, name: &str, was_cleared: bool) {
        let now_ms = self.now.at_ms;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        let message = stream.speaker.mark(name);
        if let Some(mark) = self.stream_logs[stream.log].open_mark(name) {
            (mark.echoed_at_ms, mark.was_cleared) = (Some(now_ms), was_cleared);
        }
        self.send_to(id, Message::Text(message.to_string()), 0.0);
        self.note("stream_mark", json!({ "stream": id, "name": name, "was_cleared": was_cleared }));
    }

    fn stream_fault(&mut self, id: &str, why: &str) {
        self.note("stream_fault", json!({ "stream": id, "what": why }));
        self.outputs.push_back(Output::Violation { what: format!("media stream: {why}") });
        self.violations.push(format!("media stream: {why}"));
    }

    /// The socket of a stream is closed, by whom and why.
    pub(crate) fn stream_closed(&mut self, id: &str, why: &str, world: &World) {
        self.now = world.now;
        self.stream_over(id, why, world);
    }

    fn stream_over(&mut self, id: &str, why: &str, world: &World) {
        let Some(kind) = self.forget_stream(id, why) else { return };
        match kind {
            Kind::Connected => self.stream_disconnected(id, why, world),
            Kind::Listening { .. } | Kind::Tapping { .. } => {}
        }
    }

    fn stream_connected(&mut self, id: &str) {
        if self.bridge.as_ref().is_some_and(|bridge| bridge.peer_id == id) {
            self.bridge_is_up();
        }
    }

    fn stream_disconnected(&mut self, id: &str, why: &str, world: &World) {
        if self.bridge.as_ref().is_some_and(|bridge| bridge.peer_id == id) {
            self.bridge_is_gone(why);
        }
        if self.state != State::Answered {
            return;
        }
        if self.script.is_some() {
            self.next_verb(world);
        } else if world.switches.stream_end_hangs_up {
            self.end("hangup", world);
        }
    }
}
