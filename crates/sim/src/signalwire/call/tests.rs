//! Timelines of a call, tick by tick, without a clock.

mod commands;
mod hearing;
mod legs;
mod playing;
mod streaming;

use serde_json::{Value, json};
use voice_audio::Audio;

use super::*;
use crate::signalwire::{
    telephones::{Does, Telephone},
    wire::{Layer, Refusal},
};

/// A call whose outputs are sorted as they come.
struct Table {
    call: Call,
    world: World,
    events: Vec<(String, Value)>,
    published: Vec<usize>,
    loads: usize,
    /// Sockets that were to be opened, and what was to be written to them.
    opened: Vec<OpenSocket>,
    written: Vec<ToSocket>,
    fetched: Vec<(String, Vec<(String, String)>)>,
}

impl Table {
    fn ringing() -> Self {
        let now = Now { at_ms: 0.0, unix: 1_000.0 };
        let ring = Ring { from: "+1".into(), to: "+2".into(), context: "lab".into() };
        let call = Call::new("call-1".into(), ring, "http://sim/recordings".into(), 1, now);
        let world = World {
            now,
            switches: Switches::default(),
            connect_fails: None,
            stream_faults: StreamFaults::default(),
            telephones: Telephones::default(),
        };
        Self::of(call, world)
    }

    fn of(call: Call, world: World) -> Self {
        let mut table = Self {
            call,
            world,
            events: Vec::new(),
            published: Vec::new(),
            loads: 0,
            opened: Vec::new(),
            written: Vec::new(),
            fetched: Vec::new(),
        };
        table.sort();
        table
    }

    fn answered() -> Self {
        let mut table = Self::ringing();
        table.call.offer_to("client".into(), "p", table.world.now);
        table.command("calling.answer", json!({})).unwrap();
        table.events.clear();
        table
    }

    fn with(mut self, switches: Switches) -> Self {
        self.world.switches = switches;
        self
    }

    fn command(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        let done = self.call.command(&self.world, method, &params);
        self.sort();
        done
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.world.now.at_ms += FRAME_MS;
            self.world.now.unix += FRAME_MS / 1e3;
            self.call.tick(&self.world);
            self.sort();
        }
    }

    /// Sounds that were asked for have this many samples each.
    fn load(&mut self, control_id: &str, item: usize, samples: usize) {
        let sound = Ok(vec![0.5; samples].into());
        self.call.loaded(&ControlId(control_id.into()), item, sound, self.world.now);
        self.sort();
    }

    fn say(&mut self, seconds: f32, text: &str) {
        let voice = |n: usize| 0.4 * (n as f32 * 0.5).sin();
        let samples = (0..(seconds * 8_000.0) as usize).map(voice).collect();
        let utterance = Utterance::new(&Audio { samples, sample_rate_hertz: 8_000 }, text);
        self.call.say(utterance, self.world.now).unwrap();
    }

    fn sort(&mut self) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Event { event_type, state, params } => {
                    self.events.push((format!("{event_type} {state}"), params));
                }
                Output::Publish { samples, .. } => self.published.push(samples.len()),
                Output::Load { .. } => self.loads += 1,
                Output::OpenSocket(request) => self.opened.push(request),
                Output::ToSocket { to_socket, .. } => self.written.push(to_socket),
                Output::FetchDocument { url, form } => self.fetched.push((url, form)),
                Output::PostStatus { .. }
                | Output::Violation { .. }
                | Output::Note { .. }
                | Output::Offer { .. }
                | Output::Join { .. }
                | Output::Part { .. }
                | Output::ToPeer { .. } => {}
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.events.iter().map(|(name, _)| name.strip_prefix("calling.call.").unwrap_or(name)).collect()
    }
}

fn play(control_id: &str) -> Value {
    json!({ "control_id": control_id, "play": [
        { "type": "audio", "params": { "url": "http://x/a.wav" } },
        { "type": "silence", "params": { "duration": 1 } },
    ] })
}

fn tape(initial: f64, end_silence: f64) -> Value {
    json!({ "control_id": "tape", "record": { "audio": { "format": "wav", "initial_timeout": initial,
        "end_silence_timeout": end_silence, "terminators": "#" } } })
}

fn ear(extra: Value) -> Value {
    let mut params = json!({ "control_id": "ear", "speech": { "end_silence_timeout": 0.4 }, "partial_results": true,
        "send_start_of_input": true, "start_input_timers": false });
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    params
}

fn code(refusal: &Refusal) -> (String, bool) {
    (refusal.code(), refusal.is_violation)
}
