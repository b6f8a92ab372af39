//! What `make bench-speech` measures, a module for each part of the speech service.

pub mod clips;
pub mod piper;
pub mod synthesis;
pub mod transcode;
