//! Commands on calls.

use std::{future::Future, pin::Pin, time::Duration};

use serde_json::{Value, json};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::Error;

/// A command without an answer for this long has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses one leg of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The platform's node that has it.
    pub node_id: String,
    /// The platform's id of it.
    pub call_id: String,
}

/// One thing to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// Audio that the platform fetches.
    Audio {
        /// Where from.
        url: String,
    },
    /// Words in the platform's own voice.
    Tts {
        /// The words.
        text: String,
        /// BCP 47 tag.
        language: String,
    },
}

/// How to record what the caller says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Seconds of silence that end it; zero for never.
    pub end_silence_timeout: f64,
}

/// How to listen for speech and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Collect {
    /// Silence after speech that ends it, in seconds.
    pub end_silence_timeout: f64,
    /// The longest speech, in seconds.
    pub speech_timeout: f64,
    /// BCP 47 tag.
    pub language: String,
    /// Keys that are told together; fewer are told once no other one is pressed for two seconds.
    pub most_digits: usize,
}

/// What a command comes to. The command waits its turn already; one that nobody waits for any more by then is not sent.
pub type Answer<T = ()> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    pub(crate) reply: oneshot::Sender<Result<Value, Error>>,
}

/// Sends commands. Cheap to clone; works as long as its connection is run.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) requests: mpsc::Sender<Request>,
}

impl Client {
    /// Answers a call.
    pub fn answer(&self, leg: &Leg) -> Answer {
        done(self.on_leg("calling.answer", leg, json!({})))
    }

    /// Hangs up.
    pub fn end(&self, leg: &Leg, reason: &str) -> Answer {
        done(self.on_leg("calling.end", leg, json!({ "reason": reason })))
    }

    /// Offers the call to another consumer.
    pub fn pass(&self, leg: &Leg) -> Answer {
        done(self.on_leg("calling.pass", leg, json!({})))
    }

    /// Plays a list of media.
    pub fn play(&self, leg: &Leg, control_id: &str, media: &[Media]) -> Answer {
        let play: Vec<Value> = media.iter().map(Media::to_json).collect();
        done(self.on_leg("calling.play", leg, json!({ "control_id": control_id, "play": play })))
    }

    /// Stops a playback.
    pub fn stop_play(&self, leg: &Leg, control_id: &str) -> Answer {
        done(self.on_leg("calling.play.stop", leg, json!({ "control_id": control_id })))
    }

    /// Sets the volume of a playback, in dB from -40 to 40. Has no other effect, and is refused as gone when the
    /// playback is not on.
    pub fn set_play_volume(&self, leg: &Leg, control_id: &str, volume: f64) -> Answer {
        done(self.on_leg("calling.play.volume", leg, json!({ "control_id": control_id, "volume": volume })))
    }

    /// Records what the caller says. Gives the address where the audio will be once it is over.
    pub fn record(&self, leg: &Leg, control_id: &str, record: Record) -> Answer<Option<String>> {
        let audio = json!({
            "beep": false, "format": "wav", "stereo": false, "direction": "speak", "initial_timeout": 0,
            "end_silence_timeout": record.end_silence_timeout, "terminators": "", "input_sensitivity": 44,
        });
        let params = json!({ "control_id": control_id, "record": { "audio": audio } });
        let answer = self.on_leg("calling.record", leg, params);
        Box::pin(async move { Ok(answer.await?.get("url").and_then(Value::as_str).map(str::to_owned)) })
    }

    /// Stops a recording.
    pub fn stop_record(&self, leg: &Leg, control_id: &str) -> Answer {
        done(self.on_leg("calling.record.stop", leg, json!({ "control_id": control_id })))
    }

    /// Listens for speech and single keys, with partial results and the start of input.
    pub fn collect(&self, leg: &Leg, control_id: &str, collect: &Collect) -> Answer {
        let params = json!({
            "control_id": control_id,
            "speech": {
                "end_silence_timeout": collect.end_silence_timeout,
                "speech_timeout": collect.speech_timeout,
                "language": collect.language,
            },
            "digits": { "max": collect.most_digits, "digit_timeout": 2.0 },
            "partial_results": true, "continuous": false, "send_start_of_input": true, "start_input_timers": false,
        });
        done(self.on_leg("calling.collect", leg, params))
    }

    /// Stops listening.
    pub fn stop_collect(&self, leg: &Leg, control_id: &str) -> Answer {
        done(self.on_leg("calling.collect.stop", leg, json!({ "control_id": control_id })))
    }

    /// Calls a telephone, which may ring for up to `timeout`. What comes of it are events with this `tag`: the call has
    /// no id before them.
    pub fn dial(&self, tag: &str, from: &str, to: &str, timeout: Duration) -> Answer {
        let params = json!({ "tag": tag, "devices": [[phone(from, to, timeout)]] });
        done(self.send("calling.dial", params))
    }

    /// Finds out whether a person or a machine has answered, and when the machine records.
    pub fn detect_machine(&self, leg: &Leg, control_id: &str, timeout: Duration) -> Answer {
        let detect = json!({ "type": "machine", "params": {
            "initial_timeout": 4.5, "end_silence_timeout": 0.6, "machine_voice_threshold": 1.25,
            "detect_message_end": true,
        } });
        let params = json!({ "control_id": control_id, "detect": detect, "timeout": timeout.as_secs() });
        done(self.on_leg("calling.detect", leg, params))
    }

    /// Dials digits into the call: `0-9*#A-D`, with `w` and `W` as pauses of half a second and of one.
    pub fn send_digits(&self, leg: &Leg, control_id: &str, digits: &str) -> Answer {
        done(self.on_leg("calling.send_digits", leg, json!({ "control_id": control_id, "digits": digits })))
    }

    /// Connects the call to a telephone number, for up to `timeout` of ringing.
    pub fn connect_phone(&self, leg: &Leg, from: &str, to: &str, timeout: Duration) -> Answer {
        done(self.on_leg("calling.connect", leg, json!({ "devices": [[phone(from, to, timeout)]] })))
    }

    /// Connects the call to another one that is up.
    pub fn connect_call(&self, leg: &Leg, other: &Leg) -> Answer {
        let device =
            json!({ "type": "call", "params": { "node_id": other.node_id, "call_id": other.call_id } });
        done(self.on_leg("calling.connect", leg, json!({ "devices": [[device]] })))
    }

    /// Connects the call to a WebSocket that takes the caller's audio and gives what he is to hear: mu-law, 8 kHz.
    pub fn connect_stream(&self, leg: &Leg, url: &str) -> Answer {
        let device = json!({ "type": "stream", "params": { "url": url, "codec": "PCMU@8000h" } });
        done(self.on_leg("calling.connect", leg, json!({ "devices": [[device]] })))
    }

    /// Takes the call apart from whatever it is connected to.
    pub fn disconnect(&self, leg: &Leg) -> Answer {
        done(self.on_leg("calling.disconnect", leg, json!({})))
    }

    /// Queues a command at once, so that commands go out in the order in which they are given; the future waits
    /// for the answer.
    fn on_leg(
        &self,
        method: &'static str,
        leg: &Leg,
        mut params: Value,
    ) -> impl Future<Output = Result<Value, Error>> + Send + 'static + use<> {
        let fields = params.as_object_mut().expect("params are written as objects above");
        fields.insert("node_id".into(), leg.node_id.clone().into());
        fields.insert("call_id".into(), leg.call_id.clone().into());
        self.send(method, params)
    }

    fn send(
        &self,
        method: &'static str,
        params: Value,
    ) -> impl Future<Output = Result<Value, Error>> + Send + 'static + use<> {
        let (reply, answer) = oneshot::channel();
        let queued = self.requests.try_send(Request { method, params, reply });
        async move {
            queued.map_err(|error| match error {
                TrySendError::Full(_) => Error::Overloaded,
                TrySendError::Closed(_) => Error::Stopped,
            })?;
            match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
                Ok(answer) => answer.map_err(|_| Error::Stopped)?,
                Err(_) => Err(Error::Timeout(REQUEST_TIMEOUT)),
            }
        }
    }
}

fn phone(from: &str, to: &str, timeout: Duration) -> Value {
    json!({ "type": "phone", "params": { "from_number": from, "to_number": to, "timeout": timeout.as_secs() } })
}

fn done(answer: impl Future<Output = Result<Value, Error>> + Send + 'static) -> Answer {
    Box::pin(async move { answer.await.map(drop) })
}

impl Media {
    fn to_json(&self) -> Value {
        match self {
            Self::Audio { url } => json!({ "type": "audio", "params": { "url": url } }),
            Self::Tts { text, language } => {
                json!({ "type": "tts", "params": { "text": text, "language": language } })
            }
        }
    }
}
