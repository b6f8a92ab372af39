//! Whatever is left: plain words pass, signs become words.

use super::{Cursor, Said, codes};

pub(super) fn read(cursor: &Cursor<'_>) -> Said {
    let core = cursor.core(0).unwrap_or_default();
    if core == "\u{2013}" {
        return Said::new(1, "to");
    }
    if is_initials(core) {
        return Said::new(1, format!("{core}."));
    }
    let chars: Vec<char> = core.chars().collect();
    let mut said = String::with_capacity(core.len());
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let before = at.checked_sub(1).map_or(' ', |at| chars[at]);
        let after = chars.get(at + 1).copied().unwrap_or(' ');
        let is_inside = before.is_alphabetic() && after.is_alphabetic();
        if c.is_ascii_digit() {
            let digits: String = chars[at..].iter().take_while(|c| c.is_ascii_digit()).collect();
            at += digits.len();
            said.extend([" ", &codes::leftover(&digits), " "]);
            continue;
        }
        at += 1;
        match c {
            '\'' | '-' if is_inside => said.push(c),
            '/' if is_inside && core.bytes().any(|b| b.is_ascii_lowercase()) && !core.contains("and/") => {
                said.push_str(" or ");
            }
            '/' if chars.len() == 1 => said.push_str("or"),
            '#' if before.is_alphabetic() => said.push_str(" sharp "),
            // "item(s)".
            '(' | ')' if is_inside => {}
            c => match word(c, is_inside) {
                Some(word) => said.extend([" ", word, " "]),
                None if c.is_alphanumeric() || is_mark(c) => said.push(c),
                None => said.push(' '),
            },
        }
    }
    let words: Vec<&str> = said.split_whitespace().collect();
    Said::new(1, words.join(" "))
}

/// `U.S`, `p.m`: letters with dots between.
fn is_initials(core: &str) -> bool {
    let mut parts = core.split('.');
    let is_letter = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none()
    };
    core.contains('.') && parts.all(is_letter)
}

/// Accents that stand apart from their letter.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36F | 0x900..=0xDFF | 0xE30..=0xE4E | 0x64B..=0x652 | 0x3099..=0x309A)
}

fn word(c: char, is_inside: bool) -> Option<&'static str> {
    Some(match c {
        '&' => "and",
        '+' => "plus",
        '=' => "equals",
        '@' => "at",
        '%' => "percent",
        '$' => "dollars",
        '\u{20ac}' => "euros",
        '\u{a3}' => "pounds",
        '\u{a2}' => "cents",
        '\u{b0}' => "degrees",
        '\u{a7}' => "section",
        '\u{d7}' => "times",
        '\u{f7}' => "divided by",
        '\u{b1}' => "plus or minus",
        '<' => "less than",
        '>' => "greater than",
        '\u{2264}' => "at most",
        '\u{2265}' => "at least",
        '\u{2248}' => "about",
        '\u{b2}' => "squared",
        '\u{b3}' => "cubed",
        '\u{bd}' => "one half",
        '\u{bc}' => "one quarter",
        '\u{be}' => "three quarters",
        '\u{2013}' if is_inside => "to",
        '.' if is_inside => "dot",
        _ => return None,
    })
}
