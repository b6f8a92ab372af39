//! The core's two alphabets: what happened, and what is to be done.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use voice_speech::Completeness;

use crate::{
    ClipId, Destination, Message, Notice, PlaybackId, PlaybackKind, ToolAsk, ToolCall, ToolFailure,
    TransferFailure, TurnId, UtteranceId,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The call has been answered; sound flows.
    Answered,
    /// The caller began to speak.
    SpeechStarted,
    /// The caller is silent within an utterance whose audio the line holds. Told by lines that leave it to the call
    /// when an utterance is over.
    SpeechPaused {
        /// The line's handle of it.
        utterance: UtteranceId,
        /// When his voice was last heard.
        silent_since: Instant,
        /// How much voice the utterance has so far.
        voiced: Duration,
    },
    /// He goes on after a pause.
    SpeechResumed,
    /// Words of the utterance that is going on, as far as they are recognised.
    PartialHeard {
        /// The words.
        text: String,
        /// How much of them, in code points from the beginning, will not change any more.
        stable: usize,
        /// Who recognised them.
        source: Recogniser,
        /// How finished they are by the judgement of whoever recognised them; `None` leaves it to their text.
        completeness: Option<Completeness>,
    },
    /// All words of an utterance up to the pause at which [`Command::Transcribe`] asked for them; empty if there are
    /// none.
    Transcribed {
        /// The utterance.
        utterance: UtteranceId,
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
    /// Something that the language model asked for is being done, and this may be said meanwhile.
    ToolProgressed {
        /// The turn.
        turn: TurnId,
        /// What was asked for.
        tool_call: String,
        /// The words.
        words: String,
    },
    /// Something that the language model asked for was done, or not.
    ToolAnswered {
        /// The turn.
        turn: TurnId,
        /// What was asked for.
        tool_call: String,
        /// What the model is told, or why there is nothing to tell.
        answer: Result<String, ToolFailure>,
    },
    /// A clip can be played.
    ClipReady {
        /// The clip.
        clip: ClipId,
        /// Its exact playing time.
        duration: Duration,
    },
    /// A clip that is still being made has become longer. The first time makes it playable.
    ClipGrew {
        /// The clip.
        clip: ClipId,
        /// Its playing time by now.
        duration: Duration,
        /// Whether that is all of it.
        is_complete: bool,
        /// Where nothing sounds between its first sound and its last, in order; known once it is complete.
        silences: Vec<Range<Duration>>,
    },
    /// A clip could not be made; if it had grown already, it ends where it is.
    ClipFailed {
        /// The clip.
        clip: ClipId,
    },
    /// Sound has started to reach the caller.
    PlaybackStarted {
        /// The playback.
        playback: PlaybackId,
    },
    /// So much of a playback has been heard by now; corrects what the clock says.
    PlaybackReached {
        /// The playback.
        playback: PlaybackId,
        /// Playing time from where it began.
        position: Duration,
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
    /// Whoever was called is not to be had.
    DialFailed {
        /// Why.
        reason: DialFailure,
    },
    /// It is known, or given up, who has answered a placed call.
    AnswererDetected {
        /// Who.
        answerer: Answerer,
    },
    /// The machine that has answered records from now on.
    MachineReady,
    /// The digits have been dialled into the call.
    DigitsSent,
    /// The digits could not be dialled.
    DigitsFailed,
    /// The call has been handed over: the two can talk.
    TransferConnected,
    /// Whom the call is to be handed to has answered.
    TargetAnswered,
    /// He has heard what he was to be told.
    TargetTold,
    /// The call could not be handed over; nobody is on the line whom it was to be handed to.
    TransferFailed {
        /// Why.
        reason: TransferFailure,
    },
    /// Somebody asks to end the call now.
    EndRequested,
    /// The process is to stop: finish the turn and say goodbye.
    DrainStarted,
    /// The caller is gone.
    HungUp,
    /// The telephony provider lost the call.
    LineFailed,
}

/// Who recognised words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recogniser {
    /// The line's own recogniser: a hint.
    Line,
    /// Our worker: what replies are made from.
    Worker,
}

/// Why somebody who was called is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// His line is in use.
    Busy,
    /// He did not answer.
    NoAnswer,
    /// He cannot be reached, or the call was not put through.
    Failed,
}

/// Who has answered a placed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// A person.
    Human,
    /// A machine.
    Machine,
    /// It could not be told.
    Unknown,
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
    /// What the language model asks for beside its words; told once, before the end of the reply.
    ToolsAsked(Vec<ToolAsk>),
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
    /// Call whom the call is to.
    Dial,
    /// Find out who has answered.
    Screen,
    /// Listen from now on, until the call ends.
    Listen,
    /// End the utterance that is going on. The line answers [`Event::SpeechEnded`] and [`Event::UtteranceEnded`] at
    /// once, and listens for the next one.
    EndUtterance,
    /// Forget the utterance that is going on: nothing was said in it. The line tells no end of it, and listens for the
    /// next one.
    DropUtterance,
    /// Have the words of an utterance recognised up to its pause, at once: [`Event::Transcribed`].
    Transcribe {
        /// The utterance.
        utterance: UtteranceId,
    },
    /// Begin to work on a turn.
    StartTurn(TurnRequest),
    /// Stop working on a turn, and on what was asked for in it.
    CancelTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Have somebody outside do something that the language model asks for.
    CallTool {
        /// The turn.
        turn: TurnId,
        /// What.
        call: ToolCall,
    },
    /// Keep what the caller says from now on: he leaves a message.
    TakeMessage,
    /// The message is complete, or the call is over: these are its pieces. Without any there is none.
    KeepMessage {
        /// The turn in which it was asked for; there is one message at most in each.
        turn: TurnId,
        /// In order.
        utterances: Vec<UtteranceId>,
    },
    /// The caller is expected to press so many keys in a row; 1 when none are expected.
    ExpectDigits {
        /// How many at most.
        most: usize,
    },
    /// Stop doing it: nobody waits any more.
    CancelTool {
        /// The turn.
        turn: TurnId,
        /// What was asked for.
        tool_call: String,
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
    /// Stop making these clips, and forget them: they will not be played, or not again.
    ForgetClips {
        /// Which.
        clips: Vec<ClipId>,
    },
    /// Play to the caller. Never given while another playback is on.
    Play {
        /// The id to report it by.
        playback: PlaybackId,
        /// What to play, in order.
        items: Vec<Item>,
        /// How much of the first item is left out; zero unless the line can seek.
        skip: Duration,
    },
    /// Fall silent.
    StopPlayback {
        /// The playback.
        playback: PlaybackId,
    },
    /// Dial digits into the call.
    SendDigits {
        /// `0-9*#A-D`; `w` and `W` pause for half a second and for one.
        digits: String,
    },
    /// Hand the call over: connect it to somebody, who may have to be called yet.
    Transfer {
        /// To whom.
        to: Destination,
    },
    /// Stop listening, and call whom the call is to be handed to, by himself: [`Event::TargetAnswered`], or
    /// [`Event::TransferFailed`].
    CallTarget {
        /// Whom.
        to: Destination,
        /// What he will be told.
        announcement: String,
    },
    /// Tell him something: [`Event::TargetTold`].
    TellTarget {
        /// What.
        announcement: String,
    },
    /// Connect the two: [`Event::TransferConnected`], or [`Event::TransferFailed`].
    JoinTarget,
    /// Hang up on him.
    DropTarget,
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
    /// Which request to the language model it is, from 0. The later ones are about what the model wanted to know, which
    /// the end of the history tells; there are no utterances then.
    pub round: u32,
    /// Whether the model may ask for anything beside its words.
    pub may_use_tools: bool,
    /// Audio that makes up the user message, in order, not transcribed yet.
    pub utterances: Vec<UtteranceId>,
    /// Words that come before it in the same message.
    pub earlier_text: String,
    /// The conversation so far, as the caller heard it.
    pub history: Vec<Message>,
    /// What the assistant is told beyond its prompt, in order.
    pub instructions: Vec<String>,
    /// How long the turn may take.
    pub budget: Duration,
    /// Whether the last utterance is only likely to be over, and its audio still open. When it is over, the turn goes on as
    /// it is; if the caller goes on, it is cancelled.
    pub is_speculative: bool,
    /// What the line's own recogniser has heard, if that is answered already by a turn that was begun early: should it be
    /// what the caller said, nobody waits for this turn's reply.
    pub answered_text: Option<String>,
    /// Whether the turn before it failed, so that the caller has said it again: he is not to be told a second time as long as
    /// there is hope.
    pub is_repeated: bool,
}

/// One thing to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A clip that is ready.
    Clip(ClipId),
    /// Words for the telephony provider's own voice: the last resort.
    Text(String),
}
