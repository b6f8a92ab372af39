//! Commands that begin and end streams.

use serde_json::{Value, json};

use super::{Codec, Degrade, Kind, MediaStream, OpenSocket, PlayOut, Side, Speaker, StreamLog};
use crate::signalwire::{
    call::{Call, Output, World, commands::Done},
    params::{self, ControlId, Direction, StreamTo, TapDevice, TapWhat, Tracks, parse},
    switches::Dialect,
    wire::Refusal,
};

/// Streams of one call at the same time.
const MOST_STREAMS: usize = 8;

impl Call {
    pub(in crate::signalwire::call) fn start_stream(&mut self, world: &World, params: &Value) -> Done {
        const CLASS: &str = "CallStreamParams";
        let params::StartStream { control_id, to, track } = parse(CLASS, params)?;
        let codec = self.check_stream(world, &to, CLASS)?;
        if self.streams.iter().any(|stream| stream.to.name.is_some() && stream.to.name == to.name) {
            return Err(Refusal::fault("400", "Duplicated stream name"));
        }
        self.register(&control_id, "stream")?;
        let inbound = || Side::new("inbound", Direction::Speak, codec);
        let outbound = || Side::new("outbound", Direction::Listen, codec);
        let sides = match track {
            Tracks::Inbound => vec![inbound()],
            Tracks::Outbound => vec![outbound()],
            Tracks::Both => vec![inbound(), outbound()],
        };
        self.open_stream(world, Kind::Listening { control_id: control_id.clone() }, to, codec, sides);
        Ok(json!({ "control_id": control_id }))
    }

    pub(in crate::signalwire::call) fn start_tap(&mut self, world: &World, params: &Value) -> Done {
        const CLASS: &str = "CallTapParams";
        let params::Tap { control_id, tap, device } = parse(CLASS, params)?;
        let TapDevice::Ws { uri, codec } = &device else {
            return Err(Refusal::crossed("400", "only taps to a WebSocket are simulated"));
        };
        let to = StreamTo { url: uri.clone(), codec: codec.clone(), ..StreamTo::default() };
        let codec = self.check_stream(world, &to, CLASS)?;
        self.register(&control_id, "tap")?;
        let TapWhat::Audio { direction } = tap;
        let sides = vec![Side::new("tap", direction, codec)];
        let kind = Kind::Tapping { control_id: control_id.clone(), tap, device };
        self.open_stream(world, kind, to, codec, sides);
        let source = json!({ "type": "rtp", "params": { "addr": "127.0.0.1", "port": 5_004, "codec": "PCMU",
            "ptime": 20, "rate": codec.hertz } });
        Ok(json!({ "control_id": control_id, "source_device": source }))
    }

    pub(in crate::signalwire::call) fn stop_listening(
        &mut self,
        params: &Value,
        kind: &'static str,
        class: &str,
    ) -> Done {
        let is_it = |stream: &&MediaStream, wanted: &ControlId| match &stream.kind {
            Kind::Connected => false,
            Kind::Listening { control_id } | Kind::Tapping { control_id, .. } => control_id == wanted,
        };
        let params::Operation { control_id } = parse(class, params)?;
        let running = self.streams.iter().any(|stream| is_it(&stream, &control_id)).then_some(&control_id);
        let id = self.find(params, kind, class, running)?;
        let stream = self.streams.iter().find(|stream| is_it(stream, &id)).map(|stream| stream.id.clone());
        if let Some(stream) = stream {
            self.close_stream(&stream, "stop");
        }
        Ok(json!({ "control_id": id }))
    }

    /// Checks where a stream goes.
    pub(in crate::signalwire::call) fn check_stream(
        &self,
        world: &World,
        to: &StreamTo,
        class: &str,
    ) -> Result<Codec, Refusal> {
        let invalid = |why: &str| Refusal::invalid_params(class, why);
        let is_loopback = |rest: &str| rest.starts_with("127.0.0.1") || rest.starts_with("localhost");
        let is_address =
            to.url.starts_with("wss://") || to.url.strip_prefix("ws://").is_some_and(is_loopback);
        if !is_address || to.url.contains(['?', '#']) {
            return Err(invalid("url is wss://, or ws:// to this machine, without a query"));
        }
        let codec = Codec::parse(to.codec.as_deref()).map_err(|why| invalid(&why))?;
        if world.switches.stream_dialect == Dialect::Twilio && codec.hertz != 8_000 {
            return Err(invalid("Twilio streams mu-law only"));
        }
        if self.streams.len() >= MOST_STREAMS {
            return Err(Refusal::fault("400", "too many streams on this call"));
        }
        Ok(codec)
    }

    /// Connects the call to a stream, which speaks to the caller too. Gives the stream's id.
    pub(in crate::signalwire::call) fn connect_stream(
        &mut self,
        world: &World,
        to: StreamTo,
        codec: Codec,
    ) -> String {
        let sides = vec![Side::new("inbound", Direction::Speak, codec)];
        self.open_stream(world, Kind::Connected, to, codec, sides)
    }

    /// A document has a stream listen; nobody can stop it by a command.
    pub(in crate::signalwire::call) fn listen_by_script(
        &mut self,
        world: &World,
        to: StreamTo,
        codec: Codec,
    ) {
        let control_id = ControlId(uuid::Uuid::new_v4().to_string());
        let sides = vec![Side::new("inbound", Direction::Speak, codec)];
        self.open_stream(world, Kind::Listening { control_id }, to, codec, sides);
    }

    fn open_stream(
        &mut self,
        world: &World,
        kind: Kind,
        to: StreamTo,
        codec: Codec,
        sides: Vec<Side>,
    ) -> String {
        let id = format!("MZ{}", uuid::Uuid::new_v4().simple());
        let what = match &kind {
            Kind::Connected => "connect",
            Kind::Listening { .. } => "stream",
            Kind::Tapping { .. } => "tap",
        };
        self.note("stream_requested", json!({ "stream": id, "kind": what, "to": to }));
        self.stream_logs.push(StreamLog::new(id.clone(), what, &to, self.now.at_ms));
        let socket = OpenSocket {
            stream_id: id.clone(),
            url: to.url.clone(),
            bearer: to.authorization_bearer_token.clone(),
        };
        self.outputs.push_back(Output::OpenSocket(socket));
        self.streams.push(MediaStream {
            speaker: Speaker::new(world.switches.stream_dialect, id.clone(), self.id.clone()),
            playout: PlayOut::new(codec),
            degrade: Degrade::new(),
            id: id.clone(),
            is_open: false,
            log: self.stream_logs.len() - 1,
            kind,
            to,
            codec,
            sides,
        });
        id
    }
}
