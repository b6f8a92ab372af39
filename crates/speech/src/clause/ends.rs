//! What a full stop, or the like, with white space behind it is.

use crate::speech_text::is_emoji;

/// Never the end of a sentence.
const TITLES: [&str; 24] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "ft", "vs", "e.g", "i.e", "eg", "ie", "approx", "messrs",
    "capt", "lt", "sgt", "gen", "rev", "incl", "excl", "tel", "est",
];
/// The end of a sentence when a capital follows.
const EITHER: [&str; 51] = [
    "a.m", "p.m", "etc", "inc", "ltd", "co", "corp", "jr", "sr", "ave", "blvd", "rd", "ln", "dept", "apt",
    "bros", "min", "mins", "max", "hr", "hrs", "sec", "lb", "lbs", "oz", "mon", "tue", "tues", "wed", "thu",
    "thur", "thurs", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept",
    "oct", "nov", "dec", "ph.d", "appt", "avg", "yrs",
];
/// No end when a number follows.
const NUMBERED: [&str; 9] = ["no", "nos", "p", "pp", "fig", "ch", "vol", "ext", "art"];

/// What a place in a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Sentence,
    Pause,
    None,
}

/// What the next character decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A capital begins a sentence: "at 5 p.m. We close", "at 5 p.m. tomorrow".
    Capital,
    /// A small letter goes on after a pause: "Well... let me see".
    TrailsOff,
    /// A small letter goes on: "Really?" he asked.
    Quoted,
    /// A figure belongs to it: "No. 5", "No. We are closed".
    Number,
    /// A figure belongs to it: "March 3, 2026".
    Comma,
    /// A second capital belongs to it: "Node.JS", "Hello.How are you".
    Glued,
}

impl Doubt {
    pub(super) fn settle(self, next: char) -> End {
        match self {
            Self::Capital if next.is_lowercase() || next.is_numeric() => End::None,
            Self::Quoted if next.is_lowercase() => End::None,
            Self::TrailsOff if next.is_lowercase() => End::Pause,
            Self::Number | Self::Comma if next.is_numeric() => End::None,
            Self::Glued if !next.is_lowercase() && !next.is_whitespace() => End::None,
            Self::Comma => End::Pause,
            Self::Capital | Self::Quoted | Self::TrailsOff | Self::Number | Self::Glued => End::Sentence,
        }
    }
}

/// What the end of a text is that is followed by white space; an error asks for one more character.
pub(super) fn end(text: &[char]) -> Result<End, Doubt> {
    let closing = text.iter().rev().take_while(|c| is_closing(**c) || is_emoji(**c)).count();
    let (bare, closing) = text.split_at(text.len() - closing);
    let Some((last, before)) = bare.split_last() else { return Ok(End::None) };
    let is_quoted = closing.iter().any(|c| matches!(c, '"' | '\'' | '\u{201d}' | '\u{2019}'));
    match last {
        '!' | '?' | '\u{61f}' if is_quoted => Err(Doubt::Quoted),
        '!' | '?' | '\u{61f}' => Ok(End::Sentence),
        '\u{2026}' => Err(Doubt::TrailsOff),
        '.' if before.ends_with(&['.']) => Err(Doubt::TrailsOff),
        '.' => full_stop(before),
        ',' if before.last().is_some_and(char::is_ascii_digit) => Err(Doubt::Comma),
        ',' | ';' | ':' => Ok(End::Pause),
        '\u{2013}' | '\u{2014}' | '-' if is_dash(before) => Ok(End::Pause),
        _ => Ok(End::None),
    }
}

fn full_stop(before: &[char]) -> Result<End, Doubt> {
    let word: String = before
        .rsplit(|c| c.is_whitespace() || matches!(c, '(' | '\u{2014}'))
        .next()
        .unwrap_or_default()
        .iter()
        .collect();
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    // A time's own "a.m.", without a space.
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    let is_letter = |part: &str| part.chars().count() == 1 && part.chars().all(char::is_alphabetic);
    if EITHER.contains(&word) {
        return Err(Doubt::Capital);
    }
    if NUMBERED.contains(&word) {
        return Err(Doubt::Number);
    }
    // "J. Smith", "U.S. citizens".
    let is_initial = word.split('.').all(is_letter) && (word != "i" || before.len() == 1);
    Ok(if is_initial || TITLES.contains(&word) { End::None } else { End::Sentence })
}

/// Whether a dash behind a text is a pause, and no bullet and no range of numbers.
fn is_dash(before: &[char]) -> bool {
    let mut words = before.iter().rev().skip_while(|c| c.is_whitespace());
    words.next().is_some_and(|c| !c.is_ascii_digit())
        && before.last().is_some_and(|c| c.is_whitespace() || *c != '-')
}

/// What the end is that stands right before the last character: "Hello.How are you", and texts in scripts that put no
/// spaces there.
pub(super) fn glued(text: &[char]) -> Result<End, Doubt> {
    let [.., before, stop, last] = text else { return Ok(End::None) };
    let is_wide = |c: char| matches!(c, '\u{3002}' | '\u{ff01}' | '\u{ff1f}');
    if is_wide(*stop) && !is_closing(*last) && !is_wide(*last) {
        return Ok(End::Sentence);
    }
    if !(matches!(stop, '.' | '!' | '?') && before.is_lowercase() && last.is_uppercase()) {
        return Ok(End::None);
    }
    let word = text.rsplit(|c| c.is_whitespace()).next().unwrap_or_default();
    let is_address =
        word.iter().any(|c| matches!(c, '@' | '/' | '[' | '`')) || word.starts_with(&['w', 'w', 'w']);
    // "Ph.D" has a dot of its own.
    let letters = word[..word.len() - 2].iter().rev().take_while(|c| c.is_alphabetic()).count();
    match stop {
        _ if is_address => Ok(End::None),
        '.' if letters < 3 => Ok(End::None),
        '.' => Err(Doubt::Glued),
        _ => Ok(End::Sentence),
    }
}

fn is_closing(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '*'
            | '_'
            | '`'
            | '~'
            | '\u{201d}'
            | '\u{2019}'
            | '\u{bb}'
            | '\u{300d}'
            | '\u{ff09}'
    )
}
