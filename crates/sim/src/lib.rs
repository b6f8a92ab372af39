//! `voice-sim`: pretend providers on real sockets. It speaks the providers' documented wire formats from scratch and
//! shares no type with our clients, so that the two cannot agree on the same mistake.

pub mod groq;
pub mod signalwire;
mod tls;
