//! voice-sim
