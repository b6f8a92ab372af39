//! The tts service.
