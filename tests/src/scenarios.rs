//! Calls that go well, and calls that do not.

mod conversation;
