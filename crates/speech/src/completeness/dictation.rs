//! Numbers and letters that are being dictated: whoever pauses in them has seldom finished.

use super::{Completeness, words::Words};

/// A telephone number with its area has this many digits; whoever has said so many is thought to have said all.
const WHOLE_NUMBER: usize = 10;
/// So many digits in one go are part of something longer; fewer are a time, or how many.
const PART: usize = 3;
/// How far before the digits it is said what they are.
const CONTEXT: usize = 4;

/// What digits or letters at the end tell; `None` if there are none, or they are no dictation.
pub(super) fn completeness(tokens: &[String], text: &str, words: &Words) -> Option<Completeness> {
    let count = |token: &String| digits(token, words);
    let run = tokens.iter().rev().take_while(|token| count(token) > 0).count();
    if run == 0 {
        let letters = tokens.iter().rev().take_while(|token| token.chars().count() == 1).count();
        return (letters > 1).then_some(Completeness::Hesitant);
    }
    let (before, said) = tokens.split_at(tokens.len() - run);
    let total: usize = said.iter().map(count).sum();
    if total >= WHOLE_NUMBER {
        return Some(Completeness::Finished);
    }
    let near = &before[before.len().saturating_sub(CONTEXT)..];
    let is_announced = near.iter().any(|word| Words::has(words.numbers, word));
    let is_amount = text
        .split_whitespace()
        .last()
        .is_some_and(|last| last.trim_end_matches('.').contains([':', '$', '\u{20ac}', '\u{a3}', '%', '.']));
    let is_dictated = before.is_empty() || run > 1 || is_announced || total >= PART && !is_amount;
    is_dictated.then_some(Completeness::Hesitant)
}

/// How many digits a word stands for, if it stands for nothing else.
fn digits(token: &str, words: &Words) -> usize {
    if Words::has(words.digits, token) {
        return 1;
    }
    let is_number = token.chars().all(|c| c.is_ascii_digit() || !c.is_alphanumeric());
    if is_number { token.chars().filter(char::is_ascii_digit).count() } else { 0 }
}
