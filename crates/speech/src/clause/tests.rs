use proptest::prelude::*;

use super::*;

fn cut(text: &str, max_chars: usize) -> Vec<Clause> {
    let mut splitter = ClauseSplitter::new(max_chars);
    let mut clauses = splitter.push(text);
    clauses.extend(splitter.finish());
    clauses
}

fn split(text: &str) -> Vec<String> {
    cut(text, 200).into_iter().map(|clause| clause.text).collect()
}

/// Texts with a bar where they are cut.
const CUTS: [&str; 60] = [
    // The first as early as can be, then sentences, then longer ones.
    "Hello.| How are you today my friend?",
    "We open at nine in the morning,| and we close at six.",
    "Well, yes.| Of course we can do that for you.",
    "Sure!| Let me look that up.| One moment, please. I have found your booking and will read it to you now, it is short.| Fine. And so on.",
    "One two.| Six. Ten.",
    "Yes.| We are open. Come in now.| Bring a friend. Bring two friends. We have cake and tea for all.| Bye.",
    // Abbreviations and initials.
    "Dr. Smith is in at 3.30 p.m. on Mondays.| Shall I book?",
    "See www.example.com for more.| J. Smith wrote it.",
    "We open at 9 a.m. tomorrow.| And then we close late.",
    "We open at 9 a.m.| We close at 5 p.m. every day.",
    "Fruit, e.g. apples, etc. are sold here.| More is coming soon.",
    "It was Smith Inc. who called.| That was in the U.S. last year.",
    "St. Mary is at 5 Main St. near Mt. Hood.| You will find it.",
    "No.| We are closed on that day, I fear.",
    "No. 5 is alive.| That is all that I know.",
    "It is on Mon. or Tue. in Nov. 2026.| I am not so sure.",
    "I. M. Pei built it.| So did I. And so on it went.",
    "So do I.| And so does everybody else.",
    // Numbers, money, times, dates.
    "It costs $42.50 in all.| He said \"no.\" Then he left the house.",
    "Your total is 3.5 million.| That is a lot of money.",
    "The answer is 42.| Shall I go on with it?",
    "We can see you on March 3, 2026 at 9.| Is that all right?",
    "We can see you on Tuesday,| at nine.",
    "There are four rooms for 1,200,| and two for 900.",
    "It is open from 9 \u{2013} 5 on all weekdays.| Come and see.",
    "The game ended 3:1 yesterday night.| They won it.",
    // Addresses.
    "Write to me@example.com or a.b@example.org.| I will answer.",
    "Visit https://example.com/a.b?c=d!e for more.| Or call us any time.",
    // Missing spaces.
    "Hello.|How are you today?",
    "Hi!|How are you today?",
    "Use Node.JS or example.com here.| That is all for now.",
    "He has a Ph.D in law.| He is called Dr. No.",
    // Marks upon marks.
    "Really?!| I did not know that at all.",
    "Well...| I am not so sure of that.",
    "Well... let me see.| I have it here, my friend.",
    "Let me just check that for you\u{2026}| right here. Done.",
    "Let me check just this for you\u{2026}| right here we have it.",
    "\"Really?\" he asked.| \"I had no idea of it.\"",
    "(We are closed.)| Please call again tomorrow.",
    "\u{201c}Come in.\u{201d}| That is what she said.",
    // Dashes.
    "We can certainly do that today \u{2013}| if you come early.",
    "We can \u{2014} if you like \u{2014}| call back.",
    // Lists.
    "1. First, open the app.| 2. Then press the button.",
    "You can choose:| 1. Coffee and cake 2. Tea and biscuits| 3. Nothing at all",
    "Options:\n|- a coffee\n- a big tea\n|- or nothing at all",
    "It has 2.| That is all there is.",
    // Markup.
    "**Great.**| We will see you there soon.",
    "It is **really good.| Quite** so. I like it.",
    "See [our page. All of it](https://x.example/a.b) now.| Then call us again.",
    "[cheerful. very] Hello.| How are you today?",
    "[cheerful] Hello.| How are you today?",
    "# Opening hours\n|We open at nine in the morning.",
    "Run `npm i. now` and wait.| It takes a while to end.",
    "| Mon. | 9. to 5. |\n|| Tue. | 9. to 5. | and more |",
    "Is this [sic. really so? Yes. It is so.",
    // Emoji.
    "Great!| \u{1F600} Let me look that up for you.",
    "Great!\u{1F600}| Let me look that up for you.",
    "\u{1F600} Great!| Let me look that up for you.",
    // Other scripts.
    "\u{4f60}\u{597d}\u{3002}|\u{4f60}\u{597d}\u{5417}\u{ff1f}",
    "Was ist das?| Das ist ein gro\u{df}es Haus.",
];

#[test]
fn cuts_are_where_one_would_breathe() {
    let wrong: Vec<String> = CUTS
        .iter()
        .filter_map(|marked| {
            let is_table = marked.starts_with("| ");
            let wanted: Vec<&str> = match marked.split_once("\n|").filter(|_| is_table) {
                Some((first, second)) => vec![first, second],
                None => marked.split('|').map(str::trim).collect(),
            };
            let text = if is_table { marked.replace("\n|", "\n") } else { marked.replace('|', "") };
            let found = split(&text);
            (found != wanted).then(|| format!("wanted {wanted:?}\n found {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_clause_is_given_as_soon_as_it_is_complete() {
    for (before, decisive) in [
        ("Hello there.", " "),
        ("Hello there!", "\n"),
        ("We open at nine in the morning,", " "),
        ("At 5 p.m. ", "W"),
        ("No. ", "W"),
        ("No. ", "\""),
        ("One moment... ", "O"),
        ("There are four rooms for 1,200, ", "a"),
        ("Hello.H", "o"),
        ("See [us](https://x.example/a).", " "),
        ("Hello.\n", "```x"),
    ] {
        let mut splitter = ClauseSplitter::new(200);
        let early = splitter.push(before);
        let late = splitter.push(decisive);
        let is_given = (early.len(), late.len()) == (0, 1) || before.ends_with('\n') && early.len() == 1;
        assert!(is_given, "{before:?} {decisive:?}: {early:?} {late:?}");
    }
}

#[test]
fn code_is_in_no_clause() {
    let text = "Run this now:\n```bash\nrm. -rf * now. Really.\n```\nThen wait for a while. ~~~ is a mark.\n~~~\ncode. code.";
    let clauses = cut(text, 20);
    let texts: Vec<&str> = clauses.iter().map(|clause| clause.text.as_str()).collect();
    assert_eq!(texts, ["Run this now:", "Then wait for a", "while. ~~~ is a", "mark."]);
    let chars: Vec<char> = text.chars().collect();
    for clause in &clauses {
        assert_eq!(chars[clause.span.clone()].iter().collect::<String>().trim(), clause.text);
    }
    assert_eq!(split("```\nnothing but code"), Vec::<String>::new());
}

#[test]
fn what_says_nothing_is_no_clause() {
    for text in ["", "   ", "\u{1F600}", "***", "Hello. \u{1F600}", "Hello. [laughs]", "---\n\n"] {
        assert!(split(text).len() <= usize::from(text.starts_with('H')), "{text:?}");
    }
}

#[test]
fn long_texts_are_cut_at_pauses_and_not_inside_numbers() {
    let words = "word ".repeat(200);
    assert!(split(&words).iter().all(|clause| clause.chars().count() <= 200));
    assert_eq!(split(&"x".repeat(900)).concat().len(), 900);
    let texts: Vec<String> = cut("Please call us at once on +1 555 123 4567 today if you can", 36)
        .into_iter()
        .map(|clause| clause.text)
        .collect();
    assert_eq!(texts, ["Please call us at once", "on +1 555 123 4567 today if you can"]);
}

#[test]
fn pieces_for_an_engine_know_their_place_in_the_whole_text() {
    let text = "Hello there.  **Your** total is $1,234.50, due on May 3, 2026 at the latest.";
    let place = |span: &Range<usize>| text.chars().skip(span.start).take(span.len()).collect::<String>();
    let pieces: Vec<(String, String)> = cut(text, 200)
        .iter()
        .flat_map(|clause| clause.spoken("en-US", 60))
        .map(|piece| (place(&piece.span), piece.text))
        .collect();
    let wanted = [
        ("Hello there.", "Hello there."),
        ("Your** total is $1,234.50,", "Your total is one thousand two hundred thirty four dollars"),
        ("$1,234.50, due on May 3, 2026", "and fifty cents, due on May third,"),
        ("May 3, 2026 at the latest.", "twenty twenty six at the latest."),
    ];
    assert_eq!(pieces, wanted.map(|(place, text)| (place.to_owned(), text.to_owned())));
}

/// Each clause made speakable on its own says what the whole would.
#[test]
fn clauses_are_said_as_the_whole_text_would_be() {
    for text in [
        "Sure! Your table for 4 is booked for Fri, Dec 12 at 7:30 p.m. We look forward to it. Call (555) 123-4567 if you are late.",
        "The total is $1,049.50, due on 11/25/2026. **Please pay on time. Thank** you very much.",
        "We have three rooms:\n1. A single for $80.\n2. A double for $120.50.\n3. A suite.\nWhich one would you like?",
        "| Day | Hours |\n|---|---|\n| Mon | 9\u{2013}5 |\n| Tue | 10 a.m. to 6 p.m. |\n",
        "Look here:\n```rust\nlet x = 3.5; // yes. no.\n```\nThat was it. See [our page](https://x.example/a_b) or www.example.com. Bye!",
        "It weighs 3.5 kg, e.g. as much as a cat. Dr. Lee, at 12 Oak St., knows more... Ask him at lee@example.com.",
    ] {
        let parts: Vec<String> =
            cut(text, 400).iter().map(|clause| crate::for_speech(&clause.text, "en-US")).collect();
        assert_eq!(parts.join(" "), crate::for_speech(text, "en-US"));
    }
}

/// Pieces that meet badly.
const PIECES: [&str; 48] = [
    " ",
    " ",
    " ",
    "\n",
    "Hello",
    "yes",
    "word ",
    "five words that go on ",
    ". ",
    ".",
    "!",
    "?! ",
    "...",
    "\u{2026} ",
    ", ",
    ": ",
    " \u{2013} ",
    "-",
    "p.m. ",
    "No. ",
    "Dr. ",
    "e.g. ",
    "3",
    ".5",
    "1. ",
    "2. ",
    "\n3. ",
    "$42.50 ",
    "[",
    "](",
    ")",
    "`",
    "\n```\n",
    "```",
    "\n~~~",
    "|",
    "\n| a | b |\n",
    "**",
    "\"",
    "\u{201d} ",
    "\u{1F600} ",
    "https://x.example/a.b ",
    "a@b.example ",
    "U.S. ",
    "\u{3002}",
    "\u{4f60}",
    "Then ",
    "I. ",
];

proptest! {
    #[test]
    fn how_the_text_arrives_makes_no_difference_and_nothing_is_lost(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60),
        cuts in proptest::collection::vec(1_usize..9, 1..200),
        max_chars in 1_usize..120,
    ) {
        let text = pieces.concat();
        let whole = cut(&text, max_chars);
        let mut splitter = ClauseSplitter::new(max_chars);
        let mut found = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        let (mut at, mut cut) = (0, cuts.iter().cycle());
        while at < chars.len() {
            let end = (at + cut.next().unwrap()).min(chars.len());
            found.extend(splitter.push(&chars[at..end].iter().collect::<String>()));
            at = end;
        }
        found.extend(splitter.finish());
        prop_assert_eq!(&whole, &found);
        for clause in &whole {
            let spanned: String = chars[clause.span.clone()].iter().collect();
            prop_assert_eq!(spanned.trim(), &clause.text);
            prop_assert!(clause.text.chars().count() <= max_chars.max(1));
            prop_assert!(!crate::for_speech(&clause.text, "en").is_empty(), "{:?}", clause.text);
        }
        prop_assert!(whole.is_sorted_by(|a, b| a.span.end <= b.span.start));
        if !text.contains("```") && !text.contains("~~~") {
            // Nothing but what says nothing is between two clauses.
            let given: usize = whole.iter().map(|clause| clause.span.len()).sum();
            let first = whole.first().map_or(chars.len(), |clause| clause.span.start);
            let last = whole.last().map_or(0, |clause| clause.span.end);
            let silent: String = chars[..first].iter().chain(&chars[last.max(first)..]).collect();
            prop_assert!(!is_speakable(&silent) || whole.is_empty() && !is_speakable(&text), "{:?}", silent);
            prop_assert!(given <= chars.len());
        }
    }
}
