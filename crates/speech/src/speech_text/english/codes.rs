//! Order ids, flights, postal codes: letter by letter and digit by digit.

use super::{
    Cursor, Said,
    numbers::{Number, cardinal, digits},
};

/// What stands before a number that is read digit by digit.
const NAMES: [&str; 30] = [
    "order",
    "number",
    "no",
    "code",
    "zip",
    "zipcode",
    "postcode",
    "id",
    "pin",
    "confirmation",
    "reference",
    "ref",
    "account",
    "ticket",
    "case",
    "extension",
    "ext",
    "x",
    "call",
    "dial",
    "text",
    "booking",
    "invoice",
    "tracking",
    "passcode",
    "password",
    "ending",
    "ssn",
    "policy",
    "member",
];
/// What may stand between them.
const LINKS: [&str; 12] =
    ["is", "was", "number", "in", "id", "code", "no", "with", "to", "the", "reference", "#"];
/// Longer ones are nothing that anybody could write down.
const MOST_CHARS: usize = 40;

/// Digits one by one, long ones in groups.
pub(super) fn spelled(number: &str) -> String {
    let groups = match number.len() {
        0..=5 => return digits(number),
        len if len % 4 == 0 => vec![4; len / 4],
        len if len % 3 == 0 => vec![3; len / 3],
        len if len % 3 == 1 => [vec![3; len / 3 - 1], vec![4]].concat(),
        len => [vec![3; len / 3], vec![2]].concat(),
    };
    let mut rest = number;
    let mut said = Vec::new();
    for length in groups {
        let (group, behind) = rest.split_at(length);
        said.push(digits(group));
        rest = behind;
    }
    said.join(", ")
}

/// A number that has just been named as one that is read digit by digit.
pub(super) fn read_named(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    let core = core.strip_prefix('#').unwrap_or(core);
    if core.len() < 3
        || core.len() > MOST_CHARS
        || !core.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        || !core.starts_with(|c: char| c.is_ascii_digit())
        || !core.ends_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let is_named = |n: usize| {
        let back = cursor.back(n);
        NAMES.contains(&back.trim_start_matches('#')) && !(back == "text" && n > 1)
    };
    let named = is_named(1)
        || LINKS.contains(&cursor.back(1).as_str())
            && (is_named(2) || LINKS.contains(&cursor.back(2).as_str()) && is_named(3));
    // "the number of orders is 1500" is no name.
    let counts = cursor
        .core(1)
        .is_some_and(|next| next.starts_with(char::is_lowercase) && next.ends_with('s') && next != "is");
    let is_room = core.len() <= 4
        && matches!(
            cursor.back(1).as_str(),
            "room" | "flight" | "suite" | "apartment" | "apt" | "gate" | "error" | "bus" | "train" | "unit"
        );
    if is_room {
        return Some(Said::new(1, room(core)));
    }
    let parts: Vec<String> = core.split('-').filter(|part| !part.is_empty()).map(spelled).collect();
    (named && !counts).then(|| Said::new(1, parts.join(", ")))
}

/// `1204` is "twelve oh four", `305` is "three oh five".
fn room(number: &str) -> String {
    if number.contains('-') || number.starts_with('0') {
        return digits(number);
    }
    let (high, low) = number.split_at(number.len() - 2);
    match low {
        "00" if high.len() == 1 => cardinal(number),
        "00" => format!("{} hundred", cardinal(high)),
        low if low.starts_with('0') => format!("{} oh {}", cardinal(high), cardinal(low)),
        low => format!("{} {}", cardinal(high), cardinal(low)),
    }
}

/// Letters and digits in one word.
pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | '#' | ':');
    if !core.contains(|c: char| c.is_ascii_digit())
        || !core.contains(|c: char| c.is_ascii_alphabetic())
        || !core.chars().all(is_code)
    {
        let is_long = core.len() > MOST_CHARS && core.contains(|c: char| c.is_ascii_digit());
        return is_long.then(|| Said::new(1, "a long code"));
    }
    if core.len() > MOST_CHARS {
        return Some(Said::new(1, "a long code"));
    }
    let hash = if core.starts_with('#') { "number " } else { "" };
    Some(Said::new(1, format!("{hash}{}", said(core))))
}

/// A code in parts: letters by name, or as a word when they are one; short numbers as numbers.
fn said(code: &str) -> String {
    let blocks: Vec<&str> =
        code.split(['-', '_', '/', '.', '#', ':']).filter(|block| !block.is_empty()).collect();
    let is_short = code.chars().filter(char::is_ascii_digit).count() <= 2;
    let is_word = |block: &str| block.len() > 3 && block.bytes().all(|b| b.is_ascii_alphabetic());
    let separator = if is_short { " " } else { ", " };
    let said = blocks.iter().map(|block| {
        let runs = runs(block);
        let is_mixed = runs.len() > 3;
        let said = runs.into_iter().map(|run| {
            if run.starts_with(|c: char| c.is_ascii_digit()) {
                return if is_short && !is_mixed && !run.starts_with('0') {
                    cardinal(run)
                } else {
                    spelled(run)
                };
            }
            if is_word(run) && has_vowel(run) { run.to_owned() } else { letters(run) }
        });
        said.collect::<Vec<_>>().join(" ")
    });
    said.collect::<Vec<_>>().join(separator)
}

fn has_vowel(word: &str) -> bool {
    word.contains(|c| "aeiouyAEIOUY".contains(c))
}

pub(super) fn letters(word: &str) -> String {
    let letters = word.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase().to_string());
    letters.collect::<Vec<_>>().join(" ")
}

/// Letters and digits apart.
pub(super) fn runs(block: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = 0;
    let bytes = block.as_bytes();
    for at in 1..bytes.len() {
        if bytes[at].is_ascii_digit() != bytes[at - 1].is_ascii_digit() {
            runs.push(&block[start..at]);
            start = at;
        }
    }
    runs.push(&block[start..]);
    runs
}

/// A number of any length that no other reading has taken.
pub(super) fn leftover(number: &str) -> String {
    if number.len() > MOST_CHARS {
        return "a long number".into();
    }
    match Number::parse(number) {
        Some(parsed) if number.len() <= 4 => parsed.say(),
        _ => spelled(number),
    }
}
