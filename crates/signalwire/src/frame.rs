//! JSON-RPC frames, leniently read.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;

/// A frame from the platform.
#[derive(Debug, PartialEq)]
pub(crate) enum Inbound {
    /// It asks or tells something.
    Request { id: Value, method: String, params: Value },
    /// It answers a command of ours.
    Response { id: String, result: Result<Value, Error> },
}

#[derive(Deserialize)]
struct Raw {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Value>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

const AUTHENTICATION_FAILED: i64 = -32_002;

/// Reads a text frame; `None` for what is not JSON-RPC.
pub(crate) fn parse(text: &str) -> Option<Inbound> {
    let raw: Raw = serde_json::from_str(text).ok()?;
    let id = raw.id.unwrap_or(Value::Null);
    if let Some(method) = raw.method {
        return Some(Inbound::Request { id, method, params: raw.params });
    }
    let id = text_of(&id)?;
    if let Some(error) = raw.error {
        let result = if error.code == AUTHENTICATION_FAILED {
            Error::Unauthorized { message: error.message }
        } else {
            Error::Protocol { code: error.code, message: error.message }
        };
        return Some(Inbound::Response { id, result: Err(result) });
    }
    Some(Inbound::Response { id, result: checked(raw.result?) })
}

/// The second error layer: an ordinary result whose `code` is not 2xx.
fn checked(result: Value) -> Result<Value, Error> {
    let Some(code) = result.get("code").and_then(text_of) else { return Ok(result) };
    if code.len() == 3 && code.starts_with('2') {
        return Ok(result);
    }
    if code == "404" || code == "410" {
        return Err(Error::Gone);
    }
    let message = result.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(Error::Refused { code, message })
}

/// A string, or a number as one: the platform is not strict about it.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(crate) fn request(id: &str, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

pub(crate) fn response(id: &Value, result: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(text: &str) -> Result<Value, Error> {
        match parse(text) {
            Some(Inbound::Response { result, .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_error_layers_are_told_apart() {
        assert!(result_of(r#"{"id":"1","result":{"code":"200","message":"ok"}}"#).is_ok());
        assert!(result_of(r#"{"id":"1","result":{"protocol":"x"}}"#).is_ok());
        assert!(result_of(r#"{"id":1,"result":{"code":200}}"#).is_ok());
        assert_eq!(result_of(r#"{"id":"1","result":{"code":"404"}}"#), Err(Error::Gone));
        assert_eq!(result_of(r#"{"id":"1","result":{"code":"410"}}"#), Err(Error::Gone));
        assert!(matches!(result_of(r#"{"id":"1","result":{"code":"409"}}"#), Err(Error::Refused { .. })));
        assert!(matches!(
            result_of(r#"{"id":"1","error":{"code":-32002}}"#),
            Err(Error::Unauthorized { .. })
        ));
        assert!(matches!(result_of(r#"{"id":"1","error":{"code":-32601}}"#), Err(Error::Protocol { .. })));
    }

    #[test]
    fn what_is_not_json_rpc_is_nothing() {
        for text in ["", "hello", "[]", "{}", r#"{"id":"1"}"#, r#"{"result":{}}"#] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
