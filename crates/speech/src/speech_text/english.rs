//! English, as it is said in the United States; other English-speaking countries write the day before the month.

use super::{Spoken, tokens::Token};

mod codes;
mod date;
mod links;
mod money;
mod numbers;
mod phone;
mod symbols;
mod time;
mod units;
mod words;

/// Readings in the order in which they are tried. Each looks at a bounded number of words.
const READINGS: [fn(&Cursor<'_>) -> Option<Said>; 10] = [
    links::read,
    money::read,
    phone::read,
    date::read,
    time::read,
    units::read,
    codes::read_named,
    numbers::read,
    words::read,
    codes::read,
];

/// Where English is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// Whether 3/4 is a day in April.
    pub(super) is_day_first: bool,
}

impl Region {
    pub(super) fn of(region: &str) -> Self {
        Self { is_day_first: matches!(region, "GB" | "IE" | "AU" | "NZ" | "IN" | "ZA" | "SG" | "HK") }
    }
}

/// A place in a line.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    region: Region,
}

/// What is said for the words at a place.
#[derive(Debug)]
struct Said {
    /// How many words.
    count: usize,
    text: String,
    dot: Dot,
}

/// What the full stop behind a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    Stop,
    /// An abbreviation's, unless the next word begins a sentence.
    Short,
    /// An abbreviation's that never ends a sentence.
    Title,
}

impl<'a> Cursor<'a> {
    /// The word `n` places on, unless something has ended before it.
    fn core(&self, n: usize) -> Option<&'a str> {
        let is_joined =
            (0..n).all(|n| self.tokens.get(self.at + n).is_some_and(|token| token.stop.is_none()));
        self.tokens.get(self.at + n).filter(|_| is_joined).map(|token| token.core.as_str())
    }

    /// The word `n` places on, whatever is between.
    fn ahead(&self, n: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + n)
    }

    /// The word `n` places back, in small letters. A colon may stand between.
    fn back(&self, n: usize) -> String {
        let before = self.at.checked_sub(n).map(|at| &self.tokens[at..self.at]);
        let is_joined = before.is_some_and(|before| {
            before.iter().all(|token| matches!(token.stop, None | Some(':')) || token.is_dotted)
        });
        match before.filter(|_| is_joined).and_then(<[Token]>::first) {
            Some(token) => token.core.to_lowercase(),
            None => String::new(),
        }
    }
}

impl Said {
    fn new(count: usize, text: impl Into<String>) -> Self {
        Self { count, text: text.into(), dot: Dot::Stop }
    }

    fn short(count: usize, text: impl Into<String>) -> Self {
        Self { dot: Dot::Short, ..Self::new(count, text) }
    }
}

pub(super) fn say(tokens: &[Token], region: Region, all: &mut Vec<Spoken>) {
    let mut at = 0;
    while at < tokens.len() {
        let cursor = Cursor { tokens, at, region };
        let Said { count, text: mut said, dot } =
            READINGS.iter().find_map(|read| read(&cursor)).unwrap_or_else(|| symbols::read(&cursor));
        let last = &tokens[at + count - 1];
        let span = tokens[at].span.start..last.span.end;
        at += count;
        let begins = tokens.get(at).is_none_or(|next| next.core.starts_with(char::is_uppercase));
        let is_short = match dot {
            Dot::Stop => false,
            Dot::Short => !begins,
            Dot::Title => at < tokens.len(),
        };
        let is_item = at == 1
            && tokens.len() > 1
            && last.core.len() <= 2
            && last.core.bytes().all(|b| b.is_ascii_digit());
        let stop = match last.stop {
            // A list's "1. First".
            Some('.') if is_item => Some(','),
            Some('.') if is_short => None,
            stop => stop,
        };
        if said.is_empty() {
            if let (Some(before), Some(stop)) = (all.last_mut(), stop)
                && !before.text.ends_with(['.', '!', '?', ',', ';', ':'])
            {
                before.text.push(stop);
            }
            continue;
        }
        match stop {
            Some('.') if said.ends_with('.') => {}
            Some(stop) => said.push(stop),
            None => {}
        }
        all.push(Spoken { text: said, span });
    }
}
