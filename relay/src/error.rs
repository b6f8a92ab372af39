//! What can go wrong, in the domain's words.

use std::time::Duration;

use voice_call::Refusal;
use voice_server::Unreadable;

/// Why a request about calls cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No call of this id is live or recent.
    #[error("no call \"{0}\" is live or recent here")]
    CallNotFound(String),
    /// A field is missing or malformed.
    #[error("{field}: {message}")]
    InvalidField {
        /// Which one.
        field: &'static str,
        /// What is wrong, and what to send.
        message: String,
    },
    /// Events that were asked for are not kept any more.
    #[error("events before {first_kept} are not kept any more; watch with after_sequence {}", first_kept - 1)]
    EventsGone {
        /// Sequence of the oldest event that is still kept.
        first_kept: u64,
    },
    /// The call does not do what it is asked.
    #[error("{}", refused(*.0))]
    Refused(Refusal),
    /// A live call has more to do than it takes in.
    #[error("the call has too many requests waiting")]
    CallOverloaded,
    /// The id of a request was used for another one.
    #[error("request_id was used for another call; use a new one for each")]
    RequestIdReused,
    /// There is no room for another call.
    #[error("as many calls as MAX_CALLS allows are live")]
    CallsAtLimit,
    /// A token has as many calls as it may.
    #[error("the token has as many live calls as TOKEN_CALLS allows")]
    TokenCallsAtLimit,
    /// The number calls too often.
    #[error("this number has as many calls as its assistant allows it")]
    CallerAtLimit {
        /// Until it may call again.
        wait: Duration,
    },
    /// The relay is being stopped.
    #[error("the relay is being stopped and places no more calls")]
    Draining,
    /// A stream began with something else than its configuration.
    #[error("payload: the first message must be the config")]
    MissingConfig,
    /// A stream was configured twice.
    #[error("payload: only the first message may be the config")]
    RepeatedConfig,
    /// A message of a stream cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A stream has fallen silent.
    #[error("no message came for too long; close the requests to hang up")]
    IdleTimeout,
    /// A media token is forged, expired or used.
    #[error("the media token is forged, expired or used")]
    MediaTokenRefused,
    /// The call of a media token is another relay's.
    #[error("the call is at the relay at {relay_addr}: bring its audio there, with the same token")]
    CallElsewhere {
        /// Where that one is reached.
        relay_addr: String,
    },
    /// The call came as audio alone: no platform has it that could do more.
    #[error("the call is made of audio alone: it cannot be handed over or dialled into")]
    AudioOnly,
    /// The number may not be called.
    #[error("DIAL_ALLOWED_PREFIXES does not allow calls to this number")]
    DialNotAllowed,
    /// No more calls may be placed today.
    #[error("as many numbers as DIAL_DAILY_CAP allows were called today")]
    DialCapReached {
        /// Until the next day.
        wait: Duration,
    },
}

fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotConnected => "nobody is connected yet",
        Refusal::Ending => "the call is ending or over",
        Refusal::TooMuchToSay => "as much as may wait is waiting to be said",
        Refusal::TooManyInstructions => "the call's instructions have become too long",
        Refusal::DigitsUnderWay => "digits are being dialled already",
    }
}
