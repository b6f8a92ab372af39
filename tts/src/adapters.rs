//! The engines.

pub(crate) mod espeak;
pub(crate) mod groq;
pub(crate) mod piper;
