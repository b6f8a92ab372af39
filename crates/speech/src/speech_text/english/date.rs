//! Dates.

use super::{
    Cursor, Said,
    numbers::{Number, is_year, ordinal, range, year},
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [(&str, &str); 11] = [
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Tues", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Weds", "Wednesday"),
    ("Thu", "Thursday"),
    ("Thur", "Thursday"),
    ("Thurs", "Thursday"),
    ("Fri", "Friday"),
    ("Sat", "Saturday"),
    ("Sun", "Sunday"),
];

/// The month of a name or of its first letters, and whether it is the whole name.
fn month(text: &str) -> Option<(usize, bool)> {
    if text == "Sept" {
        return Some((9, false));
    }
    MONTHS
        .iter()
        .position(|name| *name == text || text.len() == 3 && name.starts_with(text))
        .map(|at| (at + 1, MONTHS[at] == text))
}

fn name(month: usize) -> Option<&'static str> {
    MONTHS.get(month.checked_sub(1)?).copied()
}

/// A day of a month: `3`, `3rd`.
fn day(text: &str) -> Option<&str> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let suffix = &text[digits.len()..];
    let is_day = digits.len() <= 2 && digits.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day));
    (is_day && matches!(suffix, "" | "st" | "nd" | "rd" | "th")).then_some(digits)
}

fn any_year(text: &str) -> bool {
    text.len() == 4 && text.parse::<u32>().is_ok_and(|year| (1000..2200).contains(&year))
}

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    weekdays(cursor)
        .or_else(|| month_first(cursor))
        .or_else(|| day_first(cursor))
        .or_else(|| figures(cursor))
        .or_else(|| year_named(cursor))
}

fn weekday(text: &str) -> Option<&'static str> {
    DAYS.iter().find(|(short, long)| *short == text || *long == text).map(|(_, long)| *long)
}

fn weekdays(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    if let Some((from, to)) = range(core).and_then(|(from, to)| Some((weekday(from)?, weekday(to)?))) {
        return Some(Said::short(1, format!("{from} to {to}")));
    }
    // May-June
    if let Some(((from, _), (to, _))) = range(core).and_then(|(from, to)| Some((month(from)?, month(to)?))) {
        return Some(Said::short(1, format!("{} to {}", name(from)?, name(to)?)));
    }
    let said = weekday(core)?;
    let is_word = matches!(core, "Sat" | "Sun");
    let next = cursor.ahead(1).map(|next| next.core.as_str()).unwrap_or_default();
    let is_dated = next.starts_with(|c: char| c.is_ascii_digit())
        || month(next).is_some()
        || cursor.back(1) == "on" && cursor.ahead(0)?.is_dotted;
    (!is_word || is_dated).then(|| Said::short(1, said))
}

/// A year, and the words it takes.
fn year_behind(cursor: &Cursor<'_>, count: usize) -> (usize, String) {
    let behind = cursor.ahead(count).map(|token| token.core.as_str()).unwrap_or_default();
    let stop = cursor.ahead(count - 1).and_then(|token| token.stop);
    if !any_year(behind) || !matches!(stop, None | Some(',')) {
        return (count, String::new());
    }
    (count + 1, format!(", {}", year(behind)))
}

/// `March 3, 2024`, `Mar. 3rd`, `May 3-5`, `March 2024`.
fn month_first(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    let (number, is_whole) = month(core)?;
    let name = name(number)?;
    let own = cursor.ahead(0)?;
    let next = cursor.ahead(1).filter(|_| own.stop.is_none() || own.is_dotted && own.stop == Some('.'));
    let next = next.map(|next| next.core.as_str()).unwrap_or_default();
    if let Some(day) = day(next) {
        let (count, year) = year_behind(cursor, 2);
        return Some(Said::new(count, format!("{name} {}{year}", ordinal(day))));
    }
    if let Some((from, to)) = range(next).and_then(|(from, to)| Some((day(from)?, day(to)?))) {
        let (count, year) = year_behind(cursor, 2);
        return Some(Said::new(count, format!("{name} {} to {}{year}", ordinal(from), ordinal(to))));
    }
    if any_year(next) {
        return Some(Said::new(2, format!("{name} {}", year(next))));
    }
    // Names and words that look like months stay.
    let is_sure = !is_whole && !matches!(core, "Jan" | "Mar" | "Jun");
    is_sure.then(|| Said::short(1, name))
}

/// `3 March 2024`, `the 3rd of March`.
fn day_first(cursor: &Cursor<'_>) -> Option<Said> {
    let digits = day(cursor.core(0)?)?;
    let (at, of) = if cursor.core(1) == Some("of") { (2, true) } else { (1, false) };
    let (number, is_whole) = month(cursor.core(at)?)?;
    // "1 May" is a day, "2 Mar" too; "5 May be" is not written.
    if !is_whole && cursor.core(at) == Some("Mar") && of {
        return None;
    }
    let (count, year) = year_behind(cursor, at + 1);
    let the = if cursor.back(1) == "the" { "" } else { "the " };
    Some(Said::new(count, format!("{the}{} of {}{year}", ordinal(digits), name(number)?)))
}

/// `2026-11-25`, `11/25/2026`, `on 11/25`.
fn figures(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    let core = core.split_once('T').map_or(core, |(date, _)| date);
    if core.len() > 10 || !core.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'.')) {
        return None;
    }
    let parts: Vec<&str> = core.split(['-', '/', '.']).collect();
    let is_dotted = core.contains('.');
    let (first, second, third) = match parts.as_slice() {
        [year, month, day] if year.len() == 4 => return written(month, day, year),
        [first, second, third] => (*first, *second, *third),
        [first, second] if core.contains('/') => (*first, *second, ""),
        _ => return None,
    };
    let is_named = matches!(
        cursor.back(1).as_str(),
        "on" | "by" | "until" | "before" | "after" | "from" | "since" | "due" | "for" | "dated"
    );
    if third.is_empty() && !is_named
        || !third.is_empty() && third.len() != 4 && (third.len() != 2 || is_dotted)
    {
        return None;
    }
    let is_day = first.parse::<u8>().is_ok_and(|first| first > 12);
    let is_month = second.parse::<u8>().is_ok_and(|second| second > 12);
    let is_day_first = is_day || (cursor.region.is_day_first || is_dotted) && !is_month;
    let (month, day) = if is_day_first { (second, first) } else { (first, second) };
    let third = if third.len() == 2 { format!("20{third}") } else { third.to_owned() };
    written(month, day, &third)
}

fn written(month: &str, day: &str, year_digits: &str) -> Option<Said> {
    let month = name(month.parse().ok()?)?;
    let day = self::day(day)?;
    let year = if year_digits.is_empty() {
        String::new()
    } else if any_year(year_digits) {
        format!(", {}", year(year_digits))
    } else {
        return None;
    };
    Some(Said::new(1, format!("{month} {}{year}", ordinal(day))))
}

/// `in 1492`, `2019-2021`, `2019-20`.
fn year_named(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    if let Some((from, to)) = range(core).filter(|(from, _)| is_year(from)) {
        if is_year(to) {
            return Some(Said::new(1, format!("{} to {}", year(from), year(to))));
        }
        return (to.len() == 2 && to > &from[2..])
            .then(|| Number::parse(to))
            .flatten()
            .map(|to| Said::new(1, format!("{} to {}", year(from), to.say())));
    }
    let is_counted = cursor.core(1).is_some_and(|next| {
        next.ends_with('s')
            && next.starts_with(char::is_lowercase)
            && !matches!(next, "was" | "is" | "has" | "as")
    });
    let is_named = matches!(cursor.back(1).as_str(), "in" | "since" | "year" | "until" | "from" | "of");
    (is_named && any_year(core) && !is_counted).then(|| Said::new(1, year(core)))
}
