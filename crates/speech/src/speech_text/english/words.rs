//! Abbreviations and Roman numerals.

use super::{
    Cursor, Dot, Said,
    numbers::{cardinal, ordinal},
};

/// What is said for an abbreviation wherever it stands, and what its full stop is.
const SHORT: [(&str, &str, Dot); 63] = [
    ("Mr", "Mister", Dot::Title),
    ("Mrs", "Missus", Dot::Title),
    ("Ms", "Ms", Dot::Title),
    ("Prof", "Professor", Dot::Title),
    ("Messrs", "Messieurs", Dot::Title),
    ("Capt", "Captain", Dot::Title),
    ("Lt", "Lieutenant", Dot::Title),
    ("Sgt", "Sergeant", Dot::Title),
    ("Ave", "Avenue", Dot::Short),
    ("Blvd", "Boulevard", Dot::Short),
    ("Rd", "Road", Dot::Short),
    ("Ln", "Lane", Dot::Short),
    ("Hwy", "Highway", Dot::Short),
    ("Pkwy", "Parkway", Dot::Short),
    ("Sq", "Square", Dot::Short),
    ("Apt", "Apartment", Dot::Title),
    ("Dept", "Department", Dot::Short),
    ("dept", "department", Dot::Short),
    ("Bldg", "Building", Dot::Short),
    ("Inc", "Incorporated", Dot::Short),
    ("Ltd", "Limited", Dot::Short),
    ("Corp", "Corporation", Dot::Short),
    ("Bros", "Brothers", Dot::Short),
    ("Jr", "Junior", Dot::Short),
    ("Sr", "Senior", Dot::Short),
    ("e.g", "for example,", Dot::Title),
    ("E.g", "For example,", Dot::Title),
    ("eg", "for example,", Dot::Title),
    ("i.e", "that is,", Dot::Title),
    ("I.e", "That is,", Dot::Title),
    ("ie", "that is,", Dot::Title),
    ("etc", "et cetera", Dot::Short),
    ("vs", "versus", Dot::Title),
    ("approx", "approximately", Dot::Title),
    ("Approx", "Approximately", Dot::Title),
    ("est", "estimated", Dot::Title),
    ("max", "maximum", Dot::Short),
    ("min", "minimum", Dot::Short),
    ("avg", "average", Dot::Short),
    ("incl", "including", Dot::Title),
    ("excl", "excluding", Dot::Title),
    ("misc", "miscellaneous", Dot::Short),
    ("appt", "appointment", Dot::Short),
    ("hrs", "hours", Dot::Short),
    ("mins", "minutes", Dot::Short),
    ("secs", "seconds", Dot::Short),
    ("yrs", "years", Dot::Short),
    ("tel", "telephone", Dot::Title),
    ("Tel", "Telephone", Dot::Title),
    ("Vol", "Volume", Dot::Title),
    ("vol", "volume", Dot::Title),
    ("ext", "extension", Dot::Title),
    ("Ext", "Extension", Dot::Title),
    ("Ste", "Suite", Dot::Title),
    ("aka", "also known as", Dot::Title),
    ("a.k.a", "also known as", Dot::Title),
    ("Ph.D", "P H D", Dot::Short),
    ("w/", "with", Dot::Stop),
    ("w/o", "without", Dot::Stop),
    ("n/a", "not applicable", Dot::Stop),
    ("N/A", "not applicable", Dot::Stop),
    ("c/o", "care of", Dot::Stop),
    ("b/c", "because", Dot::Stop),
];
/// Said only before a number.
const NUMBERED: [(&str, &str); 12] = [
    ("no", "number"),
    ("No", "Number"),
    ("nos", "numbers"),
    ("Nos", "Numbers"),
    ("p", "page"),
    ("pp", "pages"),
    ("fig", "figure"),
    ("Fig", "Figure"),
    ("ch", "chapter"),
    ("Ch", "Chapter"),
    ("ca", "about"),
    ("sec", "section"),
];
/// Words whose Roman numeral is a number.
const COUNTED: [&str; 22] = [
    "chapter", "ch", "part", "section", "act", "volume", "vol", "book", "phase", "type", "war", "title",
    "article", "level", "stage", "class", "bowl", "tier", "schedule", "appendix", "grade", "mark",
];
/// Names whose Roman numeral is a rank.
const RULERS: [&str; 16] = [
    "henry",
    "louis",
    "elizabeth",
    "george",
    "charles",
    "william",
    "edward",
    "james",
    "richard",
    "philip",
    "paul",
    "pius",
    "benedict",
    "napoleon",
    "frederick",
    "catherine",
];

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    titles(cursor, core)
        .or_else(|| numbered(cursor, core))
        .or_else(|| short(core))
        .or_else(|| roman(cursor, core))
}

fn short(core: &str) -> Option<Said> {
    let (_, text, dot) = SHORT.iter().find(|(written, ..)| *written == core)?;
    Some(Said { dot: *dot, ..Said::new(1, *text) })
}

/// Words that are one thing before a name and another behind it.
fn titles(cursor: &Cursor<'_>, core: &str) -> Option<Said> {
    let (before, behind) = match core {
        "Dr" => ("Doctor", "Drive"),
        "St" => ("Saint", "Street"),
        "Mt" => ("Mount", "Mount"),
        "Ft" => ("Fort", "Fort"),
        _ => return None,
    };
    let is_capital =
        |token: Option<&super::Token>| token.is_some_and(|token| token.core.starts_with(char::is_uppercase));
    let own = cursor.ahead(0)?;
    let next = cursor.ahead(1).filter(|_| matches!(own.stop, None | Some('.')));
    let last = cursor.at.checked_sub(1).map(|at| &cursor.tokens[at]).filter(|token| token.stop.is_none());
    // "at Oak St. Then" has a name before it, "for Dr. Lee" behind it.
    let follows_name = is_capital(last) && cursor.at > 1
        || last.is_some_and(|last| last.core.starts_with(|c: char| c.is_ascii_digit()));
    if !follows_name && (core == "Dr" || is_capital(next)) {
        return Some(Said { dot: Dot::Title, ..Said::new(1, before) });
    }
    Some(Said::short(1, behind))
}

fn numbered(cursor: &Cursor<'_>, core: &str) -> Option<Said> {
    let (_, text) = NUMBERED.iter().find(|(written, _)| *written == core)?;
    let own = cursor.ahead(0)?;
    let is_numbered = matches!(own.stop, None | Some('.'))
        && (own.is_dotted || core.starts_with('p'))
        && cursor.ahead(1).is_some_and(|next| next.core.starts_with(|c: char| c.is_ascii_digit()));
    is_numbered.then(|| Said { dot: Dot::Title, ..Said::new(1, *text) })
}

fn roman(cursor: &Cursor<'_>, core: &str) -> Option<Said> {
    let value = value(core)?.to_string();
    let before = cursor.back(1);
    if RULERS.contains(&before.as_str()) && core.len() + usize::from(matches!(core, "V" | "X")) > 1 {
        return Some(Said::new(1, format!("the {}", ordinal(&value))));
    }
    // "Part I", but not "the part I like".
    let next = cursor.core(1);
    let is_numeral = core != "I" || next.is_none();
    (COUNTED.contains(&before.as_str()) && is_numeral).then(|| Said::new(1, cardinal(&value)))
}

/// The value of a Roman numeral below forty.
fn value(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > 6 || !text.bytes().all(|b| matches!(b, b'I' | b'V' | b'X')) {
        return None;
    }
    let tens = text.bytes().take_while(|b| *b == b'X').count();
    let ones = match &text[tens..] {
        "" => 0,
        "I" => 1,
        "II" => 2,
        "III" => 3,
        "IV" => 4,
        "V" => 5,
        "VI" => 6,
        "VII" => 7,
        "VIII" => 8,
        "IX" => 9,
        _ => return None,
    };
    (tens < 4).then_some(tens as u32 * 10 + ones)
}
