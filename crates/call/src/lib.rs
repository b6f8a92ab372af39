//! The life of one call, sans I/O: events in, commands out, time as an argument.
//!
//! [`Call`] decides what happens next: when to listen, when a turn begins, what is said and when it must stop, what
//! the caller has heard, when he has been kept waiting too long. It opens no socket and reads no clock, and it knows
//! nothing of how audio reaches us. The shell that drives it is the relay's session.
//!
//! ```text
//!            Answered            caller speaks            utterance ended
//!  Ringing ───────────▶ Active: Listening ─────▶ (speaking) ─────▶ Thinking ──▶ Speaking ──▶ Listening …
//!     │                    ▲        │ silence: asked twice, then goodbye             │ speech: playback stops
//!     └── HungUp ──▶ Ended │        └──────────────▶ Ending ──▶ Ended                ▼
//!                          └──────────────────────────────────────────────── barge-in
//! ```
//!
//! What the caller's voice breaks off is suspended until it is known whether he means it. Where audio is live, the end of
//! an utterance is decided here, by silence and by words, and its answer begins before that end is certain.
//!
//! What the language model asks for beside its words is done once they have been heard, if it changes the call; what the
//! model wants to know is found out at once, and it is asked again.
//!
//! Whoever is to be told of a call before he takes it is called while the caller is kept company here.
//!
//! A call that we place rings elsewhere; where a machine may answer, it is first found out who has.

mod call;
mod config;
mod event;
mod fillers;
mod history;
mod ids;
pub mod invariants;
mod mouth;
mod notice;
mod pace;
mod request;
mod tool;
mod turn;

#[cfg(test)]
mod tests;

pub use call::{Activity, Call, Kept, State};
pub use config::{Config, Endpoint, Phrases};
pub use event::{Answerer, Command, DialFailure, Event, Item, Progress, Recogniser, TurnRequest};
pub use fillers::{fillers, languages as filler_languages};
pub use history::{Message, Role};
pub use ids::{ClipId, PlaybackId, SayId, TurnId, UtteranceId};
pub use notice::{
    CancelReason, DismissReason, EndReason, EndpointReason, Notice, PlaybackKind, SayOutcome,
    SpeculationOutcome, TimedPart,
};
pub use request::{Destination, Handover, Refusal, TransferFailure, Voicemail};
pub use tool::{Tool, ToolAsk, ToolCall, ToolFailure, ToolOutcome, ToolUse};
pub use voice_speech::Completeness;
