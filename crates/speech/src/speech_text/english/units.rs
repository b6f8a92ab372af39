//! Numbers with units, per cent and degrees.

use super::{
    Cursor, Said,
    numbers::{Number, fraction, range},
};

/// How a unit is written, one of it, many of it.
const UNITS: [(&str, &str, &str); 74] = [
    ("km", "kilometer", "kilometers"),
    ("m", "meter", "meters"),
    ("cm", "centimeter", "centimeters"),
    ("mm", "millimeter", "millimeters"),
    ("mi", "mile", "miles"),
    ("ft", "foot", "feet"),
    ("yd", "yard", "yards"),
    ("yds", "yard", "yards"),
    ("kg", "kilogram", "kilograms"),
    ("g", "gram", "grams"),
    ("mg", "milligram", "milligrams"),
    ("mcg", "microgram", "micrograms"),
    ("lb", "pound", "pounds"),
    ("lbs", "pound", "pounds"),
    ("oz", "ounce", "ounces"),
    ("l", "liter", "liters"),
    ("L", "liter", "liters"),
    ("ml", "milliliter", "milliliters"),
    ("mL", "milliliter", "milliliters"),
    ("cl", "centiliter", "centiliters"),
    ("gal", "gallon", "gallons"),
    ("qt", "quart", "quarts"),
    ("pt", "pint", "pints"),
    ("tsp", "teaspoon", "teaspoons"),
    ("tbsp", "tablespoon", "tablespoons"),
    ("km/h", "kilometer per hour", "kilometers per hour"),
    ("kph", "kilometer per hour", "kilometers per hour"),
    ("kmh", "kilometer per hour", "kilometers per hour"),
    ("mph", "mile per hour", "miles per hour"),
    ("m/s", "meter per second", "meters per second"),
    ("mpg", "mile per gallon", "miles per gallon"),
    ("kW", "kilowatt", "kilowatts"),
    ("kWh", "kilowatt hour", "kilowatt hours"),
    ("W", "watt", "watts"),
    ("MW", "megawatt", "megawatts"),
    ("V", "volt", "volts"),
    ("mAh", "milliamp hour", "milliamp hours"),
    ("Hz", "hertz", "hertz"),
    ("kHz", "kilohertz", "kilohertz"),
    ("MHz", "megahertz", "megahertz"),
    ("GHz", "gigahertz", "gigahertz"),
    ("KB", "kilobyte", "kilobytes"),
    ("kB", "kilobyte", "kilobytes"),
    ("MB", "megabyte", "megabytes"),
    ("GB", "gigabyte", "gigabytes"),
    ("TB", "terabyte", "terabytes"),
    ("kbps", "kilobit per second", "kilobits per second"),
    ("Mbps", "megabit per second", "megabits per second"),
    ("Gbps", "gigabit per second", "gigabits per second"),
    ("ms", "millisecond", "milliseconds"),
    ("s", "second", "seconds"),
    ("sec", "second", "seconds"),
    ("secs", "second", "seconds"),
    ("min", "minute", "minutes"),
    ("mins", "minute", "minutes"),
    ("h", "hour", "hours"),
    ("hr", "hour", "hours"),
    ("hrs", "hour", "hours"),
    ("yr", "year", "years"),
    ("yrs", "year", "years"),
    ("wk", "week", "weeks"),
    ("wks", "week", "weeks"),
    ("sqft", "square foot", "square feet"),
    ("m\u{b2}", "square meter", "square meters"),
    ("km\u{b2}", "square kilometer", "square kilometers"),
    ("ft\u{b2}", "square foot", "square feet"),
    ("m\u{b3}", "cubic meter", "cubic meters"),
    ("kcal", "calorie", "calories"),
    ("cal", "calorie", "calories"),
    ("dB", "decibel", "decibels"),
    ("px", "pixel", "pixels"),
    ("ha", "hectare", "hectares"),
    ("psi", "pound per square inch", "pounds per square inch"),
    ("in", "inch", "inches"),
];
const SIGNS: [(&str, &str); 14] = [
    ("%", "percent"),
    ("\u{2030}", "per thousand"),
    ("\u{b0}C", "degrees Celsius"),
    ("\u{b0}F", "degrees Fahrenheit"),
    ("\u{b0}", "degrees"),
    ("\u{ba}C", "degrees Celsius"),
    ("\u{ba}F", "degrees Fahrenheit"),
    ("\u{ba}", "degrees"),
    ("\u{2103}", "degrees Celsius"),
    ("\u{2109}", "degrees Fahrenheit"),
    ("\u{b0}c", "degrees Celsius"),
    ("\u{b0}f", "degrees Fahrenheit"),
    ("%/year", "percent per year"),
    ("%/month", "percent per month"),
];

fn unit(text: &str) -> Option<(&'static str, &'static str)> {
    UNITS.iter().find(|(sign, ..)| *sign == text).map(|(_, one, many)| (*one, *many))
}

/// One of a unit, for "per hour".
pub(super) fn singular(text: &str) -> String {
    match text {
        "mo" | "mth" => "month".into(),
        "d" => "day".into(),
        text => unit(text).map_or_else(|| text.to_owned(), |(one, _)| one.to_owned()),
    }
}

/// A number or two, and whether it is a single one.
fn quantity(text: &str) -> Option<(String, bool)> {
    if text.len() > 24 {
        return None;
    }
    let (about, text) = match text.strip_prefix(['~', '\u{2248}']) {
        Some(text) => ("about ", text),
        None => ("", text),
    };
    let (limit, text) = match text.chars().next() {
        Some('<') => ("less than ", &text[1..]),
        Some('>') => ("more than ", &text[1..]),
        Some('+') => ("plus ", &text[1..]),
        _ => ("", text),
    };
    if let Some(number) = Number::parse(text) {
        return Some((format!("{about}{limit}{}", number.say()), number.is_one()));
    }
    if let Some(text) = fraction(text).filter(|_| text.len() == 3) {
        return Some((format!("{text} of a"), true));
    }
    let (from, to) = range(text)?;
    Some((format!("{about}{limit}{} to {}", Number::parse(from)?.say(), Number::parse(to)?.say()), false))
}

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    if !core.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    feet(core).map(|text| Said::new(1, text)).or_else(|| attached(core)).or_else(|| apart(cursor, core))
}

/// `5km`, `50%`, `10km/day`.
fn attached(core: &str) -> Option<Said> {
    let end = core.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (number, sign) = core.split_at(end);
    if sign.is_empty() {
        return None;
    }
    if let Some((_, name)) = SIGNS.iter().find(|(written, _)| *written == sign) {
        let (text, is_one) = quantity(number.trim_end_matches(['%', '\u{b0}']))?;
        let name = if is_one && *name == "degrees" { "degree" } else { name };
        return Some(Said::new(1, format!("{text} {name}")));
    }
    // `20-min`, `6-ft`.
    if let Some(unit) = sign.strip_prefix('-').and_then(unit) {
        let (text, _) = quantity(number)?;
        return Some(Said::new(1, format!("{text} {}", unit.0)));
    }
    let (sign, per) = match unit(sign) {
        Some(_) => (sign, None),
        None => sign.split_once('/').map_or((sign, None), |(sign, per)| (sign, Some(per))),
    };
    let per = match per {
        Some(per) if !per.is_empty() && per.chars().all(char::is_alphabetic) => {
            format!(" per {}", singular(per))
        }
        Some(_) => return None,
        None => String::new(),
    };
    let (text, is_one) = quantity(number)?;
    if sign.is_empty() {
        return Some(Said::new(1, format!("{text}{per}")));
    }
    let (one, many) = unit(sign)?;
    // `1990s` and `5s` are told apart by their length.
    if sign == "s" && (number.len() > 2 || number.ends_with('0')) {
        return None;
    }
    Some(Said::short(1, format!("{text} {}{per}", if is_one { one } else { many })))
}

/// `5 km`, `50 %`, `20 sq ft`.
fn apart(cursor: &Cursor<'_>, core: &str) -> Option<Said> {
    let next = cursor.core(1)?;
    let (mut text, mut is_one) = quantity(core)?;
    let mut count = 1;
    let mut next = next;
    if next == "\u{2013}" {
        let (to, _) = quantity(cursor.core(2)?)?;
        (text, is_one, count) = (format!("{text} to {to}"), false, 3);
        next = cursor.core(3)?;
    }
    if let Some((_, name)) = SIGNS.iter().find(|(written, _)| *written == next) {
        return Some(Said::new(count + 1, format!("{text} {name}")));
    }
    if let ("sq" | "cu", Some(behind)) = (next, cursor.ahead(count + 1).map(|token| token.core.as_str())) {
        let (one, many) = unit(behind)?;
        let kind = if next == "sq" { "square" } else { "cubic" };
        return Some(Said::short(count + 2, format!("{text} {kind} {}", if is_one { one } else { many })));
    }
    // "in" is a word unless its dot is there.
    if next == "in" && !(cursor.ahead(count)?.is_dotted && cursor.ahead(count + 1).is_some()) {
        return None;
    }
    let (one, many) = unit(next)?;
    Some(Said::short(count + 1, format!("{text} {}", if is_one { one } else { many })))
}

/// `6'2`, whose last mark has gone with the quotes.
fn feet(core: &str) -> Option<String> {
    let (feet, inches) = core.split_once('\'')?;
    let is_small = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !is_small(feet) || !is_small(inches) {
        return None;
    }
    let (feet, inches) = (Number::parse(feet)?, Number::parse(inches)?);
    let name = |number: &Number, one: &str, many: &str| {
        format!("{} {}", number.say(), if number.is_one() { one } else { many })
    };
    Some(format!("{} {}", name(&feet, "foot", "feet"), name(&inches, "inch", "inches")))
}
