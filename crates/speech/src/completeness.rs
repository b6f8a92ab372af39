//! What words tell about somebody who has stopped speaking: whether he has finished, and whether he said anything that
//! wants an answer. By rules over the last words, in the languages that [`words`] knows, English otherwise.
//!
//! Recognisers end whatever they hear with a full stop, so a full stop proves nothing; a comma or dots do.

mod dictation;
mod words;

use words::Words;

/// How finished words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing more is wanted.
    Finished,
    /// It cannot be told.
    Unclear,
    /// More is to come.
    Hesitant,
}

/// What words, or a noise, are to somebody who was speaking meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// There are no words.
    Nothing,
    /// It only says that he listens.
    Backchannel,
    /// It wants to be heard.
    Speech,
}

/// Tells how finished words are. `language` is a BCP 47 tag.
pub fn completeness(text: &str, language: &str) -> Completeness {
    let words = Words::of(language);
    let tokens = tokens(text);
    let Some(last) = tokens.last() else { return Completeness::Unclear };
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\u{201d}'));
    if text.ends_with('?') || text.ends_with('!') {
        return Completeness::Finished;
    }
    if text.ends_with([',', ';', ':', '-', '\u{2013}', '\u{2014}', '\u{2026}']) || text.ends_with("..") {
        return Completeness::Hesitant;
    }
    if is_hum(last) || Words::has(words.hesitations, last) {
        return Completeness::Hesitant;
    }
    if let Some(completeness) = dictation::completeness(&tokens, text, words) {
        return completeness;
    }
    let is_closed = words.closed.split(", ").any(|closed| ends_with(&tokens, closed));
    if !is_closed && Words::has(words.open, last) {
        return Completeness::Hesitant;
    }
    if text.ends_with('.') { Completeness::Finished } else { Completeness::Unclear }
}

/// Tells what words are that were said while the other one was speaking. `language` is a BCP 47 tag.
pub fn remark(text: &str, language: &str) -> Remark {
    let words = Words::of(language);
    let tokens = tokens(&without_asides(text));
    if tokens.is_empty() {
        return Remark::Nothing;
    }
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        let said = words.backchannels.split(", ").filter(|phrase| starts_with(rest, phrase));
        let phrase = said.map(|phrase| phrase.split(' ').count()).max();
        let count = if is_hum(&rest[0]) { Some(1) } else { phrase };
        let Some(count) = count else { return Remark::Speech };
        rest = &rest[count..];
    }
    Remark::Backchannel
}

/// Whether two recognisers heard the same: case, marks, hesitations and how numbers are written aside.
pub fn are_same_words(one: &str, other: &str, language: &str) -> bool {
    let words = Words::of(language);
    let said = |text: &str| {
        let mut tokens = tokens(&crate::for_speech(text, language));
        tokens.retain(|token| !is_hum(token) && !Words::has(words.hesitations, token));
        tokens
    };
    said(one) == said(other)
}

/// Words in lower case, without the marks around them; hyphens within them are left out.
fn tokens(text: &str) -> Vec<String> {
    let words = text.split_whitespace().map(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.to_lowercase().replace(['-', '\u{2019}'], "").replace('\'', "")
    });
    words.filter(|word| !word.is_empty()).collect()
}

/// What is in brackets was not said: recognisers describe noises there.
fn without_asides(text: &str) -> String {
    let mut depth = 0_u32;
    let mut said = String::new();
    for c in text.chars() {
        match c {
            '[' | '(' | '*' if depth == 0 => depth = 1,
            ']' | ')' | '*' => depth = 0,
            _ if depth == 0 => said.push(c),
            _ => {}
        }
    }
    said
}

/// Whether a word is made with the mouth shut: mm, hm, mhm.
fn is_hum(word: &str) -> bool {
    word.chars().count() > 1 && word.chars().all(|c| matches!(c, 'm' | 'h'))
}

fn starts_with(tokens: &[String], phrase: &str) -> bool {
    let words: Vec<&str> = phrase.split(' ').collect();
    tokens.len() >= words.len() && tokens.iter().zip(&words).all(|(token, word)| token == word)
}

fn ends_with(tokens: &[String], phrase: &str) -> bool {
    let count = phrase.split(' ').count();
    tokens.len() >= count && starts_with(&tokens[tokens.len() - count..], phrase)
}

#[cfg(test)]
mod tests;
