//! Clauses out of a text that is still being written: the first as early as sensible, so that the caller hears
//! something soon; the second a sentence; later ones a long sentence or two short ones, so that they sound well.
//!
//! Clauses are cut on the text as it was written and made speakable one by one, so a clause's span is where its sound
//! comes from. What would be misread when torn is kept whole: numbers, links, directions, rows of a table. Blocks of
//! code are in no clause, since nobody says them.

use std::ops::Range;

use ends::{Doubt, End};

use crate::{
    pack::pack_spoken,
    speech_text::{Spoken, fence, is_speakable, spoken},
};

mod ends;

/// A first clause may end at a comma once it has this many words.
const EARLY_WORDS: usize = 5;
/// A second clause shorter than this waits for the next sentence.
const SHORT_CHARS: usize = 20;
/// So does a later one shorter than this: while two clauses sound there is time for a longer one.
const LATER_CHARS: usize = 60;
/// The longest link or direction that is waited for.
const BRACKET_CHARS: usize = 120;
/// What is looked at of a line inside a block of code.
const FENCE_CHARS: usize = 200;

/// A piece that can be spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The words, trimmed.
    pub text: String,
    /// Where it stands in the whole text, in Unicode code points, white space around it included.
    pub span: Range<usize>,
    /// White space in front of the words.
    indent: usize,
}

/// Finds clauses. What has been pushed and not given yet is held back.
///
/// White space behind a sentence decides; one more character is waited for only where the white space does not: behind
/// a number's comma, behind dots that trail off, behind quoted questions, behind `p.m.` and kin, behind `No.` and kin; and behind the first
/// capital after a full stop without a space.
#[derive(Clone, Debug)]
pub struct ClauseSplitter {
    pending: Vec<char>,
    /// Code points given so far.
    given: usize,
    max_chars: usize,
    /// Clauses given so far.
    count: usize,
    /// Whether what is pending begins a line.
    begins_line: bool,
    /// Where it could be cut, if the next character agrees.
    doubt: Option<(usize, Doubt)>,
    /// The number of the list's item that was seen last.
    item: u32,
    /// The block of code that is open: its fence, and the line that has come of it.
    code: Option<(char, Vec<char>)>,
}

impl Clause {
    /// What is said for it in the language of a BCP 47 tag, in pieces of at most `max_chars` characters, each with
    /// its place in the whole text. A number that is longer than a piece is in two of them.
    pub fn spoken(&self, language: &str, max_chars: usize) -> Vec<Spoken> {
        let start = self.span.start + self.indent;
        let mut pieces = pack_spoken(&spoken(&self.text, language), max_chars);
        for piece in &mut pieces {
            piece.span = piece.span.start + start..piece.span.end + start;
        }
        pieces
    }
}

impl ClauseSplitter {
    /// Cuts clauses of at most `max_chars` characters; a longer word is broken.
    pub fn new(max_chars: usize) -> Self {
        Self {
            pending: Vec::new(),
            given: 0,
            max_chars: max_chars.max(1),
            count: 0,
            begins_line: true,
            doubt: None,
            item: 0,
            code: None,
        }
    }

    /// Takes the next piece of the text; gives the clauses that it completes. How the text is cut into pieces makes
    /// no difference.
    pub fn push(&mut self, delta: &str) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for c in delta.chars() {
            if self.code.is_some() {
                self.skip(c);
                continue;
            }
            self.pending.push(c);
            if let Some(mark) = self.opened_fence() {
                let fence = self.pending.split_off(self.line_start());
                clauses.extend(self.rest());
                self.given += fence.len();
                self.code = Some((mark, Vec::new()));
            } else if let Some(end) = self.boundary() {
                clauses.extend(self.give(end));
            }
        }
        clauses
    }

    /// The text is complete: gives what is left.
    pub fn finish(mut self) -> Vec<Clause> {
        if self.line_fence().is_some() {
            self.pending.truncate(self.line_start());
        }
        self.rest()
    }

    /// All that is pending, in clauses that are not too long.
    fn rest(&mut self) -> Vec<Clause> {
        let mut clauses = Vec::new();
        while self.pending.len() > self.max_chars {
            let end = self.forced();
            clauses.extend(self.give(end));
        }
        clauses.extend(self.give(self.pending.len()));
        clauses
    }

    /// A character inside a block of code.
    fn skip(&mut self, c: char) {
        self.given += 1;
        let Some((mark, line)) = &mut self.code else { return };
        if c != '\n' {
            if line.len() < FENCE_CHARS {
                line.push(c);
            }
        } else if fence(line.iter().copied()) == Some(*mark) {
            self.code = None;
            self.begins_line = true;
        } else {
            line.clear();
        }
    }

    /// Where the line begins that is being written.
    fn line_start(&self) -> usize {
        let before = self.pending.strip_suffix(&['\n']).unwrap_or(&self.pending);
        before.iter().rposition(|c| *c == '\n').map_or(0, |at| at + 1)
    }

    fn line_fence(&self) -> Option<char> {
        let start = self.line_start();
        (start > 0 || self.begins_line).then(|| fence(self.pending[start..].iter().copied())).flatten()
    }

    fn opened_fence(&self) -> Option<char> {
        self.pending.ends_with(&['\n']).then(|| self.line_fence()).flatten()
    }

    /// Where the held-back text can be cut now that its last character is there.
    fn boundary(&mut self) -> Option<usize> {
        let (last, text) = self.pending.split_last()?;
        let (last, length) = (*last, text.len());
        if length + 1 >= self.max_chars && last.is_whitespace() || length + 1 >= self.max_chars * 2 {
            return Some(self.forced());
        }
        if !last.is_whitespace() || matches!(self.doubt, Some((_, Doubt::Glued))) {
            let doubt = self.doubt.take();
            let doubted = doubt.and_then(|(end, doubt)| self.cut(end, doubt.settle(last)));
            if doubted.is_some() {
                return doubted;
            }
        }
        if !last.is_whitespace() {
            // A space may be missing where a sentence ends.
            return match ends::glued(&self.pending) {
                Ok(end) => self.cut(length, end),
                Err(doubt) => {
                    self.doubt = Some((length, doubt));
                    None
                }
            };
        }
        if last == '\n' {
            self.doubt = None;
            return self.cut(length + 1, End::Sentence);
        }
        // White space that follows white space decides nothing.
        if text.last().is_none_or(|c| c.is_whitespace()) || self.is_held() {
            return None;
        }
        if let Some((number, start)) = self.item_mark() {
            self.item = number;
            return self.cut(start, End::Sentence);
        }
        match ends::end(&self.pending[..length]) {
            Ok(end) => self.cut(length + 1, end),
            Err(doubt) => {
                self.doubt = Some((length + 1, doubt));
                None
            }
        }
    }

    /// A place to cut, if there is enough before it.
    fn cut(&self, at: usize, end: End) -> Option<usize> {
        let text = &self.pending[..at];
        let is_enough = match (end, self.count) {
            (End::None, _) | (End::Pause, 1..) => false,
            (End::Pause, 0) => words(text) >= EARLY_WORDS,
            (End::Sentence, 0) => true,
            (End::Sentence, 1) => at > SHORT_CHARS,
            (End::Sentence, _) => at > LATER_CHARS,
        };
        let text: String = text.iter().collect();
        // A long word may have put it beyond the limit.
        let is_too_long = || text.trim().chars().count() > self.max_chars;
        (is_enough && is_speakable(&text)).then(|| if is_too_long() { self.forced() } else { at })
    }

    /// The number of a list's item, such as the `2.` of `2. Second`, that has just been written, and where it begins.
    fn item_mark(&self) -> Option<(u32, usize)> {
        let text = &self.pending[..self.pending.len() - 1];
        let start = text.iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1);
        let [first, .., '.' | ')'] = &text[start..] else { return None };
        let is_short = text.len() - start <= 3 && first.is_ascii_digit();
        let number: String = text[start..text.len() - 1].iter().collect();
        let number = number.parse::<u32>().ok().filter(|_| is_short)?;
        let before = text[..start].iter().rev().find(|c| **c == '\n' || !c.is_whitespace());
        let is_mark = match before {
            None => self.begins_line,
            Some('\n') => true,
            Some(':') if number == 1 => true,
            Some(_) => self.item > 0 && number == self.item + 1,
        };
        is_mark.then_some((number, start))
    }

    /// Whether the text is inside something that is read as a whole.
    fn is_held(&self) -> bool {
        let line = &self.pending[self.line_start()..];
        let begins = self.line_start() > 0 || self.begins_line;
        let first = line.iter().find(|c| !c.is_whitespace());
        if begins && first == Some(&'|') || self.line_fence().is_some() {
            return true;
        }
        if line.iter().filter(|c| **c == '`').count() % 2 == 1 {
            return true;
        }
        let Some(open) =
            line.iter().rposition(|c| *c == '[').filter(|open| line.len() - open < BRACKET_CHARS)
        else {
            return false;
        };
        match line[open..].iter().position(|c| *c == ']').map(|close| &line[open + close + 1..]) {
            None => true,
            Some(['(', address @ ..]) => !address.contains(&')'),
            Some(_) => false,
        }
    }

    /// Where a text that is too long is cut: at the last pause of its second half, or else between words, not between
    /// two numbers if that can be.
    fn forced(&self) -> usize {
        let limit = self.max_chars.min(self.pending.len());
        let text = &self.pending[..limit];
        let is_space = |at: &usize| text[*at].is_whitespace();
        let is_figure =
            |c: Option<&char>| c.is_some_and(|c| c.is_ascii_digit() || matches!(c, '+' | '$' | '('));
        let after = |marks: &[char]| {
            (limit / 2..limit).rev().find(|at| is_space(at) && *at > 0 && marks.contains(&text[at - 1]))
        };
        let pause = after(&['.', '!', '?', '\u{2026}', '\n'])
            .or_else(|| after(&[',', ';', ':', '\u{2013}', '\u{2014}']));
        let between = (1..limit)
            .rev()
            .find(|at| is_space(at) && !(is_figure(text.get(at - 1)) || is_figure(self.pending.get(at + 1))));
        let any = (1..limit).rev().find(|at| is_space(at));
        pause.or(between).or(any).map_or(limit, |at| at + 1)
    }

    fn give(&mut self, end: usize) -> Option<Clause> {
        let piece: String = self.pending.drain(..end).collect();
        self.doubt = None;
        if end > 0 {
            self.begins_line = piece.ends_with('\n');
        }
        let span = self.given..self.given + end;
        self.given += end;
        if !is_speakable(&piece) {
            return None;
        }
        self.count += 1;
        let indent = piece.chars().take_while(|c| c.is_whitespace()).count();
        Some(Clause { text: piece.trim().to_owned(), span, indent })
    }
}

fn words(text: &[char]) -> usize {
    text.split(|c| c.is_whitespace()).filter(|word| word.iter().any(|c| c.is_alphanumeric())).count()
}

#[cfg(test)]
mod tests;
