//! Stable reasons of errors that speech alone has.

voice_server::reasons! {
    /// No engine can speak.
    SPEECH_UNAVAILABLE: Unavailable, retry 1000;
}
