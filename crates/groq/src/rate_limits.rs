//! What the provider's headers say of the quota that is left.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// The quota after a request. Every part is optional, since servers leave headers out as they like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests per day.
    pub requests: Allowance,
    /// Tokens per minute.
    pub tokens: Allowance,
    /// Seconds of audio, on transcriptions.
    pub audio_seconds: Allowance,
}

/// One limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The whole quota.
    pub limit: Option<u64>,
    /// What is left of it.
    pub remaining: Option<u64>,
    /// When it is whole again.
    pub reset_after: Option<Duration>,
}

impl RateLimits {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let allowance = |what: &str| {
            let text = |part: &str| headers.get(format!("x-ratelimit-{part}-{what}"))?.to_str().ok();
            Allowance {
                limit: text("limit").and_then(|value| value.parse().ok()),
                remaining: text("remaining").and_then(|value| value.parse().ok()),
                reset_after: text("reset").and_then(parse_go_duration),
            }
        };
        Self {
            requests: allowance("requests"),
            tokens: allowance("tokens"),
            audio_seconds: allowance("audio-seconds"),
        }
    }
}

/// Parses a duration as Go prints it: a sum of numbers with units, `2m59.56s` for instance.
pub(crate) fn parse_go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let unit_seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit_seconds;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_sums_of_numbers_with_units() {
        for (text, millis) in [
            ("2m59.56s", 179_560),
            ("7.66s", 7_660),
            ("500ms", 500),
            ("1m26.4s", 86_400),
            ("6s", 6_000),
            ("1h0m1s", 3_601_000),
        ] {
            assert_eq!(parse_go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_go_duration("12µs"), Some(Duration::from_micros(12)));
        for text in ["", "5", "s", "1x", "-3s", "1.2.3s", "99999999999999999999999h"] {
            assert_eq!(parse_go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn missing_headers_leave_their_part_empty() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining-tokens", "7500".parse().unwrap());
        headers.insert("x-ratelimit-reset-tokens", "7.66s".parse().unwrap());
        let limits = RateLimits::from_headers(&headers);
        let tokens =
            Allowance { limit: None, remaining: Some(7500), reset_after: Some(Duration::from_millis(7_660)) };
        assert_eq!(limits, RateLimits { tokens, ..RateLimits::default() });
    }
}
