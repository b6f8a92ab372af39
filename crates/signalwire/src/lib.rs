//! voice-signalwire
