//! The ports, implemented.

pub(crate) mod dialling;
pub(crate) mod jobs;
pub(crate) mod recording_line;
pub(crate) mod stream_line;
pub(crate) mod tool_servers;
pub(crate) mod trunk;
pub(crate) mod tts;
pub(crate) mod worker;
