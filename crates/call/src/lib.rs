//! voice-call
