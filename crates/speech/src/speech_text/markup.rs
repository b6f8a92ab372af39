//! Markup taken away, line by line. Every character that stays knows where it stood.

/// The longest HTML tag that is taken for one.
const TAG_CHARS: usize = 200;

/// Characters of a text with their places in it.
pub(super) type Chars = Vec<(char, usize)>;

/// A line without its markup.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) chars: Chars,
    /// A heading, a list's item or a table's row: it never goes on in the next line.
    pub(super) is_block: bool,
}

/// The lines that are to be said. Blocks of code are left out.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let all: Chars = text.chars().zip(0..).collect();
    let mut fenced = None;
    let mut lines = Vec::new();
    for line in all.split(|(c, _)| *c == '\n') {
        let fence = fence(line.iter().map(|(c, _)| *c));
        match fenced {
            Some(open) => {
                if fence == Some(open) {
                    fenced = None;
                }
            }
            None if fence.is_some() => fenced = fence,
            None => lines.push(plain(line)),
        }
    }
    lines
}

/// The character of a fence, if a line opens or closes a block of code.
pub(crate) fn fence(line: impl Iterator<Item = char>) -> Option<char> {
    let mut line = line.skip_while(|c| c.is_whitespace());
    let mark = line.next().filter(|c| matches!(c, '`' | '~'))?;
    (line.next() == Some(mark) && line.next() == Some(mark) && !line.any(|c| c == '`')).then_some(mark)
}

pub(crate) fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2B00..=0x2BFF | 0xFE00..=0xFE0F
        | 0x200B..=0x200F | 0x2060 | 0xFEFF | 0x20E3 | 0xE0000..=0xE007F | 0x2300..=0x23FF | 0x25A0..=0x25FF)
}

fn plain(line: &[(char, usize)]) -> Line {
    // Emoji, and marks that say nothing.
    let kept = line.iter().filter(|(c, _)| {
        !is_emoji(*c) && !c.is_control() && !matches!(c, '\\' | '\u{2122}' | '\u{a9}' | '\u{ae}' | '\u{2020}')
            || *c == '\t'
    });
    let chars = entities(&links(&tags(&kept.copied().collect::<Chars>())));
    let mut start = 0;
    let mut is_block = false;
    // Headings, quotes and bullets, in any order and number.
    while let Some((c, _)) = chars.get(start) {
        let is_mark = matches!(
            c,
            '#' | '>' | '-' | '*' | '+' | '\u{2022}' | '\u{25e6}' | '\u{b7}' | '\u{2013}' | '\u{2014}'
        );
        let ends =
            chars.get(start + 1).is_none_or(|(next, _)| next.is_whitespace() || next == c && *c == '#');
        match c {
            c if c.is_whitespace() => {}
            _ if is_mark && ends => is_block = true,
            _ => break,
        }
        start += 1;
    }
    let mut chars = &chars[start..];
    // A table's outer lines.
    while let [('|', _), inside @ ..] | [inside @ .., ('|', _)] = chars {
        chars = inside;
    }
    is_block |= chars.iter().any(|(c, _)| *c == '|');
    Line { chars: marks(chars), is_block }
}

/// HTML tags away; an address in angle brackets stays.
fn tags(chars: &[(char, usize)]) -> Chars {
    let mut out = Chars::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        let (c, place) = chars[at];
        let is_tag = c == '<'
            && chars.get(at + 1).is_some_and(|(c, _)| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        let inside = &chars[at + 1..(at + TAG_CHARS).min(chars.len()).max(at + 1)];
        let end = inside.iter().position(|(c, _)| matches!(c, '>' | '<'));
        let Some(end) = end.filter(|end| is_tag && inside[*end].0 == '>') else {
            out.push((c, place));
            at += 1;
            continue;
        };
        let inside = &inside[..end];
        let is_address =
            inside.iter().any(|(c, _)| matches!(c, '@' | ':')) && !inside.iter().any(|(c, _)| *c == '=');
        if is_address {
            out.extend_from_slice(inside);
        } else {
            out.push((' ', place));
        }
        at += end + 2;
    }
    out
}

/// `[text](address)` becomes its text; other square brackets are directions to an engine and are dropped.
fn links(chars: &[(char, usize)]) -> Chars {
    let mut out = Chars::with_capacity(chars.len());
    let mut at = 0;
    // An open bracket that nothing closes is looked for once.
    let last_close = chars.iter().rposition(|(c, _)| *c == ']').unwrap_or(0);
    let last_paren = chars.iter().rposition(|(c, _)| *c == ')').unwrap_or(0);
    while at < chars.len() {
        let (c, place) = chars[at];
        if c != '[' || at >= last_close {
            if !matches!(c, '[' | ']') {
                out.push((c, place));
            }
            at += 1;
            continue;
        }
        let Some(close) = chars[at..].iter().position(|(c, _)| *c == ']').map(|n| at + n) else { break };
        let is_link = chars.get(close + 1).is_some_and(|(c, _)| *c == '(') && close < last_paren;
        if is_link {
            // An image's mark.
            out.pop_if(|(c, _)| *c == '!');
            out.extend(chars[at + 1..close].iter().filter(|(c, _)| *c != '['));
            let paren = chars[close..].iter().position(|(c, _)| *c == ')').map_or(close, |n| close + n);
            at = paren + 1;
        } else {
            out.push((' ', place));
            at = close + 1;
        }
    }
    out
}

/// `&amp;` and kin.
fn entities(chars: &[(char, usize)]) -> Chars {
    const ENTITIES: [(&str, char); 6] =
        [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&nbsp;", ' '), ("&#39;", '\'')];
    let mut out = Chars::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        let is_at = |name: &str| {
            name.chars().enumerate().all(|(n, c)| chars.get(at + n).is_some_and(|(there, _)| *there == c))
        };
        let entity = ENTITIES.iter().find(|(name, _)| chars[at].0 == '&' && is_at(name));
        out.push(entity.map_or(chars[at], |(_, c)| (*c, chars[at].1)));
        at += entity.map_or(1, |(name, _)| name.len());
    }
    out
}

/// Emphasis, code marks and a table's lines away; what can be said stays.
fn marks(chars: &[(char, usize)]) -> Chars {
    let mut out = Chars::with_capacity(chars.len() + 8);
    for (n, (c, place)) in chars.iter().enumerate() {
        let before = n.checked_sub(1).map_or(' ', |n| chars[n].0);
        let after = chars.get(n + 1).map_or(' ', |(c, _)| *c);
        let said = match c {
            '*' if is_product(chars, n) => '\u{d7}',
            '*' | '`' | '[' | ']' | '{' | '}' | '^' => continue,
            '~' if !after.is_ascii_digit() || before.is_alphanumeric() => continue,
            '_' if !(before.is_alphanumeric() && after.is_alphanumeric()) => continue,
            '#' if !(before.is_alphanumeric() || after.is_alphanumeric()) => continue,
            '<' | '>' if after.is_alphabetic() || before.is_alphabetic() => ' ',
            '|' => {
                out.extend([(' ', *place), (',', *place)]);
                ' '
            }
            c => *c,
        };
        out.push((said, *place));
    }
    out
}

/// Whether a star stands between two numbers.
fn is_product(chars: &[(char, usize)], at: usize) -> bool {
    let is_digit = |n: Option<usize>| n.and_then(|n| chars.get(n)).is_some_and(|(c, _)| c.is_ascii_digit());
    let is_space = |n: Option<usize>| n.and_then(|n| chars.get(n)).is_some_and(|(c, _)| *c == ' ');
    let (before, after) = (at.checked_sub(1), Some(at + 1));
    is_digit(before) && is_digit(after)
        || is_space(before) && is_space(after) && is_digit(at.checked_sub(2)) && is_digit(Some(at + 2))
}
