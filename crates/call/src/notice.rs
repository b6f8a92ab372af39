//! What watchers of a call are told.

use std::time::Duration;

use crate::{Activity, Answerer, PlaybackId, Recogniser, SayId, State, ToolOutcome, TransferFailure, TurnId};

/// What a playback is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackKind {
    /// The first words.
    Greeting,
    /// (Part of) a reply.
    Reply,
    /// Bridges a wait.
    Filler,
    /// Says that a turn failed.
    Apology,
    /// Asks whether the caller is there.
    NoInput,
    /// The last words.
    Goodbye,
    /// Says that there is no room.
    Busy,
    /// Something that the outside wants said.
    Say,
    /// A message for a machine that has answered.
    Voicemail,
    /// Says that the call is being handed over.
    Transfer,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The caller hung up.
    CallerHangup,
    /// It was asked for.
    Requested,
    /// The caller stayed silent.
    NoInput,
    /// The longest call was reached.
    CallLimit,
    /// The most turns were reached.
    TurnLimit,
    /// Turn after turn failed.
    Failures,
    /// There was no room.
    Busy,
    /// The process is being stopped.
    Drain,
    /// The call was handed over.
    Transferred,
    /// The telephony provider lost the call.
    LineLost,
    /// Whoever was called was on the telephone.
    CalleeBusy,
    /// Whoever was called did not answer.
    NoAnswer,
    /// Whoever was called could not be reached.
    DialFailed,
    /// A machine answered.
    Voicemail,
    /// The assistant hung up: the language model asked for it.
    Assistant,
}

/// Why a turn was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller went on speaking.
    CallerWentOn,
    /// There was no speech in it.
    NothingSaid,
    /// The call ended.
    CallEnded,
    /// The outside had something else said.
    SaidOver,
}

/// What became of something that the outside wanted said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SayOutcome {
    /// It was heard to its end.
    Heard,
    /// It was broken off.
    Interrupted,
    /// Nothing of it was heard.
    Unsaid,
}

/// How the end of an utterance was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointReason {
    /// The line told it.
    Line,
    /// By a short silence.
    ShortSilence,
    /// By a long silence: the words want more.
    LongSilence,
    /// It had become too long.
    TooLong,
}

/// Why an utterance wants no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DismissReason {
    /// There was too little voice, or no words.
    Noise,
    /// It only says that he listens.
    Backchannel,
}

/// What became of a turn that was begun on a likely end of the utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeculationOutcome {
    /// The utterance was over: the reply is heard.
    Kept,
    /// The caller went on: nobody has heard of it.
    CallerWentOn,
    /// Other words were said than those that it answers.
    Contradicted,
    /// It could not be answered; it will be tried again.
    Failed,
    /// Nothing was said that wants an answer.
    NothingSaid,
    /// The call ended.
    CallEnded,
}

/// One named part of a turn's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedPart {
    /// Stable name.
    pub name: &'static str,
    /// How long it took.
    pub duration: Duration,
}

/// What watchers of a call are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// State or activity changed.
    StateChanged {
        /// The new state.
        state: State,
        /// What the assistant is doing.
        activity: Option<Activity>,
    },
    /// The caller began to speak.
    SpeechStarted,
    /// The caller has finished an utterance.
    SpeechEnded {
        /// How that was told.
        reason: EndpointReason,
        /// How long he had been silent; zero where the line does not say.
        silence: Duration,
    },
    /// What the caller said, or the noise that he made, wants no answer.
    SpeechDismissed {
        /// Why.
        reason: DismissReason,
        /// The words, if there were any.
        text: String,
    },
    /// Words so far of the utterance that is going on.
    PartialTranscript {
        /// The words.
        text: String,
        /// How much of them, in code points from the beginning, will not change any more.
        stable: usize,
        /// Who recognised them.
        source: Recogniser,
    },
    /// What the caller said in a turn.
    Transcript {
        /// The turn.
        turn: TurnId,
        /// The words.
        text: String,
    },
    /// The next piece of a reply.
    ReplyDelta {
        /// The turn.
        turn: TurnId,
        /// The piece.
        text: String,
    },
    /// The language model asks for something.
    ToolCalled {
        /// The turn.
        turn: TurnId,
        /// The model's handle of it.
        tool_call: String,
        /// Name of the tool.
        name: String,
        /// A JSON object, or what the model took for one.
        arguments: String,
    },
    /// Something that the language model asked for is over with.
    ToolEnded {
        /// The turn.
        turn: TurnId,
        /// The model's handle of it.
        tool_call: String,
        /// Name of the tool.
        name: String,
        /// What became of it.
        outcome: ToolOutcome,
        /// Stable reason, where it was refused or failed; else empty.
        reason: &'static str,
    },
    /// The caller has left a message.
    MessageLeft {
        /// The turn in which it was asked for.
        turn: TurnId,
        /// Where it can be fetched, piece by piece.
        recordings: Vec<String>,
    },
    /// Sound has started to reach the caller.
    PlaybackStarted {
        /// The playback.
        playback: PlaybackId,
        /// What it is for.
        kind: PlaybackKind,
        /// The turn it belongs to.
        turn: Option<TurnId>,
        /// The words.
        text: String,
        /// Playing time.
        duration: Duration,
    },
    /// A playback was heard to its end.
    PlaybackFinished {
        /// The playback.
        playback: PlaybackId,
        /// What it was for.
        kind: PlaybackKind,
        /// The turn it belonged to.
        turn: Option<TurnId>,
    },
    /// The caller spoke over a playback.
    PlaybackInterrupted {
        /// The playback.
        playback: PlaybackId,
        /// What it was for.
        kind: PlaybackKind,
        /// The turn it belonged to.
        turn: Option<TurnId>,
        /// All that was to be said, as far as it was written.
        said: String,
        /// What the caller had heard of it.
        heard: String,
    },
    /// A playback that was broken off by something that was no interruption goes on.
    InterruptionRepaired {
        /// The playback that was broken off; a new one goes on with it.
        playback: PlaybackId,
        /// What it was for.
        kind: PlaybackKind,
        /// The turn it belonged to.
        turn: Option<TurnId>,
        /// From the end of the noise to now, where the line tells its end.
        silence: Duration,
    },
    /// It is known whether a turn that was begun on a likely end of the utterance was begun rightly.
    SpeculationSettled {
        /// The turn.
        turn: TurnId,
        /// What became of it.
        outcome: SpeculationOutcome,
    },
    /// A turn could not be answered.
    TurnFailed {
        /// The turn.
        turn: TurnId,
        /// Stable reason.
        reason: String,
    },
    /// A turn was given up.
    TurnCancelled {
        /// The turn.
        turn: TurnId,
        /// Why.
        reason: CancelReason,
    },
    /// Where the time of a turn went.
    TurnTimings {
        /// The turn.
        turn: TurnId,
        /// Contiguous parts; they sum to the whole.
        parts: Vec<TimedPart>,
        /// How much later the reply would have sounded if the turn had begun with the end of the utterance.
        won: Duration,
    },
    /// Something is not as it should be.
    Degraded {
        /// Stable reason.
        reason: &'static str,
    },
    /// The caller pressed a key.
    DigitPressed {
        /// The key.
        digit: char,
    },
    /// It is known who has answered a placed call.
    AnswererDetected {
        /// Who.
        answerer: Answerer,
    },
    /// Something that the outside wanted said is over with.
    SayEnded {
        /// Which one.
        say: SayId,
        /// What became of it.
        outcome: SayOutcome,
        /// The words that were heard.
        heard: String,
    },
    /// The assistant was told something further.
    Instructed {
        /// What.
        text: String,
    },
    /// Digits were dialled into the call.
    DigitsSent {
        /// Which.
        digits: String,
    },
    /// The call has been handed over.
    TransferConnected,
    /// Nobody took the call over.
    TransferFailed {
        /// Why.
        reason: TransferFailure,
    },
}
