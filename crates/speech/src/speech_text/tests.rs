use proptest::prelude::*;

use super::*;

/// Pieces that meet badly.
const PIECES: [&str; 70] = [
    " ",
    "\n",
    "*",
    "**",
    "_",
    "`",
    "```",
    "[",
    "](",
    ")",
    "(",
    "|",
    "#",
    "~",
    "<",
    ">",
    "- ",
    "1. ",
    "&",
    "@",
    "/",
    ".",
    ",",
    "...",
    "\u{2026}",
    "?",
    "!",
    ":",
    ";",
    "\u{2013}",
    "\u{2014}",
    "-",
    "$",
    "\u{20ac}",
    "%",
    "\u{b0}",
    "\u{b0}C",
    "\u{1F600}",
    "\u{200d}",
    "5",
    "12",
    "2026",
    "1,000",
    "3.5",
    "0",
    "a",
    "B",
    "Dr",
    "St",
    "No",
    "Chapter",
    "IV",
    "I",
    "Mon",
    "Nov",
    "May",
    "p.m",
    "e.g",
    "vs",
    "km",
    "in",
    "http://",
    "www.",
    "example.com",
    "\u{e9}",
    "\u{4e2d}",
    "\u{660}",
    "\u{bd}",
    "'",
    "\"",
];

/// Texts and what is said for them, by kind.
fn table() -> Vec<(&'static str, &'static str)> {
    let text = include_str!("tests/english.txt");
    let (_, text) = text.split_once("\n## ").unwrap();
    let lines: Vec<&str> =
        text.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with("## ")).collect();
    lines.chunks(2).map(|pair| (pair[0], pair[1].trim().trim_start_matches("(nothing)"))).collect()
}

#[test]
fn texts_are_said_as_a_person_would_over_a_telephone() {
    let table = table();
    assert!(table.len() >= 150, "{}", table.len());
    let wrong: Vec<String> = table
        .into_iter()
        .filter_map(|(text, wanted)| {
            let said = for_speech(&text.replace("\\n", "\n"), "en-US");
            (said != wanted).then(|| format!("{text}\n  wanted: {wanted}\n    said: {said}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn days_come_before_months_outside_the_united_states() {
    assert_eq!(for_speech("Due 03/04/2026.", "en-US"), "Due March fourth, twenty twenty six.");
    assert_eq!(for_speech("Due 03/04/2026.", "en-GB"), "Due April third, twenty twenty six.");
    assert_eq!(for_speech("Due 03/04/2026.", "EN_gb"), "Due April third, twenty twenty six.");
}

#[test]
fn a_language_that_is_not_known_here_loses_its_markup_alone() {
    for (text, wanted) in [
        ("**Das** kostet 42,50 \u{20ac}.", "Das kostet 42,50 \u{20ac}."),
        ("# Zeiten\n- Mo. 9\u{2013}17 Uhr \u{1F600}", "Zeiten. Mo. 9\u{2013}17 Uhr."),
        (
            "[Unsere Seite](https://x.example/a) oder https://www.example.de/a?b=1.",
            "Unsere Seite oder www.example.de.",
        ),
        ("[heiter] Gr\u{fc}\u{df} Gott \u{2013} bis bald\u{2026}", "Gr\u{fc}\u{df} Gott, bis bald."),
        ("```\nlet x = 1;\n```", ""),
    ] {
        assert_eq!(for_speech(text, "de-DE"), wanted);
    }
}

#[test]
fn every_piece_knows_its_place_in_the_original() {
    let text = "\u{1F600} **Pay** [us](https://x.example) $3 million by May 3, 2026!";
    let place = |span: &Range<usize>| text.chars().skip(span.start).take(span.len()).collect::<String>();
    let places: Vec<_> =
        spoken(text, "en").into_iter().map(|spoken| (place(&spoken.span), spoken.text)).collect();
    let wanted = [
        ("Pay", "Pay"),
        ("us", "us"),
        ("$3 million", "three million dollars"),
        ("by", "by"),
        ("May 3, 2026!", "May third, twenty twenty six!"),
    ];
    assert_eq!(places, wanted.map(|(place, said)| (place.to_owned(), said.to_owned())));
}

/// Work that grew with the square of a text's length would not end in the time that a test has.
#[test]
fn hostile_texts_end() {
    for piece in [
        "[",
        "<",
        "*",
        "-",
        "(",
        "1",
        "1-",
        "1.",
        "a.",
        "$",
        "|",
        "```\n",
        "[a](",
        "5 - ",
        "Mon-",
        "@",
        "<a",
        "\u{1F600}",
        "Chapter/ ",
        "0 5 5 5 ",
        "(1",
        "x_",
    ] {
        let once = for_speech(&piece.repeat(16_000 / piece.len()), "en-US");
        assert!(once.len() < 400_000, "{piece}: {}", once.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_has_been_made_speakable_stays_as_it_is(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..14),
        language in proptest::sample::select(&["en-US", "de-DE"][..]),
    ) {
        let text = pieces.concat();
        let once = for_speech(&text, language);
        prop_assert_eq!(&for_speech(&once, language), &once, "{:?}", text);
        prop_assert!(language != "en-US" || !once.contains(|c: char| c.is_ascii_digit() || "$%*_#|[]<>`~@".contains(c)), "{:?} {}", text, once);
    }

    #[test]
    fn any_text_at_all_is_borne(text in "\\PC{0,300}", language in "[a-zA-Z-]{0,6}") {
        let once = for_speech(&text, &language);
        prop_assert_eq!(&for_speech(&once, &language), &once);
        let chars = text.chars().count();
        let spoken = spoken(&text, &language);
        prop_assert!(spoken.iter().all(|spoken| spoken.span.start < spoken.span.end && spoken.span.end <= chars));
        prop_assert!(spoken.is_sorted_by(|a, b| a.span.end <= b.span.start));
    }
}
