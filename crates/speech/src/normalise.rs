//! Text as a person would say it over a telephone: no markup, no symbols, no links.

/// Makes a text speakable. Gives an empty text when there is nothing to say.
pub fn for_speech(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(line).filter(|line| !line.is_empty()).collect();
    let mut spoken = String::new();
    for line in lines {
        if !spoken.is_empty() {
            let has_stop = spoken.ends_with(['.', '!', '?', ',', ';', ':']);
            spoken.push_str(if has_stop { " " } else { ". " });
        }
        spoken.push_str(&line);
    }
    if !spoken.chars().any(char::is_alphanumeric) {
        return String::new();
    }
    // Voices drawl without an end.
    if !spoken.ends_with(['.', '!', '?', ',', ';', ':']) {
        spoken.push('.');
    }
    spoken
}

fn line(line: &str) -> String {
    let line = line.trim().trim_start_matches(['#', '>']).trim_start();
    let line =
        ["- ", "* ", "+ ", "\u{2022} "].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
    let plain = links(line);
    let words = plain.split_whitespace().map(word).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// `[text](address)` becomes its text, other square brackets are directions to an engine and are dropped.
fn links(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inside, behind)) = after.split_once(']') else { break };
        out.push_str(before);
        if let Some((_, behind)) = behind.strip_prefix('(').and_then(|link| link.split_once(')')) {
            out.push_str(inside);
            rest = behind;
        } else {
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

fn word(word: &str) -> String {
    let end = word.len() - word.trim_end_matches(['.', ',', '!', '?', ';', ':', ')', '"']).len();
    let (bare, stop) = word.split_at(word.len() - end);
    if bare.starts_with("http://") || bare.starts_with("https://") || bare.starts_with("www.") {
        return format!("a link{stop}");
    }
    let bare: String =
        bare.chars().filter(|c| !matches!(c, '*' | '_' | '`' | '#' | '~' | '|' | '[' | ']')).collect();
    let bare: String = bare.chars().filter(|c| !is_emoji(*c)).collect();
    let stop: String = stop.chars().filter(|c| *c != '"' && *c != ')').collect();
    let spoken = match bare.as_str() {
        "&" => "and".to_owned(),
        "+" => "plus".to_owned(),
        "=" => "equals".to_owned(),
        "@" => "at".to_owned(),
        "\u{2013}" | "\u{2014}" | "-" => ",".to_owned(),
        bare => amount(bare.trim_start_matches(['(', '"'])),
    };
    format!("{spoken}{stop}")
}

/// Money and percentages in words; anything else unchanged.
fn amount(word: &str) -> String {
    let is_number =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','));
    if let Some(number) = word.strip_suffix('%').filter(|number| is_number(number)) {
        return format!("{number} percent");
    }
    for (sign, one, many, cent) in [
        ('$', "dollar", "dollars", "cents"),
        ('\u{20ac}', "euro", "euros", "cents"),
        ('\u{a3}', "pound", "pounds", "pence"),
    ] {
        let Some(number) = word.strip_prefix(sign).filter(|number| is_number(number)) else { continue };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let unit = if whole == "1" { one } else { many };
        return match part.trim_start_matches('0') {
            "" => format!("{whole} {unit}"),
            _ if part.len() != 2 => format!("{number} {many}"),
            cents => format!("{whole} {unit} and {cents} {cent}"),
        };
    }
    word.replace('&', " and ")
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0xFE0F | 0x200D | 0x2B00..=0x2BFF | 0xE0000..=0xE007F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_spoken_as_a_person_would() {
        for (text, wanted) in [
            ("Hello", "Hello."),
            ("Hello!", "Hello!"),
            ("**Bold** and _soft_ and `code`", "Bold and soft and code."),
            ("# Title\nText", "Title. Text."),
            ("- one\n- two", "one. two."),
            ("See [our page](https://x.example/a) now", "See our page now."),
            ("See https://x.example/a.", "See a link."),
            ("Go to www.example.com, please", "Go to a link, please."),
            ("[cheerful] Hi there", "Hi there."),
            ("It costs $42.50 today", "It costs 42 dollars and 50 cents today."),
            ("It costs $1.", "It costs 1 dollar."),
            ("It costs \u{20ac}20, or \u{a3}3.05.", "It costs 20 euros, or 3 pounds and 5 pence."),
            ("$1,200.00 in all", "1,200 dollars in all."),
            ("50% off", "50 percent off."),
            ("Salt & pepper", "Salt and pepper."),
            ("Great \u{1F600} news \u{2728}", "Great news."),
            ("A  lot   of space ", "A lot of space."),
            ("Nine \u{2013} to five", "Nine , to five."),
            ("He said \"yes\".", "He said yes."),
            ("It is (almost) done", "It is almost done."),
            ("Open 9 a.m. to 5 p.m.", "Open 9 a.m. to 5 p.m."),
            ("\u{1F600}", ""),
            ("***", ""),
            ("", ""),
        ] {
            assert_eq!(for_speech(text), wanted, "{text}");
        }
    }
}
