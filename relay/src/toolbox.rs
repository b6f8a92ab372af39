//! The tools that every assistant can be given: what they are called, what the language model is told of them, and what
//! it may say when it calls them. Nobody can name a number: a target is one of the names that the operator has chosen.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{assistants::TransferTarget, ports::Declaration};

/// Keys that a caller may be asked to press at a time.
const MOST_KEYS: usize = 32;

/// Digits that may be dialled at a time.
const MOST_DIGITS: usize = 32;

/// A question, in characters.
const LONGEST_PROMPT: usize = 300;

/// One of the assistant's own tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// Hangs up.
    EndCall,
    /// Hands the call over.
    TransferCall,
    /// Dials digits into the call.
    SendDigits,
    /// Has the caller press keys.
    CollectDigits,
    /// Has the caller leave a message.
    TakeMessage,
}

/// What the model wants, with arguments that make sense in themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    EndCall,
    Transfer { target: String },
    SendDigits { digits: String },
    CollectDigits { prompt: String, most: usize },
    TakeMessage { prompt: String },
}

#[derive(Deserialize)]
struct TransferArguments {
    target: String,
}

#[derive(Deserialize)]
struct SendArguments {
    digits: String,
}

#[derive(Deserialize)]
struct CollectArguments {
    prompt: String,
    max_digits: usize,
}

#[derive(Deserialize)]
struct MessageArguments {
    prompt: String,
}

impl BuiltIn {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::EndCall, Self::TransferCall, Self::SendDigits, Self::CollectDigits, Self::TakeMessage];

    /// The one of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// What it is called, by operators and by models.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EndCall => "end_call",
            Self::TransferCall => "transfer_call",
            Self::SendDigits => "send_digits",
            Self::CollectDigits => "collect_digits",
            Self::TakeMessage => "take_message",
        }
    }

    /// Whether it can be done only where a telephony provider has the call.
    pub(crate) fn needs_trunk(self) -> bool {
        match self {
            Self::TransferCall | Self::SendDigits => true,
            Self::EndCall | Self::CollectDigits | Self::TakeMessage => false,
        }
    }

    /// What the model is told of it.
    pub(crate) fn declare(self, targets: &BTreeMap<String, TransferTarget>) -> Declaration {
        let (description, properties) = match self {
            Self::EndCall => (
                "Hangs up once the caller has heard your reply. Say goodbye in it. Only when the caller is done.",
                json!({}),
            ),
            Self::TransferCall => (
                "Hands the caller over to somebody else once he has heard your reply. Say in it to whom.",
                json!({ "target": { "type": "string", "enum": targets.keys().collect::<Vec<_>>() } }),
            ),
            Self::SendDigits => (
                "Presses keys of the telephone once your reply has been heard, for menus of whoever was called.",
                json!({ "digits": { "type": "string", "description": "0-9, * and #; w waits half a second" } }),
            ),
            Self::CollectDigits => (
                "Has the caller press keys of his telephone, and tells you which. For numbers that are hard to \
                 understand: of a customer, of an order.",
                json!({
                    "prompt": { "type": "string", "description": "what to ask the caller" },
                    "max_digits": { "type": "integer", "minimum": 1, "maximum": MOST_KEYS },
                }),
            ),
            Self::TakeMessage => (
                "Records a message of the caller once he has heard your reply, and passes it on. Then you are told what \
                 he said.",
                json!({ "prompt": { "type": "string", "description": "what to ask the caller" } }),
            ),
        };
        let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
        let parameters = json!({ "type": "object", "properties": properties, "required": required });
        Declaration { name: self.name().to_owned(), description: description.to_owned(), parameters }
    }

    /// Reads the arguments that a model has written.
    ///
    /// # Errors
    /// With a stable reason, where they make no sense.
    pub(crate) fn read(self, arguments: &str) -> Result<Wish, &'static str> {
        match self {
            Self::EndCall => parse::<Map<String, Value>>(arguments).map(|_| Wish::EndCall),
            Self::TransferCall => {
                let TransferArguments { target } = parse(arguments)?;
                Ok(Wish::Transfer { target })
            }
            Self::SendDigits => {
                let SendArguments { digits } = parse(arguments)?;
                let is_key = |digit: char| digit.is_ascii_digit() || "*#ABCD".contains(digit);
                let is_known = digits.chars().all(|digit| is_key(digit) || matches!(digit, 'w' | 'W'));
                if !is_known || !digits.contains(is_key) || digits.len() > MOST_DIGITS {
                    return Err(INVALID);
                }
                Ok(Wish::SendDigits { digits })
            }
            Self::CollectDigits => {
                let CollectArguments { prompt, max_digits } = parse(arguments)?;
                if !is_speakable(&prompt) || !(1..=MOST_KEYS).contains(&max_digits) {
                    return Err(INVALID);
                }
                Ok(Wish::CollectDigits { prompt, most: max_digits })
            }
            Self::TakeMessage => {
                let MessageArguments { prompt } = parse(arguments)?;
                if is_speakable(&prompt) { Ok(Wish::TakeMessage { prompt }) } else { Err(INVALID) }
            }
        }
    }
}

fn is_speakable(prompt: &str) -> bool {
    (1..=LONGEST_PROMPT).contains(&prompt.trim().chars().count())
}

const INVALID: &str = "TOOL_ARGUMENTS_INVALID";

fn parse<T: DeserializeOwned>(arguments: &str) -> Result<T, &'static str> {
    serde_json::from_str(arguments).map_err(|_| INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_the_names_of_targets_and_no_number() {
        let sales = TransferTarget { number: "+15553330000".into(), announcement: None };
        let targets = BTreeMap::from([("sales".to_owned(), sales)]);
        let told = BuiltIn::TransferCall.declare(&targets);
        assert_eq!(told.parameters["properties"]["target"]["enum"], json!(["sales"]));
        assert!(!told.parameters.to_string().contains("555"));
        for tool in BuiltIn::ALL {
            assert_eq!(BuiltIn::find(tool.name()), Some(tool));
            assert_eq!(tool.declare(&targets).parameters["type"], "object");
        }
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        let transfer = |arguments| BuiltIn::TransferCall.read(arguments);
        assert_eq!(transfer(r#"{"target":"sales"}"#), Ok(Wish::Transfer { target: "sales".into() }));
        for junk in ["", "null", "[]", r#"{"target":7}"#, r#"{"number":"+15553330000"}"#] {
            assert_eq!(transfer(junk), Err(INVALID), "{junk}");
        }
        for junk in [r#"{"digits":""}"#, r#"{"digits":"ww"}"#, r#"{"digits":"call me"}"#] {
            assert_eq!(BuiltIn::SendDigits.read(junk), Err(INVALID), "{junk}");
        }
        for junk in [r#"{"prompt":"","max_digits":4}"#, r#"{"prompt":"Which?","max_digits":0}"#] {
            assert_eq!(BuiltIn::CollectDigits.read(junk), Err(INVALID), "{junk}");
        }
    }
}
