//! voice-groq
