//! Amounts of money.

use super::{
    Cursor, Said,
    numbers::{Number, range},
};

/// A currency: how it is written, and its names.
struct Currency {
    signs: &'static [&'static str],
    one: &'static str,
    many: &'static str,
    /// One and many of the small coin.
    cent: Option<(&'static str, &'static str)>,
}

const CENT: Option<(&str, &str)> = Some(("cent", "cents"));
/// Longer signs first.
const CURRENCIES: [Currency; 10] = [
    Currency { signs: &["CA$", "C$", "CAD"], one: "Canadian dollar", many: "Canadian dollars", cent: CENT },
    Currency {
        signs: &["AU$", "A$", "AUD"],
        one: "Australian dollar",
        many: "Australian dollars",
        cent: CENT,
    },
    Currency { signs: &["US$", "USD", "$"], one: "dollar", many: "dollars", cent: CENT },
    Currency { signs: &["\u{20ac}", "EUR"], one: "euro", many: "euros", cent: CENT },
    Currency { signs: &["\u{a3}", "GBP"], one: "pound", many: "pounds", cent: Some(("penny", "pence")) },
    Currency { signs: &["\u{a5}", "JPY"], one: "yen", many: "yen", cent: None },
    Currency { signs: &["\u{20b9}", "INR"], one: "rupee", many: "rupees", cent: Some(("paisa", "paise")) },
    Currency {
        signs: &["CHF"],
        one: "Swiss franc",
        many: "Swiss francs",
        cent: Some(("centime", "centimes")),
    },
    Currency { signs: &["SEK"], one: "Swedish krona", many: "Swedish kronor", cent: None },
    Currency { signs: &["\u{a2}"], one: "cent", many: "cents", cent: None },
];
const SCALES: [(&str, &str); 14] = [
    ("thousand", "thousand"),
    ("million", "million"),
    ("billion", "billion"),
    ("trillion", "trillion"),
    ("k", "thousand"),
    ("K", "thousand"),
    ("M", "million"),
    ("m", "million"),
    ("mn", "million"),
    ("MM", "million"),
    ("B", "billion"),
    ("b", "billion"),
    ("bn", "billion"),
    ("T", "trillion"),
];

/// A currency and the number beside its sign.
fn parse(text: &str) -> Option<(&'static Currency, &str, bool)> {
    let bare = text.strip_prefix('-');
    let (is_negative, text) = (bare.is_some(), bare.unwrap_or(text));
    for currency in &CURRENCIES {
        for sign in currency.signs {
            let rest = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign));
            if let Some(rest) = rest.filter(|rest| rest.contains(|c: char| c.is_ascii_digit())) {
                let bare = rest.strip_prefix('-');
                return Some((currency, bare.unwrap_or(rest), is_negative || bare.is_some()));
            }
        }
    }
    None
}

fn named(text: &str) -> Option<&'static Currency> {
    CURRENCIES.iter().find(|currency| currency.signs.contains(&text))
}

fn scale(text: &str) -> Option<&'static str> {
    SCALES.iter().find(|(sign, _)| *sign == text).map(|(_, name)| *name)
}

/// A number with its scale, such as `1.5M`.
fn scaled(text: &str) -> Option<(Number, Option<&'static str>)> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let number = Number::parse(&text[..end])?;
    match &text[end..] {
        "" => Some((number, None)),
        sign => Some((number, Some(scale(sign)?))),
    }
}

impl Currency {
    fn say(&self, number: &Number, scale: Option<&str>) -> String {
        if let Some(scale) = scale {
            return format!("{} {scale} {}", number.say(), self.many);
        }
        let cents = number.fraction.trim_start_matches('0');
        let whole = Number { fraction: String::new(), ..number.clone() };
        let unit = if whole.is_one() { self.one } else { self.many };
        match (self.cent, number.fraction.len()) {
            (_, 0) => format!("{} {unit}", whole.say()),
            (Some(_), 2) if cents.is_empty() => format!("{} {unit}", whole.say()),
            (Some((one, many)), 2) => {
                let cent = if cents == "1" { one } else { many };
                let cents = super::numbers::cardinal(cents);
                if whole.whole.trim_matches('0').is_empty() {
                    return format!("{cents} {cent}");
                }
                format!("{} {unit} and {cents} {cent}", whole.say())
            }
            _ => format!("{} {}", number.say(), self.many),
        }
    }
}

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    let (core, per) = match core.split_once('/') {
        Some((amount, unit)) if !unit.is_empty() && unit.chars().all(char::is_alphabetic) => {
            (amount, Some(unit))
        }
        _ => (core, None),
    };
    let (core, more) = core.strip_suffix('+').map_or((core, ""), |core| (core, " or more"));
    let (count, text) = amount(cursor, core)?;
    let per = per.map(|unit| format!(" per {}", super::units::singular(unit))).unwrap_or_default();
    Some(Said::new(count, format!("{text}{more}{per}")))
}

fn amount(cursor: &Cursor<'_>, core: &str) -> Option<(usize, String)> {
    if let Some((from, to)) = range(core) {
        // `$10-20`, `$10-$20`, `10-20€`.
        let (currency, ..) = parse(from).or_else(|| parse(to))?;
        let bare = |text| parse(text).map_or(text, |(_, number, _)| number);
        let (from, (to, own)) = (Number::parse(bare(from))?, scaled(bare(to))?);
        let behind = cursor.core(1).filter(|next| own.is_none() && next.len() > 2).and_then(scale);
        let count = 1 + usize::from(behind.is_some());
        return Some((count, format!("{} to {}", from.say(), currency.say(&to, own.or(behind)))));
    }
    if let Some((currency, number, is_negative)) = parse(core) {
        let (number, mut own) = scaled(number)?;
        let mut count = 1;
        let behind = cursor.core(1).filter(|next| own.is_none() && next.len() > 2).and_then(scale);
        if behind.is_some() {
            (own, count) = (behind, 2);
        }
        let sign = if is_negative { "minus " } else { "" };
        return Some((count, format!("{sign}{}", currency.say(&number, own))));
    }
    // `20 USD`, `USD 20`, `€ 20`.
    let next = cursor.core(1)?;
    if let Some(currency) = named(core).filter(|_| core != "\u{a2}") {
        let (number, scale) = scaled(next)?;
        return Some((2, currency.say(&number, scale)));
    }
    let (number, own) = scaled(core)?;
    let (scale, count) = match scale(next).filter(|_| own.is_none() && next.len() > 2) {
        Some(scale) => (Some(scale), 2),
        None => (own, 1),
    };
    let currency = named(cursor.core(count)?)?;
    Some((count + 1, currency.say(&number, scale)))
}
