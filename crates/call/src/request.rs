//! What the outside may ask of a call, and why it may be refused.

use std::time::Duration;

/// Things to say that may wait.
pub(crate) const MOST_SAYS: usize = 16;

/// Characters of all further instructions of a call together.
pub(crate) const MOST_INSTRUCTIONS: usize = 8_000;

/// Why a call does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is connected yet: it rings, or it is being found out who has answered.
    NotConnected,
    /// The call is ending, handed over, or over.
    Ending,
    /// As much as may wait is waiting to be said.
    TooMuchToSay,
    /// Instructions have become too long.
    TooManyInstructions,
    /// Digits are being dialled already.
    DigitsUnderWay,
}

/// What becomes of a placed call that a machine answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Voicemail {
    /// Nobody looks: whoever answers is talked to.
    #[default]
    Ignore,
    /// The call ends.
    HangUp,
    /// This is said after the tone; then the call ends.
    LeaveMessage(String),
}

/// Where a call is handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The number for callers who could not be helped.
    Fallback,
    /// One of the assistant's targets, which the language model has named.
    Target {
        /// Its name.
        name: String,
    },
    /// A number that was asked for.
    Number {
        /// E.164.
        number: String,
    },
}

/// A call that is to be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// To whom.
    pub to: Destination,
    /// What he is told before the two are connected, while the caller is kept company; `None` connects them at once, so
    /// that the caller hears the other telephone ring.
    pub announcement: Option<String>,
}

/// Why nobody has taken a call over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferFailure {
    /// His line is in use.
    Busy,
    /// He did not answer.
    NoAnswer,
    /// He answered, and hung up before the two were connected.
    HungUp,
    /// He may not be called, or not any more today.
    Refused,
    /// He cannot be reached, or the two could not be connected.
    Failed,
}

/// How long the platform takes to dial digits into a call: 200 ms each, `w` half a second, `W` a second.
pub(crate) fn dialling_time(digits: &str) -> Duration {
    let millis = digits.chars().map(|digit| match digit {
        'w' => 500,
        'W' => 1_000,
        _ => 200,
    });
    Duration::from_millis(millis.sum())
}
