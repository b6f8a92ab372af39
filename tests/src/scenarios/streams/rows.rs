//! How each RPC that is a stream is spoken to.

use bytes::Bytes;
use prost::Message;
use voice_audio::mulaw;
use voice_proto::{
    audio::v1::{AudioEncoding, AudioFormat},
    relay::v1::{
        CallerAudio, ConverseConfig, ConverseRequest, DigitPressed, WatchCallRequest, converse_request,
    },
    tts::v1::{
        Flush, StreamingSynthesizeConfig, StreamingSynthesizeRequest, SynthesizeRequest,
        streaming_synthesize_request,
    },
    worker::v1::{
        ProcessTurnRequest, TranscribeConfig, TranscribeFlush, TranscribeRequest, TurnConfig,
        WatchJobRequest, process_turn_request, transcribe_request,
    },
};

use super::Stage;

/// Said before a question, it makes for a short answer.
pub(super) const SHORTLY: &str = "in one word";

/// The longest piece of audio that a worker takes: 500 ms of mu-law.
const PIECE: usize = 4_000;

/// An RPC that is a stream.
pub(super) struct Row {
    /// Its path.
    pub(super) rpc: &'static str,
    /// Who serves it.
    pub(super) service: &'static str,
    /// What there has to be before it can be asked.
    pub(super) subject: Subject,
    /// Whether requests are a stream too.
    pub(super) takes_more: bool,
    /// How many requests it takes until something is answered.
    pub(super) lead: usize,
    /// The requests, from the first on.
    pub(super) message: fn(&Stage, usize) -> Bytes,
}

/// What a stream is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    Nothing,
    Call,
    Job,
}

pub(super) const WATCH_CALL: Row = Row {
    rpc: "/voice.relay.v1.RelayService/WatchCall",
    service: "relay",
    subject: Subject::Call,
    takes_more: false,
    lead: 1,
    message: |stage, _| {
        let call_id = stage.call.as_ref().expect("there is a call").call_id();
        encoded(&WatchCallRequest { call_id, after_sequence: 0 })
    },
};

pub(super) const CONVERSE: Row = Row {
    rpc: "/voice.relay.v1.RelayService/Converse",
    service: "relay",
    subject: Subject::Nothing,
    takes_more: true,
    lead: 1,
    message: |_, n| {
        use converse_request::Payload;
        let payload = match n {
            0 => Payload::Config(ConverseConfig { wants_events: true, ..ConverseConfig::default() }),
            n if n % 2 == 1 => {
                Payload::Audio(CallerAudio { audio: vec![mulaw::SILENCE; 1_600].into(), send_time: None })
            }
            _ => Payload::Digit(DigitPressed { digit: "5".into() }),
        };
        encoded(&ConverseRequest { payload: Some(payload) })
    },
};

pub(super) const TRANSCRIBE: Row = Row {
    rpc: "/voice.worker.v1.WorkerService/Transcribe",
    service: "worker",
    subject: Subject::Nothing,
    takes_more: true,
    lead: 3,
    message: |stage, n| {
        use transcribe_request::Payload;
        let payload = match n {
            0 => Payload::Config(TranscribeConfig::default()),
            n if n % 2 == 1 => Payload::Audio(piece(&stage.speech, n / 2)),
            n => Payload::Flush(TranscribeFlush { flush_id: n as i32 }),
        };
        encoded(&TranscribeRequest { payload: Some(payload) })
    },
};

pub(super) const PROCESS_TURN: Row = Row {
    rpc: "/voice.worker.v1.WorkerService/ProcessTurn",
    service: "worker",
    subject: Subject::Nothing,
    takes_more: true,
    // Speech of a second or more.
    lead: 4,
    message: |stage, n| {
        use process_turn_request::Payload;
        let payload = match n {
            0 => Payload::Config(TurnConfig {
                earlier_text: SHORTLY.into(),
                wants_partials: true,
                ..TurnConfig::default()
            }),
            n => Payload::Audio(piece(&stage.speech, n - 1)),
        };
        encoded(&ProcessTurnRequest { payload: Some(payload) })
    },
};

pub(super) const WATCH_JOB: Row = Row {
    rpc: "/voice.worker.v1.WorkerService/WatchJob",
    service: "worker",
    subject: Subject::Job,
    takes_more: false,
    lead: 1,
    message: |stage, _| {
        let job_id = stage.job_id.clone().expect("there is a job");
        encoded(&WatchJobRequest { job_id, after_sequence: 0 })
    },
};

pub(super) const SYNTHESIZE: Row = Row {
    rpc: "/voice.tts.v1.TtsService/Synthesize",
    service: "tts",
    subject: Subject::Nothing,
    takes_more: false,
    lead: 1,
    message: |_, _| {
        let text = "There is always something more to be said. ".repeat(20);
        encoded(&SynthesizeRequest { text, format: Some(WIDE), ..SynthesizeRequest::default() })
    },
};

pub(super) const STREAMING_SYNTHESIZE: Row = Row {
    rpc: "/voice.tts.v1.TtsService/StreamingSynthesize",
    service: "tts",
    subject: Subject::Nothing,
    takes_more: true,
    lead: 3,
    message: |_, n| {
        use streaming_synthesize_request::Payload;
        let payload = match n {
            0 => Payload::Config(StreamingSynthesizeConfig {
                format: Some(WIDE),
                ..StreamingSynthesizeConfig::default()
            }),
            n if n % 2 == 1 => Payload::Text("There is always something more to be said. ".into()),
            _ => Payload::Flush(Flush {}),
        };
        encoded(&StreamingSynthesizeRequest { payload: Some(payload) })
    },
};

/// Of all formats the one that takes most room.
const WIDE: AudioFormat = AudioFormat { encoding: AudioEncoding::Linear16 as i32, sample_rate_hertz: 24_000 };

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// A piece of speech; silence once it has been said.
fn piece(speech: &Bytes, n: usize) -> Bytes {
    let (from, to) = ((n * PIECE).min(speech.len()), ((n + 1) * PIECE).min(speech.len()));
    if from == to { vec![mulaw::SILENCE; PIECE].into() } else { speech.slice(from..to) }
}
