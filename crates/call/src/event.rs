//! The core's two alphabets: what happened, and what is to be done.

use std::time::Duration;

use crate::{ClipId, Message, PlaybackId, State, TurnId, UtteranceId, call::Activity};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The call has been answered; sound flows.
    Answered,
    /// The caller began to speak.
    SpeechStarted,
    /// The line's own recogniser has words so far; a hint.
    PartialHeard {
        /// The words.
        text: String,
    },
    /// Speech that had started came to nothing: a cough, a click.
    SpeechAbandoned,
    /// The caller has finished; the utterance's audio is being closed.
    SpeechEnded,
    /// The utterance's audio can be had.
    UtteranceEnded {
        /// The line's handle of it.
        utterance: UtteranceId,
    },
    /// The caller pressed a key.
    DigitPressed {
        /// One of `0-9*#A-D`.
        digit: char,
    },
    /// The work on a turn went on.
    TurnProgressed {
        /// The turn.
        turn: TurnId,
        /// How far it is.
        progress: Progress,
    },
    /// A turn will not be answered.
    TurnFailed {
        /// The turn.
        turn: TurnId,
        /// Stable reason, such as `STT_UNAVAILABLE`.
        reason: String,
    },
    /// A clip can be played.
    ClipReady {
        /// The clip.
        clip: ClipId,
        /// Its exact playing time.
        duration: Duration,
    },
    /// A clip could not be made.
    ClipFailed {
        /// The clip.
        clip: ClipId,
    },
    /// Sound has started to reach the caller.
    PlaybackStarted {
        /// The playback.
        playback: PlaybackId,
    },
    /// A playback is over, by its end or by being stopped.
    PlaybackFinished {
        /// The playback.
        playback: PlaybackId,
    },
    /// A playback could not be played: its clips cannot be fetched.
    PlaybackFailed {
        /// The playback.
        playback: PlaybackId,
    },
    /// The call could not be handed over.
    TransferFailed,
    /// Somebody asks to end the call now.
    EndRequested,
    /// The process is to stop: finish the turn and say goodbye.
    DrainStarted,
    /// The caller is gone.
    HungUp,
    /// The telephony provider lost the call.
    LineFailed,
}

/// How far the work on a turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Somebody works on it.
    Started,
    /// The utterance's audio has been fetched.
    Fetched,
    /// What the caller said in this turn, all of it.
    Transcript(String),
    /// The next piece of the reply.
    ReplyDelta(String),
    /// The reply is complete.
    ReplyFinished,
    /// There was no speech in the utterance.
    NothingSaid,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Answer the call.
    Answer,
    /// Listen from now on, until the call ends.
    Listen,
    /// End the utterance that is going on: it has become too long.
    EndUtterance,
    /// Begin to work on a turn.
    StartTurn(TurnRequest),
    /// Stop working on a turn.
    CancelTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Make a clip.
    Synthesize {
        /// The id to report it by.
        clip: ClipId,
        /// What it is for.
        kind: PlaybackKind,
        /// The words; empty only for a greeting that is the operator's own recording.
        text: String,
    },
    /// Play to the caller. Never given while another playback is on.
    Play {
        /// The id to report it by.
        playback: PlaybackId,
        /// What to play, in order.
        items: Vec<Item>,
    },
    /// Fall silent.
    StopPlayback {
        /// The playback.
        playback: PlaybackId,
    },
    /// Hand the call to the fallback number.
    Transfer,
    /// Hang up.
    HangUp,
    /// Tell whoever watches the call.
    Report(Notice),
}

/// A turn to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRequest {
    /// The turn.
    pub turn: TurnId,
    /// Audio that makes up the user message, in order, not transcribed yet.
    pub utterances: Vec<UtteranceId>,
    /// Words that come before it in the same message.
    pub earlier_text: String,
    /// The conversation so far, as the caller heard it.
    pub history: Vec<Message>,
    /// How long the turn may take.
    pub budget: Duration,
}

/// One thing to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A clip that is ready.
    Clip(ClipId),
    /// Words for the telephony provider's own voice: the last resort.
    Text(String),
}

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
    /// The line's recogniser has words so far.
    PartialTranscript {
        /// The words.
        text: String,
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
}
