//! The ports, implemented.

pub mod jobs;
pub mod recording_line;
pub mod tts;
