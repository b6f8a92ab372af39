//! What a call needs from the world.

use std::{future::Future, pin::Pin, time::Duration};

use futures::stream::BoxStream;
use tokio::sync::mpsc;
use voice_call::{Event, Message, PlaybackId, Progress, TurnId, UtteranceId};

/// A boxed future that outlives its maker.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long lines and sessions may fall behind each other, in messages. A line that is told more has hung.
pub(crate) const LINE_QUEUE: usize = 256;

/// The audio path of one call.
#[derive(Debug)]
pub struct Line {
    /// What it is told to do.
    pub commands: mpsc::Sender<LineCommand>,
    /// What happens on it; ends with the call.
    pub events: mpsc::Receiver<LineEvent>,
}

/// Something a line is told to do.
#[derive(Debug)]
pub enum LineCommand {
    /// Answer the call.
    Answer,
    /// Call whom the line is for.
    Dial,
    /// Find out who has answered.
    Screen,
    /// Dial digits into the call.
    SendDigits {
        /// `0-9*#A-D`, `w`, `W`.
        digits: String,
    },
    /// Listen until the call ends.
    Listen,
    /// End the utterance that is going on.
    EndUtterance,
    /// Forget the utterance that is going on.
    DropUtterance,
    /// Play to the caller.
    Play {
        /// The id to report it by.
        playback: PlaybackId,
        /// What to play, in order.
        sounds: Vec<Sound>,
        /// How much of the first is left out; zero on a line that cannot seek.
        skip: Duration,
    },
    /// Fall silent.
    Stop {
        /// The playback.
        playback: PlaybackId,
    },
    /// Hand the call to this number.
    Transfer {
        /// E.164.
        number: String,
    },
    /// Hang up.
    HangUp,
}

/// Something to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// A clip.
    Clip(Clip),
    /// Words for the provider's own voice.
    Text(String),
}

/// A clip that the provider can fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Where.
    pub url: String,
    /// Its exact playing time.
    pub duration: Duration,
    /// The engine that spoke; [`RECORDING`] for a file of the operator's own.
    pub engine: String,
    /// Whether it had been made before it was needed.
    pub is_cached: bool,
    /// Whether another engine was to speak it and could not.
    pub is_fallback: bool,
}

/// Stands for an engine where the operator's own audio is played.
pub(crate) const RECORDING: &str = "recording";

/// Stands for an engine where the telephony provider speaks.
pub(crate) const PLATFORM: &str = "platform";

/// Something that happened on a line.
#[derive(Debug)]
pub enum LineEvent {
    /// Something the call has to know.
    Call(Event),
    /// The caller has finished, and this is where his words are.
    UtteranceEnded {
        /// The id that the call knows it by.
        utterance: UtteranceId,
        /// The audio, in order: several pieces if the recording was broken.
        recordings: Vec<Recording>,
    },
    /// Something does not work as it should; the line goes on without it.
    Degraded(&'static str),
}

/// Audio of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where it can be fetched, now or in a moment.
    pub url: String,
    /// Where speech begins in it.
    pub speech_start: Duration,
}

/// A turn to be worked on.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// The call.
    pub call_id: String,
    /// The turn.
    pub turn: TurnId,
    /// Audio of the user message, in order.
    pub recordings: Vec<Recording>,
    /// Words that come before it in the same message.
    pub earlier_text: String,
    /// The conversation so far.
    pub history: Vec<Message>,
    /// System prompt of the assistant.
    pub prompt: String,
    /// BCP 47 tag of the conversation's language.
    pub language: String,
    /// How long the work may take.
    pub budget: Duration,
}

/// How a turn goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TurnEvent {
    /// It went on.
    Progressed(Progress),
    /// It will not be answered.
    Failed {
        /// Stable reason.
        reason: String,
    },
}

/// Has turns worked on.
pub(crate) trait Turns: Send + Sync {
    /// Begins to work on a turn. The stream ends with `ReplyFinished`, `NothingSaid` or `Failed`.
    fn start(&self, turn: Turn) -> BoxStream<'static, TurnEvent>;

    /// Stops working on a turn.
    fn cancel(&self, call_id: &str, turn: TurnId) -> Work<()>;
}

/// Makes speech.
pub(crate) trait Speech: Send + Sync {
    /// Makes a clip within `patience`, or finds the one that was made before. `engine` is asked first; empty means the
    /// preferred one.
    fn clip(
        &self,
        text: &str,
        voice: &str,
        language: &str,
        engine: &str,
        patience: Duration,
    ) -> Work<Result<Clip, SpeechFailed>>;
}

/// No engine could make the clip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no clip could be made: {message}")]
pub(crate) struct SpeechFailed {
    /// For the log.
    pub message: String,
    /// Whether asking again is of no use.
    pub is_final: bool,
}
