//! `voice-sim`: pretend SignalWire and Groq on real sockets.
fn main() {}
