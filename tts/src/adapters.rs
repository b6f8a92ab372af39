//! The engines.

pub mod espeak;
pub mod groq;
