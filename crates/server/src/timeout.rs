//! gRPC's `grpc-timeout` header: up to eight digits and a unit.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// Its name.
pub(crate) const HEADER: &str = "grpc-timeout";

/// The largest number that fits.
const MOST: u128 = 99_999_999;

/// How long the sender of these headers waits, if he says so.
pub(crate) fn of(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get(HEADER)?.to_str().ok()?)
}

fn parse(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// A header's value, as exact as eight digits can be.
pub(crate) fn value(timeout: Duration) -> HeaderValue {
    let units = [(timeout.as_micros(), 'u'), (timeout.as_millis(), 'm')];
    let (amount, unit) = units
        .into_iter()
        .find(|(amount, _)| *amount <= MOST)
        .unwrap_or((u128::from(timeout.as_secs()).min(MOST), 'S'));
    HeaderValue::try_from(format!("{amount}{unit}")).expect("digits and a letter are a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_in_every_unit() {
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        for junk in ["", "m", "12", "123456789S", "é"] {
            assert_eq!(parse(junk), None, "{junk}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for timeout in [Duration::ZERO, Duration::from_micros(1_500), Duration::from_mins(5)] {
            assert_eq!(parse(value(timeout).to_str().unwrap()), Some(timeout));
        }
        assert_eq!(parse(value(Duration::MAX).to_str().unwrap()), Some(Duration::from_secs(99_999_999)));
    }
}
