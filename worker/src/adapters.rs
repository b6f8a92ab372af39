//! The ports, implemented.

pub mod groq;
pub mod recordings;
