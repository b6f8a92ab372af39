//! One call as the platform sees it: its life, what is played into it, what is recorded and heard of the caller.
//!
//! Pure: commands, key presses and 20 ms ticks go in with the moment they happen at, and outputs are taken out. The
//! shell around it is `line`.

mod bridge;
mod caller;
mod collect;
mod commands;
mod detect;
mod dialling;
mod output;
mod playback;
mod recording;
mod script;
mod streams;
mod view;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};
use voice_audio::{FRAME_SAMPLES, mulaw};

use self::{
    bridge::{Bridge, SendingDigits},
    caller::Caller,
    collect::{Collect, Collected},
    detect::{Detected, Detection},
    dialling::Dialled,
    playback::Playback,
    recording::{Recording, RecordingEnd},
    script::{DocumentLog, Script},
    streams::{MediaStream, StreamLog},
    view::{CommandLog, PlaybackLog, RecordingLog},
};
pub(crate) use self::{
    caller::Utterance,
    dialling::NewDial,
    output::{Output, Passed},
    script::Verb,
    streams::{Message, OpenSocket, ToSocket},
};
use super::{
    clock::Now,
    faults::StreamFaults,
    params::{ControlId, EndReason},
    switches::Switches,
    telephones::Telephones,
};

/// The node that every call lives on.
pub(crate) const NODE_ID: &str = "node-1@voice-sim";

/// Ticks of ringing after which the caller gives up: a minute.
const RING_TICKS: u64 = 3_000;
/// Ticks until a call that was passed is offered again although there is no other consumer: a second.
const OFFER_AGAIN_TICKS: u64 = 50;
/// One frame on the line, in milliseconds.
pub(crate) const FRAME_MS: f64 = 20.0;

/// What surrounds a call at a moment.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// The time.
    pub(crate) now: Now,
    /// Readings in force.
    pub(crate) switches: Switches,
    /// A transfer fails with this reason.
    pub(crate) connect_fails: Option<String>,
    /// What the network does to media streams.
    pub(crate) stream_faults: StreamFaults,
    /// Who can be called.
    pub(crate) telephones: Telephones,
}

/// Where a call is in its life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Ringing; `Some` after a pass: when to offer it again.
    Created { offer_again: Option<(u64, String)> },
    /// The client calls somebody, whose telephone rings.
    Dialling,
    /// Being talked on.
    Answered,
    /// The client has ended it; the caller's side follows a tick later.
    Ending { reason: EndReason },
    /// Given to a document or to another application of the platform.
    HandedOver,
    /// Over.
    Ended,
}

/// How a call comes in.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) context: String,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    segment_id: String,
    ring: Ring,
    recordings_url: Arc<str>,
    speed: u32,
    state: State,
    /// Session that controls it.
    owner: Option<String>,
    ticks: u64,
    now: Now,
    answered_at_ms: Option<f64>,
    ended_at_ms: Option<f64>,
    end_reason: Option<String>,
    caller: Caller,
    playback: Option<Playback>,
    recording: Option<Recording>,
    collect: Option<Collect>,
    sending: Option<SendingDigits>,
    bridge: Option<Bridge>,
    detection: Option<Detection>,
    /// Media streams that are open or being opened.
    streams: Vec<MediaStream>,
    /// What a document has the platform do, on a call without a RELAY client.
    script: Option<Script>,
    /// What detections said.
    detected: Vec<&'static str>,
    /// Set if the client made the call.
    dialled: Option<Dialled>,
    /// Every operation ever started, with its kind.
    controls: HashMap<ControlId, &'static str>,
    /// What the caller heard since the answer, mu-law.
    heard: Vec<u8>,
    /// What the caller said since the answer, mu-law.
    said: Vec<u8>,
    commands: Vec<CommandLog>,
    playbacks: Vec<PlaybackLog>,
    recordings: Vec<RecordingLog>,
    stream_logs: Vec<StreamLog>,
    documents: Vec<DocumentLog>,
    violations: Vec<String>,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call that starts to ring now.
    pub(crate) fn new(id: String, ring: Ring, recordings_url: Arc<str>, speed: u32, now: Now) -> Self {
        let fields = json!({ "from": ring.from, "to": ring.to, "context": ring.context });
        let mut call = Self::bare(id, ring, recordings_url, speed, now);
        call.note("call_ringing", fields);
        call.outputs.push_back(Output::Offer { passed_by: None });
        call
    }

    fn bare(id: String, ring: Ring, recordings_url: Arc<str>, speed: u32, now: Now) -> Self {
        Self {
            segment_id: id.clone(),
            id,
            ring,
            recordings_url,
            speed,
            state: State::Created { offer_again: None },
            owner: None,
            ticks: 0,
            now,
            answered_at_ms: None,
            ended_at_ms: None,
            end_reason: None,
            caller: Caller::default(),
            playback: None,
            recording: None,
            collect: None,
            sending: None,
            bridge: None,
            detection: None,
            streams: Vec::new(),
            script: None,
            detected: Vec::new(),
            dialled: None,
            controls: HashMap::new(),
            heard: Vec::new(),
            said: Vec::new(),
            commands: Vec::new(),
            playbacks: Vec::new(),
            recordings: Vec::new(),
            stream_logs: Vec::new(),
            documents: Vec::new(),
            violations: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Who controls it.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether it is over.
    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether it rings and nobody has it.
    pub(crate) fn waits_for_consumer(&self, context: &str) -> bool {
        self.state == State::Created { offer_again: None }
            && self.owner.is_none()
            && self.script.is_none()
            && self.ring.context == context
    }

    /// Hands the call to a session that may answer it.
    pub(crate) fn offer_to(&mut self, session: String, project: &str, now: Now) {
        self.now = now;
        self.note("call_offered", json!({ "session": session }));
        self.owner = Some(session);
        self.state = State::Created { offer_again: None };
        let params = json!({ "context": self.ring.context, "direction": "inbound", "call_state": "created", "tag": "",
            "device": self.device(), "project_id": project, "space_id": "voice-sim" });
        self.event("calling.call.receive", "created", params);
    }

    /// Whether it was passed or has not been offered yet: nobody controls it.
    pub(crate) fn waits_for_offer(&self) -> bool {
        matches!(self.state, State::Created { .. }) && self.owner.is_none() || self.script.is_some()
    }

    /// Its session is no more; whoever sends the next command has it.
    pub(crate) fn disown(&mut self) {
        self.owner = None;
    }

    /// Gives an ownerless call to a session.
    pub(crate) fn adopt(&mut self, session: &str) {
        self.owner.get_or_insert_with(|| session.to_owned());
    }

    /// Notes something that a correct client would not have done.
    pub(crate) fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Queues something for the caller to say.
    ///
    /// # Errors
    /// When the call is over, or more is queued than anybody says in one breath; the text says which.
    pub(crate) fn say(&mut self, utterance: Utterance, now: Now) -> Result<(), &'static str> {
        self.now = now;
        if self.is_ended() {
            return Err("the call has ended");
        }
        self.caller.say(utterance)
    }

    /// The caller presses keys, now.
    pub(crate) fn press(&mut self, digits: &str, now: Now) {
        self.now = now;
        if self.state != State::Answered {
            return;
        }
        self.note("caller_pressed", json!({ "digits": digits }));
        for digit in digits.chars() {
            self.stream_digit(digit);
            if self.recording.as_ref().is_some_and(|recording| recording.is_ended_by(digit)) {
                self.end_recording(RecordingEnd::Finished);
            }
            let collected = self.collect.as_mut().map(|collect| collect.press(digit)).unwrap_or_default();
            self.take_collected(collected);
        }
    }

    /// The caller hangs up.
    pub(crate) fn hang_up(&mut self, world: &World) {
        self.now = world.now;
        if !self.is_ended() {
            self.note("caller_hung_up", json!({}));
            let reason = if self.state == State::Dialling { "decline" } else { "hangup" };
            self.end(reason, world);
        }
    }

    /// Twenty milliseconds pass.
    pub(crate) fn tick(&mut self, world: &World) {
        self.now = world.now;
        self.ticks += 1;
        match self.state.clone() {
            State::Created { offer_again: Some((at, session)) } if self.ticks >= at => {
                self.state = State::Created { offer_again: None };
                let passed_by = Some(Passed { session, may_come_back: true });
                self.outputs.push_back(Output::Offer { passed_by });
            }
            State::Created { .. } if self.ticks >= RING_TICKS => self.end("noAnswer", world),
            State::Dialling => self.advance_dialling(world),
            State::Created { .. } | State::HandedOver | State::Ended => {}
            State::Answered => {
                self.carry_audio(world);
                self.advance_script(world);
            }
            State::Ending { reason } => {
                let reason = serde_json::to_value(reason).expect("a plain enum");
                self.end(reason.as_str().expect("a plain enum is a string"), world);
            }
        }
    }

    /// One frame in each direction.
    fn carry_audio(&mut self, world: &World) {
        let mut ear = [0.0; FRAME_SAMPLES];
        self.play_frame(&mut ear);
        self.play_streams(&mut ear);
        self.play_peer(&mut ear);
        if let Some(recording) = &mut self.recording {
            recording.beep(&mut ear);
        }
        self.heard.extend(mulaw::encode(&ear));
        for _ in 0..self.speed {
            self.hear_frame(&ear, world);
        }
        self.advance_bridge();
    }

    /// One frame of the caller, to everything that listens.
    fn hear_frame(&mut self, ear: &[f32], world: &World) {
        let frame = self.caller.frame();
        self.said.extend(mulaw::encode(&frame.samples));
        self.tell_peer(&frame.samples);
        // A frame that is here now was spoken before.
        let spoken_from = self.now.at_ms - FRAME_MS;
        let at = |sample: usize| spoken_from + sample as f64 / 8.0;
        if let Some((sample, text)) = &frame.started {
            let at_ms = at(*sample);
            self.caller.note_start(at_ms, text);
            self.note_at("caller_started_speaking", at_ms, json!({ "text": text }));
        }
        if let Some(sample) = frame.stopped {
            let at_ms = at(sample);
            self.caller.note_stop(at_ms);
            self.note_at("caller_stopped_speaking", at_ms, json!({}));
        }
        if let Some(end) =
            self.recording.as_mut().and_then(|tape| tape.frame(&frame.samples, ear, &world.switches))
        {
            self.end_recording(end);
        }
        let heard =
            self.collect.as_mut().map(|collect| collect.frame(&frame, &world.switches)).unwrap_or_default();
        self.take_collected(heard);
        let detected = self.detection.as_mut().map(|detection| detection.frame(&frame)).unwrap_or_default();
        self.take_detected(detected);
        self.stream_frame(&frame.samples, ear, world);
    }

    /// The call is over for both sides.
    fn end(&mut self, reason: &str, world: &World) {
        let with_events = world.switches.operations_end_before_call;
        self.abandon_operations(with_events);
        self.leave_bridge("call_ended");
        self.close_streams("call_ended");
        self.caller.fall_silent();
        self.state = State::Ended;
        self.ended_at_ms = Some(self.now.at_ms);
        self.end_reason = Some(reason.to_owned());
        self.state_event("ended", Some(reason));
        self.fail_dial(reason);
        self.note("call_ended", json!({ "reason": reason }));
    }

    fn abandon_operations(&mut self, with_events: bool) {
        let kept = self.outputs.len();
        self.end_playback("call_ended", "finished");
        if self.recording.is_some() {
            self.end_recording(RecordingEnd::Finished);
        }
        if let Some(collect) = self.collect.take() {
            self.take_collected(vec![Collected::error(collect)]);
        }
        self.take_detected(vec![Detected::Finished]);
        self.stop_listening_streams();
        self.sending = None;
        if !with_events {
            let added = self.outputs.split_off(kept);
            self.outputs.extend(added.into_iter().filter(|output| !matches!(output, Output::Event { .. })));
        }
    }

    fn device(&self) -> Value {
        json!({ "type": "phone", "params": { "from_number": self.ring.from, "to_number": self.ring.to } })
    }

    fn state_event(&mut self, state: &str, end_reason: Option<&str>) {
        let dialled = self.dialled.as_ref();
        let mut params = json!({ "call_state": state, "direction": Dialled::direction(dialled),
            "device": self.device(), "tag": Dialled::tag(dialled) });
        if let Some(reason) = end_reason {
            params["end_reason"] = json!(reason);
        }
        self.event("calling.call.state", state, params);
    }

    /// Sends an event about this call.
    fn event(&mut self, event_type: &'static str, state: &str, mut params: Value) {
        params["call_id"] = json!(self.id);
        params["node_id"] = json!(NODE_ID);
        params["segment_id"] = json!(self.segment_id);
        self.outputs.push_back(Output::Event { event_type, state: state.to_owned(), params });
    }

    fn note(&mut self, event: &'static str, fields: Value) {
        self.note_at(event, self.now.at_ms, fields);
    }

    fn note_at(&mut self, event: &'static str, at_ms: f64, mut fields: Value) {
        fields["call_id"] = json!(self.id);
        self.outputs.push_back(Output::Note { event, at_ms, fields });
    }
}

#[cfg(test)]
mod tests;
