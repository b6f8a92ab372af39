//! Telephone and card numbers: digit by digit, with a short pause between groups.

use super::{Cursor, Said, codes, numbers::digits};

/// Groups that one number may be written in.
const MOST_WORDS: usize = 6;

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let first = cursor.core(0)?;
    let is_part = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'(' | b')' | b'+' | b'/'))
            && text.bytes().any(|b| b.is_ascii_digit())
    };
    if !is_part(first) && !first.starts_with("1-8") {
        return None;
    }
    if let Some(vanity) = vanity(first) {
        return Some(Said::new(1, vanity));
    }
    if !is_part(first) {
        return None;
    }
    let mut groups: Vec<&str> = Vec::new();
    let mut found = None;
    for count in 1..=MOST_WORDS {
        let Some(word) = cursor.core(count - 1).filter(|word| is_part(word)) else { break };
        if count > 1 && word.starts_with('+') {
            break;
        }
        groups.extend(word.split(['-', '.', '(', ')', '/', '+']).filter(|group| !group.is_empty()));
        if is_number(first, &groups, count) {
            found = Some((count, groups.len()));
        }
    }
    let (count, len) = found?;
    let plus = if first.starts_with('+') { "plus " } else { "" };
    let said: Vec<String> = groups[..len].iter().map(|group| codes::spelled(group)).collect();
    let mut said = Said::new(count, format!("{plus}{}", said.join(", ")));
    if let Some(extension) = cursor
        .core(said.count)
        .and_then(|next| next.strip_prefix('x'))
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    {
        said.text = format!("{}, extension {}", said.text, digits(extension));
        said.count += 1;
    }
    Some(said)
}

/// Whether groups of digits are a number that somebody dials or reads off a card.
fn is_number(first: &str, groups: &[&str], words: usize) -> bool {
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let total: usize = lengths.iter().sum();
    if first.starts_with('+') {
        return (8..=15).contains(&total);
    }
    match lengths.as_slice() {
        [10] => words == 1 && first.len() == 10,
        [1, 3, 3, 4] => groups[0] == "1",
        [3, 4] => words == 1 && first.contains('-') || groups[0] == "555",
        [3, 3, 4] | [4, 4, 4, 4] | [4, 6, 5] | [4, 4, 4] => true,
        // Numbers abroad begin with a nought.
        [2..=5, ..] => {
            groups[0].starts_with('0')
                && (9..=12).contains(&total)
                && lengths.len() > 1
                && !first.contains('/')
        }
        _ => false,
    }
}

/// `1-800-FLOWERS`.
fn vanity(core: &str) -> Option<String> {
    let (area, word) = core.strip_prefix("1-")?.split_once('-')?;
    let is_area = area.len() == 3 && area.bytes().all(|b| b.is_ascii_digit());
    let is_word = word.chars().all(|c| c.is_ascii_uppercase() || c == '-') && word.len() > 2;
    (is_area && is_word).then(|| format!("one, {}, {}", digits(area), word.replace('-', " ")))
}
