//! Text on its way to a voice and back: clauses out of a growing text, text as a person would say it, texts cut to an
//! engine's limit, the words that had been heard when a playback stopped, and whether a caller's words sound finished. Pure.

mod clause;
mod completeness;
mod heard;
mod pack;
mod speech_text;

pub use clause::{Clause, ClauseSplitter};
pub use completeness::{Completeness, Remark, are_same_words, completeness, remark};
pub use heard::Clip;
pub use pack::pack;
pub use speech_text::{Spoken, for_speech, spoken};
