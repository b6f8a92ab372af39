//! The ports, implemented.

pub(crate) mod groq;
pub(crate) mod recordings;
