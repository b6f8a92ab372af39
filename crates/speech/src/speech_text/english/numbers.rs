//! Numbers: cardinals, decimals, ordinals, fractions, ranges, years, versions.

use super::{Cursor, Said};

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [&str; 5] = ["", " thousand", " million", " billion", " trillion"];
/// Longer numbers are said digit by digit.
const MOST_DIGITS: usize = 15;
const VULGAR: [(char, &str, &str); 11] = [
    ('\u{bd}', "one half", "a half"),
    ('\u{bc}', "one quarter", "a quarter"),
    ('\u{be}', "three quarters", "three quarters"),
    ('\u{2153}', "one third", "a third"),
    ('\u{2154}', "two thirds", "two thirds"),
    ('\u{215b}', "one eighth", "an eighth"),
    ('\u{215c}', "three eighths", "three eighths"),
    ('\u{215d}', "five eighths", "five eighths"),
    ('\u{215e}', "seven eighths", "seven eighths"),
    ('\u{2155}', "one fifth", "a fifth"),
    ('\u{2156}', "two fifths", "two fifths"),
];

/// A number as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) is_negative: bool,
    /// Digits without separators.
    pub(super) whole: String,
    /// Digits behind the point.
    pub(super) fraction: String,
}

impl Number {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix(['-', '\u{2212}']);
        let (is_negative, text) = (bare.is_some(), bare.unwrap_or(text));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(fraction) || whole.is_empty() && fraction.is_empty() || text.ends_with('.') {
            return None;
        }
        // "15,50", as half the world writes it.
        if let Some((whole, cents)) =
            whole.split_once(',').filter(|(_, cents)| cents.len() < 3 && fraction.is_empty())
        {
            let is_number = !whole.is_empty() && !cents.is_empty() && is_digits(whole) && is_digits(cents);
            let (whole, fraction) = (whole.to_owned(), cents.to_owned());
            return is_number.then_some(Self { is_negative, whole, fraction });
        }
        let mut groups = whole.split(',');
        let first = groups.next().unwrap_or_default();
        let has_separators = whole.contains(',');
        let is_grouped =
            groups.all(|group| group.len() == 3 && is_digits(group)) && (1..=3).contains(&first.len());
        if !is_digits(first) || has_separators && !is_grouped {
            return None;
        }
        let whole = if whole.is_empty() { "0".to_owned() } else { whole.replace(',', "") };
        Some(Self { is_negative, whole, fraction: fraction.to_owned() })
    }

    pub(super) fn is_one(&self) -> bool {
        self.whole.trim_start_matches('0') == "1" && self.fraction.is_empty()
    }

    pub(super) fn say(&self) -> String {
        let sign = if self.is_negative { "minus " } else { "" };
        let whole = cardinal(&self.whole);
        if self.fraction.is_empty() {
            return format!("{sign}{whole}");
        }
        format!("{sign}{whole} point {}", digits(&self.fraction))
    }
}

/// `120` is "one hundred twenty".
pub(super) fn cardinal(number: &str) -> String {
    let bare = number.trim_start_matches('0');
    if bare.is_empty() {
        return "zero".into();
    }
    if bare.len() > MOST_DIGITS {
        return digits(number);
    }
    let Ok(mut rest) = bare.parse::<u64>() else { return digits(number) };
    let mut groups = Vec::new();
    for scale in SCALES {
        let group = rest % 1_000;
        rest /= 1_000;
        if group > 0 {
            groups.push(format!("{}{scale}", below_thousand(group as usize)));
        }
    }
    groups.reverse();
    groups.join(" ")
}

fn below_thousand(number: usize) -> String {
    let (hundreds, rest) = (number / 100, number % 100);
    let low = match rest {
        0 => String::new(),
        1..20 => ONES[rest].to_owned(),
        _ if rest % 10 == 0 => TENS[rest / 10].to_owned(),
        _ => format!("{} {}", TENS[rest / 10], ONES[rest % 10]),
    };
    match (hundreds, low.as_str()) {
        (0, _) => low,
        (_, "") => format!("{} hundred", ONES[hundreds]),
        _ => format!("{} hundred {low}", ONES[hundreds]),
    }
}

/// One by one.
pub(super) fn digits(number: &str) -> String {
    let words = number.bytes().filter(u8::is_ascii_digit).map(|b| ONES[usize::from(b - b'0')]);
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn ordinal(number: &str) -> String {
    let cardinal = cardinal(number);
    let (before, last) =
        cardinal.rsplit_once(' ').map_or(("", cardinal.as_str()), |(before, last)| (before, last));
    let last = match last {
        "one" => "first".into(),
        "two" => "second".into(),
        "three" => "third".into(),
        "five" => "fifth".into(),
        "eight" => "eighth".into(),
        "nine" => "ninth".into(),
        "twelve" => "twelfth".into(),
        last => match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{last}th"),
        },
    };
    if before.is_empty() { last } else { format!("{before} {last}") }
}

/// `1999` is "nineteen ninety nine".
pub(super) fn year(year: &str) -> String {
    let (Some(century), Some(rest)) = (year.get(..2), year.get(2..)) else { return cardinal(year) };
    match (century, rest) {
        (_, "00") if !century.ends_with('0') => format!("{} hundred", cardinal(century)),
        ("20", rest) if rest.starts_with('0') => cardinal(year),
        (_, "00") => cardinal(year),
        (_, rest) if rest.starts_with('0') => format!("{} oh {}", cardinal(century), cardinal(rest)),
        _ => format!("{} {}", cardinal(century), cardinal(rest)),
    }
}

/// Whether four digits are a year by themselves.
pub(super) fn is_year(text: &str) -> bool {
    text.len() == 4 && text.parse::<u32>().is_ok_and(|year| (1900..2100).contains(&year))
}

/// Both sides of a hyphen or dash.
pub(super) fn range(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?.len_utf8();
    let at = first + text[first..].find(['-', '\u{2013}', '\u{2014}'])?;
    let dash = text[at..].chars().next()?.len_utf8();
    let (from, to) = (&text[..at], &text[at + dash..]);
    (!to.is_empty() && !to.starts_with(['-', '\u{2013}'])).then_some((from, to))
}

/// A number by itself: a year when it looks like one.
fn alone(text: &str) -> Option<String> {
    let number = Number::parse(text)?;
    if text.len() > 1 && text.starts_with('0') && number.fraction.is_empty() {
        return Some(digits(text));
    }
    let said = if is_year(text) { year(text) } else { number.say() };
    Some(said)
}

pub(super) fn fraction(text: &str) -> Option<String> {
    let (top, bottom) = text.split_once('/')?;
    let is_number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(top) || !is_number(bottom) {
        return None;
    }
    if (top, bottom) == ("24", "7") {
        return Some("twenty four seven".into());
    }
    let many =
        |name: &str| if top == "1" { format!("one {name}") } else { format!("{} {name}s", cardinal(top)) };
    Some(match bottom {
        "2" if top == "1" => "one half".into(),
        "2" => format!("{} halves", cardinal(top)),
        "4" => many("quarter"),
        "3" | "5" | "6" | "7" | "8" | "9" | "10" | "16" if top.len() <= bottom.len() => {
            many(&ordinal(bottom))
        }
        bottom if bottom.ends_with('0') => format!("{} out of {}", cardinal(top), cardinal(bottom)),
        _ => format!("{} over {}", cardinal(top), cardinal(bottom)),
    })
}

fn vulgar(text: &str) -> Option<String> {
    let last = text.chars().next_back()?;
    let (_, alone, with) = VULGAR.iter().find(|(sign, ..)| *sign == last)?;
    let whole = &text[..text.len() - last.len_utf8()];
    match whole {
        "" => Some((*alone).into()),
        whole => Number::parse(whole).map(|whole| format!("{} and {with}", whole.say())),
    }
}

/// Numbers joined by points, as versions and addresses of machines are.
fn dotted(text: &str, is_version: bool) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| (1..=5).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() > 6 || !parts.iter().all(is_number) || parts.len() < 3 && !is_version {
        return None;
    }
    if parts.len() == 4 && !is_version {
        return Some(parts.iter().map(|part| digits(part)).collect::<Vec<_>>().join(" dot "));
    }
    Some(parts.iter().map(|part| cardinal(part)).collect::<Vec<_>>().join(" point "))
}

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    // A digit or a fraction somewhere, or this is no number.
    if !core.contains(char::is_numeric) {
        return None;
    }
    let between = match cursor.core(1) {
        Some("\u{2013}") => "to",
        Some("x") => "by",
        _ => "",
    };
    if !between.is_empty()
        && let (Some(from), Some(to)) = (alone(core), cursor.core(2).and_then(alone))
    {
        return Some(Said::new(3, format!("{from} {between} {to}")));
    }
    if let Some(half) = cursor.core(1).and_then(fraction).filter(|_| core.len() <= 3) {
        let next = cursor.core(1).unwrap_or_default();
        if let (Some(whole), true) = (Number::parse(core), next.len() == 3 && next != "24/7") {
            let half = half.strip_prefix("one ").map_or(half.clone(), |name| {
                format!("a{} {name}", if name.starts_with("eigh") { "n" } else { "" })
            });
            return Some(Said::new(2, format!("{} and {half}", whole.say())));
        }
    }
    if let Some(text) = core.strip_prefix(['v', 'V']).and_then(|version| dotted(version, true)) {
        return Some(Said::new(1, format!("version {text}")));
    }
    let said = dotted(
        core,
        matches!(cursor.back(1).as_str(), "version" | "release" | "python" | "v") && core.contains('.'),
    );
    let said = said
        .or_else(|| hash(core))
        .or_else(|| alone(core))
        .or_else(|| fraction(core))
        .or_else(|| vulgar(core));
    let said = said.or_else(|| suffixed(core)).or_else(|| both(core)).or_else(|| product(core));
    let said = said.or_else(|| core.strip_prefix('~').and_then(alone).map(|text| format!("about {text}")));
    let said = said.or_else(|| core.strip_prefix('+').and_then(alone).map(|text| format!("plus {text}")));
    said.map(|text| Said::new(1, text))
}

/// `#5` is "number five".
fn hash(core: &str) -> Option<String> {
    let digits_only = core.strip_prefix('#')?;
    let number = Number::parse(digits_only)?;
    let said = if digits_only.len() > 3 { super::codes::spelled(digits_only) } else { number.say() };
    Some(format!("number {said}"))
}

/// `3-5` is "three to five".
fn both(core: &str) -> Option<String> {
    let (from, to) = range(core)?;
    if from.len() > 9 || to.len() > 9 {
        return None;
    }
    Some(format!("{} to {}", alone(from)?, alone(to)?))
}

/// `2x4`, `10x`.
fn product(core: &str) -> Option<String> {
    let (left, right) = core.split_once(['x', '\u{d7}'])?;
    let left = Number::parse(left)?;
    match right {
        "" => Some(format!("{} times", left.say())),
        right => Some(format!("{} by {}", left.say(), Number::parse(right)?.say())),
    }
}

/// Ordinals, decades, thousands.
fn suffixed(core: &str) -> Option<String> {
    let at = core.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.')?;
    let (number, suffix) = core.split_at(at);
    let parsed = Number::parse(number)?;
    let plain = parsed.fraction.is_empty();
    match suffix {
        "st" | "nd" | "rd" | "th" | "ST" | "ND" | "RD" | "TH" if plain => Some(ordinal(&parsed.whole)),
        "s" | "'s" if plain && (number.len() == 2 || number.len() == 4) && number.ends_with('0') => {
            let said = if number.len() == 4 { year(number) } else { cardinal(number) };
            Some(match said.strip_suffix('y') {
                Some(stem) => format!("{stem}ies"),
                None => format!("{said}s"),
            })
        }
        "k" | "K" if plain && !matches!(core, "2K" | "4K" | "8K") => {
            Some(format!("{} thousand", parsed.say()))
        }
        "+" => Some(format!("{} plus", parsed.say())),
        "s" | "'s" if plain => Some(format!("{}s", parsed.say())),
        _ => {
            // `20-year`, `3-bedroom`.
            let word = suffix
                .strip_prefix('-')
                .filter(|word| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))?;
            Some(format!("{} {word}", parsed.say()))
        }
    }
}
