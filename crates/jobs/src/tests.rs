//! The queue against a real Redis.
