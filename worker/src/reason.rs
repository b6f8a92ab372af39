//! Stable reasons of errors that jobs alone have.

voice_server::reasons! {
    /// Nothing is known of the job.
    JOB_NOT_FOUND: NotFound;
    /// It is not in the dead list.
    DEAD_JOB_NOT_FOUND: NotFound;
    /// Too many jobs wait.
    QUEUE_FULL: ResourceExhausted, retry 1000;
    /// The broker is away.
    QUEUE_UNAVAILABLE: Unavailable, retry 1000;
}
