//! The script that stands for a language model.

use serde::{Deserialize, Serialize};

use super::grammar::normalise;

/// What the model says when no line fits.
const LOST: &str = "I am sorry, I did not understand that.";

/// One line of the script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Part of the last user message, compared without case and punctuation; empty fits everything.
    pub when: String,
    /// What the model answers.
    pub reply: String,
}

/// Finds the reply to the last user message: the first line that fits.
pub(super) fn reply_to(script: &[Line], user_message: &str) -> String {
    let said = normalise(user_message).join(" ");
    let line = script.iter().find(|line| said.contains(&normalise(&line.when).join(" ")));
    line.map_or_else(|| LOST.to_owned(), |line| line.reply.clone())
}
