//! The script that stands for a language model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::grammar::normalise;

/// What the model says when no line fits.
const LOST: &str = "I am sorry, I did not understand that.";

/// One line of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Part of the last message, a user's or a tool's, compared without case and punctuation; empty fits everything.
    pub when: String,
    /// What the model answers.
    #[serde(default)]
    pub reply: String,
    /// What it asks to be done after that. A line with tools that the request does not declare does not fit.
    #[serde(default)]
    pub tool_calls: Vec<Call>,
}

/// Something that the model asks to be done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Name of the tool.
    pub name: String,
    /// Its arguments: an object, or any text for a model that writes none.
    #[serde(default = "nothing")]
    pub arguments: Value,
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

impl Call {
    /// The arguments as they go over the wire.
    pub(super) fn arguments(&self) -> String {
        match &self.arguments {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Finds the answer to the last message: the first line that fits.
pub(super) fn answer_to(script: &[Line], message: &str, declared: &[String]) -> Line {
    let said = normalise(message).join(" ");
    let fits = |line: &&Line| {
        let is_possible = line.tool_calls.iter().all(|call| declared.contains(&call.name));
        is_possible && said.contains(&normalise(&line.when).join(" "))
    };
    script.iter().find(fits).cloned().unwrap_or_else(|| Line { reply: LOST.to_owned(), ..Line::default() })
}
