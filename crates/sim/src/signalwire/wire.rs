//! JSON-RPC frames of the flat RELAY dialect, built and taken apart by hand.

use serde_json::{Value, json};

/// What a client's frame is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    /// A request.
    Request {
        /// Chosen by the client.
        id: String,
        /// Its method.
        method: String,
        /// Its parameters; an empty object if there are none.
        params: Value,
    },
    /// The answer to a request of ours: an ack of an event, or a ping's answer.
    Answer {
        /// The id of our request.
        id: String,
    },
}

/// A frame that is neither.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Malformed {
    /// Its id, if it has one.
    pub(crate) id: Option<String>,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// JSON-RPC's code for that.
    pub(crate) code: i64,
}

/// Takes a text frame apart.
///
/// # Errors
/// When it is not a JSON-RPC 2.0 frame.
pub(crate) fn parse(text: &str) -> Result<Incoming, Malformed> {
    let frame: Value = serde_json::from_str(text).map_err(|error| Malformed {
        id: None,
        reason: format!("not JSON: {error}"),
        code: -32_700,
    })?;
    let id = frame.get("id").and_then(Value::as_str).map(str::to_owned);
    let malformed = |reason: &str| Malformed { id: id.clone(), reason: reason.into(), code: -32_600 };
    if frame.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(malformed("jsonrpc is not \"2.0\""));
    }
    let Some(known_id) = id.clone().filter(|id| !id.is_empty()) else {
        return Err(malformed("id is not a string"));
    };
    if frame.get("result").is_some() || frame.get("error").is_some() {
        return Ok(Incoming::Answer { id: known_id });
    }
    let Some(method) = frame.get("method").and_then(Value::as_str) else {
        return Err(malformed("neither method, result nor error"));
    };
    let params = frame.get("params").cloned().unwrap_or_else(|| json!({}));
    if !params.is_object() {
        return Err(malformed("params is not an object"));
    }
    Ok(Incoming::Request { id: known_id, method: method.into(), params })
}

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// Which layer says so, with its code.
    pub(crate) layer: Layer,
    /// For people.
    pub(crate) message: String,
    /// Whether a correct client could not have sent this.
    pub(crate) is_violation: bool,
}

/// The two error layers of RELAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// A JSON-RPC error.
    Protocol(i64),
    /// A result with this code.
    Result(&'static str),
}

impl Refusal {
    /// The client's fault, JSON-RPC layer.
    pub(crate) fn protocol(code: i64, message: impl Into<String>) -> Self {
        Self { layer: Layer::Protocol(code), message: message.into(), is_violation: true }
    }

    /// -32602.
    pub(crate) fn invalid_params(class: &str, why: &str) -> Self {
        Self::protocol(-32_602, format!("Invalid {class}: {why}"))
    }

    /// The client's fault, result layer.
    pub(crate) fn fault(code: &'static str, message: impl Into<String>) -> Self {
        Self { layer: Layer::Result(code), message: message.into(), is_violation: true }
    }

    /// Nobody's fault: things crossed on the wire.
    pub(crate) fn crossed(code: &'static str, message: impl Into<String>) -> Self {
        Self { layer: Layer::Result(code), message: message.into(), is_violation: false }
    }

    /// The frame that says so.
    pub(crate) fn frame(&self, id: &str) -> Value {
        match self.layer {
            Layer::Protocol(code) => error(Some(id), code, &self.message),
            Layer::Result(code) => result(id, json!({ "code": code, "message": self.message })),
        }
    }

    /// Its code, as text.
    pub(crate) fn code(&self) -> String {
        match self.layer {
            Layer::Protocol(code) => code.to_string(),
            Layer::Result(code) => code.into(),
        }
    }
}

/// A success frame.
pub(crate) fn result(id: &str, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// A JSON-RPC error frame.
pub(crate) fn error(id: Option<&str>, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// A request of ours.
pub(crate) fn request(id: &str, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_answers_and_nonsense_are_told_apart() {
        let request = parse(r#"{"jsonrpc":"2.0","id":"a","method":"signalwire.ping"}"#);
        assert_eq!(
            request,
            Ok(Incoming::Request { id: "a".into(), method: "signalwire.ping".into(), params: json!({}) })
        );
        assert_eq!(
            parse(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#),
            Ok(Incoming::Answer { id: "a".into() })
        );
        for (nonsense, code) in [
            ("{", -32_700),
            ("[]", -32_600),
            (r#"{"id":"a","method":"x"}"#, -32_600),
            (r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#, -32_600),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, -32_600),
            (r#"{"jsonrpc":"2.0","id":"a","method":"x","params":[]}"#, -32_600),
        ] {
            assert_eq!(parse(nonsense).unwrap_err().code, code, "{nonsense}");
        }
    }
}
