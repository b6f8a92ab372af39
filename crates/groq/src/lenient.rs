//! Reading what servers of the same dialect write differently.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number, a number in a string, or nothing.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// A count, in any of the forms of [`number`].
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(number(deserializer)?.filter(|number| *number >= 0.0).map(|number| number as u64))
}

/// Seconds, in any of the forms of [`number`].
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(number(deserializer)?.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

/// A list, or nothing.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
