//! voice-clips
