//! Whether somebody who has stopped speaking sounds as if he had finished.

/// How finished words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing more is wanted.
    Finished,
    /// It cannot be told.
    Unclear,
    /// More is to come.
    Hesitant,
}
