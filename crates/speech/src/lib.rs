//! voice-speech
