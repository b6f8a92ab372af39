//! voice-server
