//! Text as a person would say it over a telephone: no markup, no symbols, numbers in words.
//!
//! Markup, emoji and links are the same in every language; everything else is one language's business: a file beside
//! `english.rs`, and a line in `say`. A language that is not there gets the common part alone, and its engine reads
//! numbers as it will. What has been made speakable once is not changed by being made so again.

use std::ops::Range;

pub(crate) use markup::{fence, is_emoji};
use tokens::Token;

/// A reading can bring together what another one then knows ("Chapter/ IV"), so texts are read until nothing changes;
/// more often than this is not needed.
const MOST_READINGS: usize = 5;

mod english;
mod markup;
mod tokens;

/// What is said for a stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The words, with the punctuation behind them.
    pub text: String,
    /// The stretch, in Unicode code points of the original text.
    pub span: Range<usize>,
}

/// Makes a text speakable in the language of a BCP 47 tag. Gives an empty text when there is nothing to say.
pub fn for_speech(text: &str, language: &str) -> String {
    joined(&spoken(text, language))
}

/// As [`for_speech`], piece by piece with the place of each in the original: a word, or several that are said as one
/// thing, such as a date. The pieces joined by spaces are the whole; no two places overlap.
pub fn spoken(text: &str, language: &str) -> Vec<Spoken> {
    let mut spoken = read(text, language);
    for _ in 1..MOST_READINGS {
        let text = joined(&spoken);
        let again = read(&text, language);
        if joined(&again) == text {
            break;
        }
        spoken = placed(again, &spoken);
    }
    spoken
}

fn joined(spoken: &[Spoken]) -> String {
    let texts: Vec<&str> = spoken.iter().map(|spoken| spoken.text.as_str()).collect();
    texts.join(" ")
}

/// What has been read out of an earlier reading, with its places in that one's original.
fn placed(again: Vec<Spoken>, earlier: &[Spoken]) -> Vec<Spoken> {
    let mut all: Vec<Spoken> = Vec::with_capacity(again.len());
    let mut rest = earlier.iter().scan(0, |at, piece| {
        let start = *at;
        *at += piece.text.chars().count() + 1;
        Some((start..*at, &piece.span))
    });
    let mut here = rest.next();
    for Spoken { text, span } in again {
        while here.as_ref().is_some_and(|(range, _)| range.end <= span.start) {
            here = rest.next();
        }
        let Some((_, first)) = here.clone() else { break };
        let start = first.start;
        let mut end = first.end;
        while let Some((range, place)) = here.as_ref().filter(|(range, _)| range.start < span.end) {
            end = place.end;
            if range.end > span.end {
                break;
            }
            here = rest.next();
        }
        match all.last_mut().filter(|last| last.span.end > start) {
            Some(last) => {
                last.text = format!("{} {text}", last.text);
                last.span.end = last.span.end.max(end);
            }
            None => all.push(Spoken { text, span: start..end }),
        }
    }
    all
}

fn read(text: &str, language: &str) -> Vec<Spoken> {
    let mut all: Vec<Spoken> = Vec::new();
    let mut is_open = false;
    for line in markup::lines(text) {
        let tokens = tokens::tokens(&line.chars);
        let Some(first) = tokens.first() else { continue };
        let goes_on = !line.is_block && first.core.starts_with(char::is_lowercase);
        if let Some(last) = all.last_mut().filter(|_| is_open || !goes_on) {
            close(&mut last.text);
        }
        say(&tokens, language, &mut all);
        is_open = line.is_block;
    }
    if !all.iter().any(|spoken| spoken.text.contains(char::is_alphanumeric)) {
        return Vec::new();
    }
    // Voices drawl without an end.
    if let Some(last) = all.last_mut() {
        close(&mut last.text);
    }
    all
}

/// Whether anything is said for a text, in any language.
pub(crate) fn is_speakable(text: &str) -> bool {
    markup::lines(text).iter().any(|line| line.chars.iter().any(|(c, _)| c.is_alphanumeric()))
}

/// One line in the language's words.
fn say(tokens: &[Token], language: &str, all: &mut Vec<Spoken>) {
    let mut subtags = language.split(['-', '_']);
    match subtags.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "en" | "" => {
            let region = subtags.next_back().unwrap_or("US").to_ascii_uppercase();
            english::say(tokens, english::Region::of(&region), all);
        }
        _ => all.extend(tokens.iter().map(Token::plain)),
    }
}

fn close(text: &mut String) {
    if !text.ends_with(['.', '!', '?', ',', ';', ':']) {
        text.push('.');
    }
}

#[cfg(test)]
mod tests;
