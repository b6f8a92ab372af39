//! Stable reasons of errors that calls alone have.

voice_server::reasons! {
    /// No call of this id is live or recent.
    CALL_NOT_FOUND: NotFound;
    /// Events that were asked for are not kept any more.
    EVENTS_GONE: OutOfRange;
    /// Nobody is connected yet.
    CALL_NOT_CONNECTED: FailedPrecondition;
    /// The call is ending or over.
    CALL_ENDING: FailedPrecondition;
    /// As much as may wait is waiting to be said.
    SAY_QUEUE_FULL: ResourceExhausted, retry 5000;
    /// The call's instructions have become too long.
    INSTRUCTIONS_FULL: ResourceExhausted;
    /// Digits are being dialled already.
    DIGITS_UNDER_WAY: FailedPrecondition, retry 1000;
    /// A live call has more to do than it takes in.
    CALL_OVERLOADED: ResourceExhausted, retry 1000;
    /// The id of a request was used for another one.
    REQUEST_ID_REUSED: AlreadyExists;
    /// There is no room for another call.
    CALLS_AT_LIMIT: ResourceExhausted, retry 5000;
    /// A token has as many calls as it may.
    TOKEN_CALLS_AT_LIMIT: ResourceExhausted, retry 5000;
    /// The number calls too often.
    CALLER_AT_LIMIT: ResourceExhausted, retry told;
    /// The relay is being stopped.
    RELAY_DRAINING: Unavailable, retry 5000;
    /// The number may not be called.
    DIAL_NOT_ALLOWED: PermissionDenied;
    /// No more calls may be placed today.
    DIAL_CAP_REACHED: ResourceExhausted, retry told;
    /// The call came as audio alone.
    CALL_AUDIO_ONLY: FailedPrecondition;
    /// A media token is forged, expired or used.
    MEDIA_TOKEN_REFUSED: PermissionDenied;
    /// The call of a media token is another relay's.
    CALL_ELSEWHERE: FailedPrecondition;
}
