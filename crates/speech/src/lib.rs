//! Text on its way to a voice and back: clauses out of a growing text, text as a person would say it, texts cut to an
//! engine's limit, and the words that had been heard when a playback stopped. Pure.

mod clause;
mod heard;
mod normalise;
mod pack;

pub use clause::{Clause, ClauseSplitter};
pub use heard::heard;
pub use normalise::for_speech;
pub use pack::pack;
