//! What `make bench-calls` loads the stream door with: callers who speak a media WebSocket in real time, and the
//! carrier's side of it, which knows exactly what could be heard when.

pub mod caller;
pub mod carrier;
pub mod heard;
pub mod load;
pub mod utterance;
