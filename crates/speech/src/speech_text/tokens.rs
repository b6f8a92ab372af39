//! Words of a line, each apart from the punctuation around it.

use std::ops::Range;

use super::Spoken;

/// Signs that are words of their own.
const SIGNS: &str = "&+=@%<>\u{d7}\u{f7}\u{b1}\u{2264}\u{2265}\u{2248}\u{b0}$\u{20ac}\u{a3}\u{a7}\u{2192}/";
const EMOTICONS: [&str; 12] = [":)", ":-)", ";)", ";-)", ":(", ":-(", ":D", ":-D", ":P", ":p", "<3", "^^"];

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Without quotes, brackets and what ends it.
    pub(super) core: String,
    /// What ends it: a full stop, comma, colon and so on.
    pub(super) stop: Option<char>,
    /// Whether a full stop stood right behind it, whatever came then.
    pub(super) is_dotted: bool,
    opens: bool,
    closes: bool,
    pub(super) span: Range<usize>,
}

impl Token {
    /// The word as it stands, for a language that is not known here.
    pub(super) fn plain(&self) -> Spoken {
        let mut text = host(&self.core).to_owned();
        if self.is_dotted && self.stop != Some('.') {
            text.push('.');
        }
        text.extend(self.stop);
        Spoken { text, span: self.span.clone() }
    }
}

/// An address without its path; anything else unchanged.
fn host(core: &str) -> &str {
    let bare = core.strip_prefix("https://").or_else(|| core.strip_prefix("http://"));
    let Some(bare) = bare.or_else(|| core.starts_with("www.").then_some(core)) else { return core };
    let host = bare.split(['/', '?', '#', ':', '@', '&', '=']).next().unwrap_or_default();
    if host.contains(char::is_alphanumeric) { host.trim_matches(['.', '-']) } else { bare }
}

pub(super) fn tokens(chars: &[(char, usize)]) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut words = chars.split(|(c, _)| c.is_whitespace()).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let starts_number = words.peek().is_some_and(|next| {
            next.iter().map(|(c, _)| *c).find(|c| c.is_alphanumeric()).is_some_and(|c| c.is_ascii_digit())
        });
        for part in parts(word) {
            add(&mut tokens, part, starts_number);
        }
    }
    brackets(&mut tokens);
    for n in 0..tokens.len() {
        if tokens[n].stop == Some('\u{2026}') {
            let goes_on = tokens.get(n + 1).is_some_and(|next| next.core.starts_with(char::is_lowercase));
            tokens[n].stop = Some(if goes_on { ',' } else { '.' });
            tokens[n].is_dotted = !goes_on;
        }
    }
    tokens
}

/// A word cut at dashes and dots inside it, and where a space is missing behind a full stop.
fn parts(word: &[(char, usize)]) -> Vec<&[(char, usize)]> {
    let at = |n: usize| word.get(n).map_or(' ', |(c, _)| *c);
    let is_address = word.iter().any(|(c, _)| matches!(c, '@' | '/')) || word.starts_with_text("www.");
    let mut parts = Vec::new();
    let mut start = 0;
    for n in 1..word.len() {
        let (before, c, after) = (at(n - 1), at(n), at(n + 1));
        let is_pause = matches!(before, '\u{2014}' | '\u{2026}')
            || before == '-' && n > 1 && at(n - 2) == '-'
            || before == '.' && n > 1 && at(n - 2) == '.';
        let is_cut = is_pause && c.is_alphanumeric()
            || !is_address
                && n > 1
                && (matches!(before, '.' | '!' | '?')
                    && at(n - 2).is_lowercase()
                    && c.is_uppercase()
                    && (before != '.' || after.is_lowercase() || after == ' ')
                    || matches!(before, ',' | ';' | '!' | '?')
                        && at(n - 2).is_alphabetic()
                        && c.is_alphabetic());
        if is_cut {
            parts.push(&word[start..n]);
            start = n;
        }
    }
    parts.push(&word[start..]);
    parts
}

trait StartsWithText {
    fn starts_with_text(&self, text: &str) -> bool;
}

impl StartsWithText for [(char, usize)] {
    fn starts_with_text(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.get(n).is_some_and(|(there, _)| *there == c))
    }
}

fn add(tokens: &mut Vec<Token>, word: &[(char, usize)], before_number: bool) {
    let raw: String = word.iter().map(|(c, _)| *c).collect();
    let (Some((_, first)), Some((_, last))) = (word.first(), word.last()) else { return };
    if EMOTICONS.contains(&raw.as_str()) {
        return;
    }
    let is_dash = raw.chars().all(|c| matches!(c, '-' | '\u{2013}' | '\u{2014}' | '\u{2212}'));
    let after_number =
        tokens.last().is_some_and(|last| (last.stop.is_none() || last.is_dotted) && is_figure(&last.core));
    if is_dash && before_number && after_number {
        let span = *first..last + 1;
        tokens.push(Token {
            core: "\u{2013}".into(),
            stop: None,
            is_dotted: false,
            opens: false,
            closes: false,
            span,
        });
        return;
    }
    // "Settings > Privacy" is a way through menus.
    let is_way = matches!(raw.as_str(), ">" | "\u{2192}" | "->" | "=>" | "\u{bb}" | "\u{203a}")
        && !(before_number && after_number);
    if is_way {
        if let Some(token) = tokens.last_mut() {
            token.stop = token.stop.or(Some(','));
        }
        return;
    }
    let body = raw
        .trim_start_matches(|c| is_opening(c) || matches!(c, ')' | ',' | ';' | ':' | '!' | '?' | '\u{2026}'));
    // A sign or a point belongs to the number behind it.
    let is_signed = body.starts_with(['.', '-', '\u{2212}'])
        && body
            .chars()
            .nth(1)
            .is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | '$' | '\u{20ac}' | '\u{a3}'))
        && body.chars().nth(1) != body.chars().next();
    let body = if is_signed { body } else { body.trim_start_matches(is_closing) };
    let lead = &raw[..raw.len() - body.len()];
    let core = body.trim_end_matches(is_closing);
    let tail = &body[core.len()..];
    if !core.chars().any(|c| c.is_alphanumeric() || SIGNS.contains(c)) {
        // Nothing but punctuation ends what stands before it.
        if let Some(token) = tokens.last_mut() {
            token.stop = token.stop.or(stop(&raw));
            token.is_dotted |= raw.starts_with('.') && token.stop == Some('.');
            token.closes |= raw.contains(')');
        }
        return;
    }
    if let (Some(token), Some(stop)) = (tokens.last_mut(), stop(lead).filter(|_| lead != ".")) {
        token.stop = token.stop.or(Some(stop));
    }
    tokens.push(Token {
        core: core.replace(['\u{2019}', '\u{2018}', '\u{2bc}'], "'").replace('\u{2212}', "-"),
        stop: stop(tail),
        is_dotted: tail.trim_start_matches(is_opening).starts_with('.') && stop(tail) != Some('\u{2026}'),
        opens: lead.contains('(') && !core.contains(')'),
        closes: tail.contains(')') && !core.contains('('),
        span: *first..last + 1,
    });
}

/// Whether a dash behind it may mean "to".
fn is_figure(core: &str) -> bool {
    let end = core.trim_end_matches(['a', 'p', 'm', 'A', 'P', 'M', '.', '%']);
    end.ends_with(|c: char| c.is_ascii_digit()) || matches!(core, "AM" | "PM" | "am" | "pm" | "a.m" | "p.m")
}

fn is_opening(c: char) -> bool {
    matches!(
        c,
        '(' | '[' | '"' | '\'' | '\u{2018}'
            ..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' | '\u{bf}' | '\u{a1}'
    )
}

fn is_closing(c: char) -> bool {
    is_opening(c)
        || matches!(
            c,
            '.' | ',' | '!' | '?' | ';' | ':' | ')' | ']' | '\u{2026}' | '\u{2013}' | '\u{2014}' | '-'
        )
}

/// What a run of punctuation amounts to.
fn stop(tail: &str) -> Option<char> {
    let is_trailing_off = tail.contains('\u{2026}') || tail.contains("..");
    let own = ['?', '!'].into_iter().find(|c| tail.contains(*c));
    let own = own.or_else(|| is_trailing_off.then_some('\u{2026}'));
    let own = own.or_else(|| [';', ':', ','].into_iter().find(|c| tail.contains(*c)));
    let own = own.or_else(|| tail.contains('.').then_some('.'));
    own.or_else(|| tail.contains(['\u{2013}', '\u{2014}', '-']).then_some(','))
}

/// What stands in round brackets is said between two short pauses, a single word without.
fn brackets(tokens: &mut [Token]) {
    for n in 0..tokens.len() {
        let is_long = tokens[n].opens && !tokens[n].closes;
        if is_long && n > 0 {
            tokens[n - 1].stop = tokens[n - 1].stop.or(Some(','));
        }
        let is_end = tokens[n].closes && !tokens[n].opens && n + 1 < tokens.len();
        if is_end {
            tokens[n].stop = tokens[n].stop.or(Some(','));
        }
    }
}
