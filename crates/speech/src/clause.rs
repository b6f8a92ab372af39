//! Clauses out of a text that is still being written: the first as early as sensible, so that the caller hears
//! something soon; later ones whole sentences, so that they sound well.

use std::ops::Range;

/// A first clause may end at a comma once it has this many words.
const EARLY_WORDS: usize = 5;
/// A sentence shorter than this waits for the next one.
const SHORT_CHARS: usize = 20;
/// Ends of words that look like ends of sentences.
const ABBREVIATIONS: [&str; 22] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "e.g", "i.e", "p.m", "a.m", "approx", "dept",
    "est", "jr", "sr", "inc", "ltd", "mt", "ave",
];

/// A piece that can be spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The words, trimmed.
    pub text: String,
    /// Where it stands in the whole text, in Unicode code points, white space around it included.
    pub span: Range<usize>,
}

/// Finds clauses. What has been pushed and not given yet is held back.
#[derive(Clone, Debug)]
pub struct ClauseSplitter {
    pending: Vec<char>,
    /// Code points given so far.
    given: usize,
    max_chars: usize,
    is_first: bool,
}

impl ClauseSplitter {
    /// Cuts clauses of at most `max_chars` characters (longer only where a single word is).
    pub fn new(max_chars: usize) -> Self {
        Self { pending: Vec::new(), given: 0, max_chars, is_first: true }
    }

    /// Takes the next piece of the text; gives the clauses that it completes. How the text is cut into pieces makes
    /// no difference.
    pub fn push(&mut self, delta: &str) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for c in delta.chars() {
            self.pending.push(c);
            if let Some(end) = self.boundary() {
                clauses.extend(self.give(end));
            }
        }
        clauses
    }

    /// The text is complete: gives what is left.
    pub fn finish(mut self) -> Vec<Clause> {
        let mut clauses = Vec::new();
        while self.pending.len() > self.max_chars {
            let end = self.last_space();
            clauses.extend(self.give(end));
        }
        clauses.extend(self.give(self.pending.len()));
        clauses
    }

    /// Where the held-back text can be cut now that its last character is there.
    fn boundary(&self) -> Option<usize> {
        let last = *self.pending.last()?;
        if self.pending.len() >= self.max_chars && last.is_whitespace()
            || self.pending.len() >= self.max_chars * 2
        {
            return Some(self.last_space());
        }
        if !last.is_whitespace() {
            return None;
        }
        let text = &self.pending[..self.pending.len() - 1];
        let is_end = last == '\n' || ends_sentence(text);
        let spoken = text.iter().filter(|c| c.is_alphanumeric()).count();
        if is_end && spoken > 0 && (self.is_first || text.len() >= SHORT_CHARS) {
            return Some(self.pending.len());
        }
        let is_pause = text.last().is_some_and(|c| matches!(c, ',' | ';' | ':' | '\u{2013}' | '\u{2014}'));
        (self.is_first && is_pause && words(text) >= EARLY_WORDS).then_some(self.pending.len())
    }

    /// The end of the last word that fits.
    fn last_space(&self) -> usize {
        let limit = self.max_chars.min(self.pending.len());
        let space = self.pending[..limit].iter().rposition(|c| c.is_whitespace());
        space.map_or(limit, |at| at + 1)
    }

    fn give(&mut self, end: usize) -> Option<Clause> {
        if end == 0 {
            return None;
        }
        let piece: String = self.pending.drain(..end).collect();
        let span = self.given..self.given + end;
        self.given += end;
        let text = piece.trim().to_owned();
        if text.is_empty() {
            return None;
        }
        self.is_first = false;
        Some(Clause { text, span })
    }
}

fn words(text: &[char]) -> usize {
    text.split(|c| c.is_whitespace()).filter(|word| word.iter().any(|c| c.is_alphanumeric())).count()
}

/// Whether a text that is followed by white space ends a sentence there.
fn ends_sentence(text: &[char]) -> bool {
    let closing =
        text.iter().rev().take_while(|c| matches!(c, '"' | '\'' | ')' | ']' | '\u{201d}' | '\u{2019}'));
    let bare = &text[..text.len() - closing.count()];
    match bare.last() {
        Some('!' | '?' | '\u{2026}') => true,
        Some('.') => {
            let word: String = bare[..bare.len() - 1]
                .rsplit(|c| c.is_whitespace())
                .next()
                .unwrap_or_default()
                .iter()
                .collect();
            let word = word.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
            let is_initial =
                word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && word != "i";
            !is_initial && !ABBREVIATIONS.contains(&word.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut splitter = ClauseSplitter::new(200);
        let mut clauses = splitter.push(text);
        clauses.extend(splitter.finish());
        clauses.into_iter().map(|clause| clause.text).collect()
    }

    #[test]
    fn sentences_and_the_first_pause_are_where_one_would_breathe() {
        for (text, wanted) in [
            ("Hello. How are you today my friend?", vec!["Hello.", "How are you today my friend?"]),
            (
                "We open at nine in the morning, and we close at six.",
                vec!["We open at nine in the morning,", "and we close at six."],
            ),
            (
                "Well, yes. Of course we can do that for you.",
                vec!["Well, yes.", "Of course we can do that for you."],
            ),
            (
                "Dr. Smith is in at 3.30 p.m. on Mondays. Shall I book?",
                vec!["Dr. Smith is in at 3.30 p.m. on Mondays.", "Shall I book?"],
            ),
            (
                "It costs $42.50 in all. He said \"no.\" Then he left the house.",
                vec!["It costs $42.50 in all.", "He said \"no.\" Then he left the house."],
            ),
            (
                "See www.example.com for more. J. Smith wrote it.",
                vec!["See www.example.com for more.", "J. Smith wrote it."],
            ),
            ("   ", vec![]),
        ] {
            assert_eq!(split(text), wanted);
        }
    }

    #[test]
    fn a_clause_is_given_as_soon_as_it_is_complete() {
        let mut splitter = ClauseSplitter::new(200);
        assert_eq!(splitter.push("Hello there."), []);
        assert_eq!(splitter.push(" And").len(), 1);
    }

    #[test]
    fn endless_words_are_cut_at_the_limit() {
        let words = "word ".repeat(200);
        assert!(split(&words).iter().all(|clause| clause.chars().count() <= 200));
        assert_eq!(split(&"x".repeat(900)).concat().len(), 900);
    }

    proptest! {
        #[test]
        fn how_the_text_arrives_makes_no_difference_and_nothing_is_lost(
            text in "([a-zA-Z]{1,9}[.,!?;:]?[ \n]{1,2}){0,60}",
            cuts in proptest::collection::vec(1_usize..9, 1..200),
        ) {
            let whole = {
                let mut splitter = ClauseSplitter::new(80);
                let mut clauses = splitter.push(&text);
                clauses.extend(splitter.finish());
                clauses
            };
            let mut splitter = ClauseSplitter::new(80);
            let mut pieces = Vec::new();
            let chars: Vec<char> = text.chars().collect();
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < chars.len() {
                let end = (at + cut.next().unwrap()).min(chars.len());
                pieces.extend(splitter.push(&chars[at..end].iter().collect::<String>()));
                at = end;
            }
            pieces.extend(splitter.finish());
            prop_assert_eq!(&whole, &pieces);
            let words: Vec<_> = text.split_whitespace().collect();
            let given: Vec<String> = whole.iter().flat_map(|c| c.text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
            prop_assert_eq!(words, given);
            for clause in &whole {
                let spanned: String = chars[clause.span.clone()].iter().collect();
                prop_assert_eq!(spanned.trim(), &clause.text);
            }
        }
    }
}
