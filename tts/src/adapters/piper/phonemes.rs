//! Text to phoneme ids, as Piper does it: clause by clause, by a child espeak-ng.

use unicode_normalization::UnicodeNormalization as _;

use super::about::{Alphabet, Spelling};
use crate::{adapters::espeak, error::EngineError};

/// What a clause is passed as: espeak-ng leaves its punctuation out of the phonemes, but listens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub text: String,
    /// The phoneme of its punctuation, one of `.,:;?!`.
    pub mark: char,
}

impl Clause {
    /// Whether a sentence ends with it.
    pub(super) fn ends_sentence(&self) -> bool {
        matches!(self.mark, '.' | '?' | '!')
    }
}

/// Splits where espeak-ng does: at punctuation before a space, at a full stop only before what is no small letter.
pub(super) fn clauses(text: &str) -> Vec<Clause> {
    let chars: Vec<char> = text.chars().collect();
    let mut clauses = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < chars.len() {
        let Some(mark) = mark(chars[at]) else {
            at += 1;
            continue;
        };
        let run = chars[at..].iter().take_while(|c| self::mark(**c).is_some()).count();
        let closing = chars[at + run..].iter().take_while(|c| "\"')]}”’»".contains(**c)).count();
        let end = at + run + closing;
        let after = chars[end..].iter().find(|c| !c.is_whitespace());
        let is_ellipsis = chars[at] == '…' || (run > 1 && chars[at..at + run].iter().all(|c| *c == '.'));
        let is_dash = "–—".contains(chars[at]);
        let is_apart = chars.get(end).is_none_or(|c| c.is_whitespace());
        let is_break = match mark {
            _ if is_ellipsis => true,
            _ if is_dash => is_apart && at > 0 && chars[at - 1].is_whitespace(),
            '.' => is_apart && after.is_none_or(|c| !c.is_lowercase()),
            _ => is_apart,
        };
        if is_break {
            // An ellipsis in mid-sentence is a pause.
            let mark = if is_ellipsis && after.is_some_and(|c| c.is_lowercase()) { ',' } else { mark };
            push(&mut clauses, &chars[start..end], mark);
            start = end;
        }
        at = end;
    }
    // Voices drawl when nothing ends the sentence.
    push(&mut clauses, &chars[start..], '.');
    clauses
}

/// Those without a letter or digit are nothing to say.
fn push(clauses: &mut Vec<Clause>, chars: &[char], mark: char) {
    if chars.iter().any(|c| c.is_alphanumeric()) {
        // Two opening brackets would begin phonemes of the caller's own.
        let text: String = chars.iter().map(|c| if "[]".contains(*c) { ' ' } else { *c }).collect();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        clauses.push(Clause { text, mark });
    }
}

fn mark(c: char) -> Option<char> {
    match c {
        '.' | '…' | '।' | '。' => Some('.'),
        ',' | '،' | '、' | '，' => Some(','),
        ':' | '：' => Some(':'),
        ';' | '؛' | '–' | '—' | '；' => Some(';'),
        '?' | '؟' | '？' => Some('?'),
        '!' | '！' => Some('!'),
        _ => None,
    }
}

/// The phonemes of a clause, its punctuation and the space after it included.
///
/// # Errors
/// When espeak-ng fails.
pub(super) async fn phonemes(
    clause: &Clause,
    spelling: &Spelling,
    alphabet: &Alphabet,
) -> Result<Vec<String>, EngineError> {
    let mut spoken = match spelling {
        Spelling::Text => clause.text.clone(),
        Spelling::Espeak(voice) => {
            let args = ["-q", "-b", "1", "--ipa", "-v", voice, "--stdin"];
            let output = espeak::run(&args, &clause.text).await?;
            let mut ipa = without_flags(&String::from_utf8_lossy(&output));
            ipa.push(clause.mark);
            ipa
        }
    };
    if !clause.ends_sentence() {
        spoken.push(' ');
    }
    let points: Vec<String> = spoken.nfd().map(String::from).collect();
    Ok(merged(points, alphabet))
}

/// Lines are clauses that we took for one; `(fr)` and the like mark words of another language.
fn without_flags(ipa: &str) -> String {
    let mut text = ipa.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some(start) = text.find('(') {
        let Some(length) = text[start..].find(')') else { break };
        text.replace_range(start..=start + length, "");
    }
    text
}

/// Joins vowels that the voice knows as one.
fn merged(points: Vec<String>, alphabet: &Alphabet) -> Vec<String> {
    let Some(longest) = alphabet.clusters.iter().map(Vec::len).max() else { return points };
    let mut all = Vec::new();
    let mut at = 0;
    while at < points.len() {
        let lengths = (2..=longest.min(points.len() - at)).rev();
        let length = lengths
            .into_iter()
            .find(|length| alphabet.clusters.contains(&points[at..at + length]))
            .unwrap_or(1);
        all.push(points[at..at + length].concat());
        at += length;
    }
    all
}

impl Alphabet {
    /// Ids in pieces of at most about `most`, each with its beginning and end; phonemes without an id are left out.
    /// A piece ends where a word does.
    pub(super) fn ids(&self, phonemes: &[String], most: usize) -> Vec<Vec<i32>> {
        let of = |phoneme: &str| self.ids.get(phoneme).map(Vec::as_slice).unwrap_or_default();
        let (begin, pad, end) = (of("^"), of("_"), of("$"));
        let mut pieces = Vec::new();
        let mut piece = [begin, pad].concat();
        let empty = piece.len();
        for word in phonemes.split_inclusive(|phoneme| phoneme == " ") {
            let known = word.iter().map(|phoneme| of(phoneme)).filter(|ids| !ids.is_empty());
            let ids: Vec<i32> = known.flat_map(|ids| ids.iter().chain(pad)).copied().collect();
            if piece.len() > empty && piece.len() + ids.len() > most {
                piece.extend(end);
                pieces.push(std::mem::replace(&mut piece, [begin, pad].concat()));
            }
            piece.extend(ids);
        }
        if piece.len() > empty {
            piece.extend(end);
            pieces.push(piece);
        }
        pieces
    }
}
