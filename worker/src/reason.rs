//! Stable reasons of errors that jobs and turns alone have.

voice_server::reasons! {
    /// Nothing is known of the job.
    JOB_NOT_FOUND: NotFound;
    /// It is not in the dead list.
    DEAD_JOB_NOT_FOUND: NotFound;
    /// Too many jobs wait.
    QUEUE_FULL: ResourceExhausted, retry 1000;
    /// The broker is away.
    QUEUE_UNAVAILABLE: Unavailable, retry 1000;
    /// Somebody speaks without end.
    UTTERANCE_TOO_LONG: OutOfRange;
    /// The client went away in the middle of a stream.
    STREAM_BROKEN_OFF: Cancelled;
    /// The recogniser failed.
    STT_UNAVAILABLE: Unavailable, retry told;
    /// It took too long.
    STT_TIMEOUT: DeadlineExceeded;
    /// Its plan allows no more now.
    STT_RATE_LIMITED: ResourceExhausted, retry told;
    /// Its answer cannot be read.
    STT_NONSENSE: Unavailable, retry told;
    /// The language model failed.
    LLM_UNAVAILABLE: Unavailable, retry told;
    /// It took too long to begin, or to go on.
    LLM_TIMEOUT: DeadlineExceeded;
    /// Its plan allows no more now.
    LLM_RATE_LIMITED: ResourceExhausted, retry told;
    /// Its answer broke off.
    LLM_TRUNCATED: Unavailable, retry told;
    /// It wrote nothing.
    LLM_EMPTY: Unavailable;
    /// The time for the turn is up.
    TURN_DEADLINE: DeadlineExceeded;
}
