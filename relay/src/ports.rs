//! What a call needs from the world.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::sync::mpsc;
use voice_call::{Event, Message, PlaybackId, Progress, ToolCall, ToolFailure, TurnId, UtteranceId};

use crate::sound::{AudioFormat, LiveClip};

/// A boxed future that outlives its maker.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long lines and sessions may fall behind each other, in messages. A line that is told more has hung.
pub(crate) const LINE_QUEUE: usize = 256;

/// The audio path of one call.
#[derive(Debug)]
pub(crate) struct Line {
    /// What it is told to do.
    pub commands: mpsc::Sender<LineCommand>,
    /// What happens on it; ends with the call.
    pub events: mpsc::Receiver<LineEvent>,
    /// Set where audio goes over the line itself, in this form; otherwise the provider fetches what it plays.
    pub format: Option<AudioFormat>,
}

/// Something a line is told to do.
#[derive(Debug)]
pub(crate) enum LineCommand {
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
    /// Expect the caller to press so many keys in a row.
    ExpectDigits {
        /// How many at most; 1 when none are expected.
        most: usize,
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
    /// Stop listening, and call whom the call is to be handed to, by himself.
    CallTarget {
        /// E.164.
        number: String,
    },
    /// Tell him something.
    TellTarget(Announcement),
    /// Connect the two.
    JoinTarget,
    /// Hang up on him.
    DropTarget,
    /// Hang up.
    HangUp,
}

/// What somebody is told to whom a call is to be handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// As a clip, if there is one. What cannot be played is said in the provider's own voice.
    pub clip: Option<Clip>,
    /// The words.
    pub text: String,
    /// BCP 47 tag of their language.
    pub language: String,
}

/// Something to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    /// A clip.
    Clip(Clip),
    /// Audio for the line itself.
    Live(LiveClip),
    /// Words for the provider's own voice.
    Text(String),
}

/// A clip that the provider can fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clip {
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
pub(crate) enum LineEvent {
    /// Something the call has to know.
    Call(Event),
    /// The caller has finished, and this is where his words are.
    UtteranceEnded {
        /// The id that the call knows it by.
        utterance: UtteranceId,
        /// The audio, in order: several pieces if the recording was broken.
        recordings: Vec<Recording>,
    },
    /// The caller hangs up while he speaks; of interest only to those who keep what he says.
    UtteranceCut {
        /// The id that the call knows it by.
        utterance: UtteranceId,
        /// The audio, where it is recorded.
        recordings: Vec<Recording>,
    },
    /// The caller has begun to speak, and this is what he says, as he says it. That he has finished is an event of the call.
    UtteranceOpened {
        /// The id that the call knows it by.
        utterance: UtteranceId,
        /// What he says.
        audio: LiveAudio,
    },
    /// Something does not work as it should; the line goes on without it.
    Degraded(&'static str),
}

/// What the caller says, while he says it.
#[derive(Debug)]
pub(crate) struct LiveAudio {
    /// The form of it.
    pub format: AudioFormat,
    /// Pieces in order, about 100 ms each; ends when the utterance does.
    pub batches: mpsc::Receiver<Bytes>,
}

/// Audio of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Where it can be fetched, now or in a moment.
    pub url: String,
    /// Where speech begins in it.
    pub speech_start: Duration,
}

/// What the caller said, in one of the two forms in which lines have it.
#[derive(Clone, Debug)]
pub(crate) enum Utterance {
    /// Recordings, in order.
    Recorded(Vec<Recording>),
    /// Somebody listens, or has.
    Heard(Words),
}

/// A turn to be worked on.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// The call.
    pub call_id: String,
    /// The turn.
    pub turn: TurnId,
    /// Which request to the language model it is.
    pub round: u32,
    /// What the model may ask for beside its words.
    pub tools: Vec<Declaration>,
    /// The user message, in order.
    pub utterances: Vec<Utterance>,
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
    /// What is answered already: if it is what the caller said, no reply is wanted.
    pub answered_text: Option<String>,
    /// Whether the turn before it failed.
    pub is_repeated: bool,
}

/// How a turn goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TurnEvent {
    /// It went on.
    Progressed(Progress),
    /// The language model asks for something beside its words; told once, before the end of the reply.
    ToolsAsked(Vec<ToolCall>),
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
    fn cancel(&self, call_id: &str, turn: TurnId, round: u32) -> Work<()>;
}

/// Something that a language model may ask for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declaration {
    /// Its name.
    pub name: String,
    /// What it does, and when it is to be used.
    pub description: String,
    /// A JSON schema of its arguments.
    pub parameters: Value,
}

/// Something that an operator's tool is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolRequest {
    /// What the model asks for.
    pub call: ToolCall,
    /// The call.
    pub call_id: String,
    /// Who calls.
    pub caller_number: String,
    /// Whom he called.
    pub called_number: String,
    /// BCP 47 tag of the conversation's language.
    pub language: String,
    /// How long it may take.
    pub limit: Duration,
}

/// How that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolEvent {
    /// It is being done, and this may be said meanwhile.
    Progressed(String),
    /// What the model is told, or why there is nothing to tell; the last one.
    Finished(Result<String, ToolFailure>),
}

/// Servers of operators' own tools, by name.
pub(crate) trait ToolServers: Send + Sync {
    /// What a server offers, as far as is known now.
    fn offered(&self, server: &str) -> Arc<Vec<Declaration>>;

    /// Has a server do something. Dropping the stream cancels it.
    fn call(&self, server: &str, request: ToolRequest) -> BoxStream<'static, ToolEvent>;
}

/// Words so far of an utterance that is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partial {
    /// The words.
    pub text: String,
    /// How much of them, in characters from the beginning, will not change.
    pub stable: usize,
}

/// Somebody who listens to an utterance.
pub(crate) struct Hearing {
    /// Words while he speaks; ends with the utterance.
    pub partials: BoxStream<'static, Partial>,
    /// What he said, for whoever asks.
    pub words: Words,
}

/// What was said in an utterance, for whoever asks. Cheap to clone; when the last one is dropped before the utterance has
/// ended, nobody listens any more.
#[derive(Clone)]
pub(crate) struct Words {
    ask: Arc<dyn Fn() -> Work<Result<String, String>> + Send + Sync>,
}

impl Words {
    /// Words that are got in some way.
    pub(crate) fn new(ask: impl Fn() -> Work<Result<String, String>> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask) }
    }

    /// Everything until now, as soon as it is known.
    ///
    /// # Errors
    /// With a stable reason, when it cannot be had.
    pub(crate) fn so_far(&self) -> Work<Result<String, String>> {
        (self.ask)()
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

/// Hears what is said while it is said.
pub(crate) trait Ears: Send + Sync {
    /// Begins to listen.
    fn listen(&self, audio: LiveAudio, language: &str) -> Hearing;
}

/// A piece of speech that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The audio.
    pub audio: Bytes,
    /// Who speaks.
    pub engine: String,
}

/// Makes speech.
pub(crate) trait Speech: Send + Sync {
    /// Makes speech as audio of a form, piece by piece. `engine` is asked first; empty means the preferred one.
    fn stream(
        &self,
        text: &str,
        voice: &str,
        language: &str,
        engine: &str,
        format: AudioFormat,
    ) -> BoxStream<'static, Result<Spoken, SpeechFailed>>;

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
