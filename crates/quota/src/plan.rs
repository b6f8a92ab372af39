//! What Groq's plans allow, as its documentation tells. A model that is not listed here has no limits that are known.

use std::time::Duration;

use crate::Cost;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Steps that a window is counted in: a step counts until all of it is over, so windows are a little long.
const STEPS: u32 = 60;

/// A plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The one without a card.
    Free,
    /// The one that is paid by use.
    Developer,
}

/// At most so much within any window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Last part of its key.
    pub(crate) name: &'static str,
    pub(crate) window: Duration,
    pub(crate) most: u64,
    pub(crate) amount: u64,
}

/// One row of the table; what is not known is zero.
#[derive(Default)]
struct Row {
    requests_per_minute: u64,
    requests_per_day: u64,
    tokens_per_minute: u64,
    tokens_per_day: u64,
    audio_seconds_per_hour: u64,
    audio_seconds_per_day: u64,
}

impl Plan {
    /// The limits of a model, each with what a request takes of it.
    pub(crate) fn limits(self, model: &str, cost: Cost) -> Vec<Limit> {
        let row = self.row(model);
        let Cost { tokens, audio_seconds } = cost;
        let all = [
            ("requests-minute", MINUTE, row.requests_per_minute, 1),
            ("requests-day", DAY, row.requests_per_day, 1),
            ("tokens-minute", MINUTE, row.tokens_per_minute, tokens),
            ("tokens-day", DAY, row.tokens_per_day, tokens),
            ("audio-hour", HOUR, row.audio_seconds_per_hour, audio_seconds),
            ("audio-day", DAY, row.audio_seconds_per_day, audio_seconds),
        ];
        let known = all.into_iter().filter(|(_, _, most, amount)| *most > 0 && *amount > 0);
        known.map(|(name, window, most, amount)| Limit { name, window, most, amount }).collect()
    }

    fn row(self, model: &str) -> Row {
        let row = |requests: (u64, u64), tokens: (u64, u64), audio: (u64, u64)| Row {
            requests_per_minute: requests.0,
            requests_per_day: requests.1,
            tokens_per_minute: tokens.0,
            tokens_per_day: tokens.1,
            audio_seconds_per_hour: audio.0,
            audio_seconds_per_day: audio.1,
        };
        match (self, model) {
            (Self::Free, "openai/gpt-oss-20b" | "openai/gpt-oss-120b" | "qwen/qwen3.8-27b") => {
                row((30, 1_000), (8_000, 200_000), (0, 0))
            }
            (Self::Developer, "openai/gpt-oss-20b" | "openai/gpt-oss-120b") => {
                row((1_000, 500_000), (250_000, 0), (0, 0))
            }
            (Self::Free, "whisper-large-v3" | "whisper-large-v3-turbo") => {
                row((20, 2_000), (0, 0), (7_200, 28_800))
            }
            (Self::Developer, "whisper-large-v3") => row((300, 200_000), (0, 0), (200_000, 4_000_000)),
            (Self::Developer, "whisper-large-v3-turbo") => row((400, 200_000), (0, 0), (400_000, 4_000_000)),
            (Self::Free, "canopylabs/orpheus-v1-english" | "canopylabs/orpheus-arabic-saudi") => {
                row((10, 100), (1_200, 3_600), (0, 0))
            }
            (Self::Developer, "canopylabs/orpheus-v1-english" | "canopylabs/orpheus-arabic-saudi") => {
                row((250, 100_000), (50_000, 2_000_000), (0, 0))
            }
            _ => Row::default(),
        }
    }
}

impl Limit {
    /// Arguments of the script: window and step in milliseconds, the most, the amount.
    pub(crate) fn arguments(&self) -> [u64; 4] {
        let window = self.window.as_millis() as u64;
        [window, window / u64::from(STEPS), self.most, self.amount]
    }
}
