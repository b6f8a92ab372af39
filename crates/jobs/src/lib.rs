//! voice-jobs
