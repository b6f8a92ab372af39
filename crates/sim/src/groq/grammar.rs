//! The sentences that callers may say. A recogniser that knows them makes no mistakes on telephone audio; one that
//! does not makes many.

use std::collections::HashSet;

/// Sentences that nobody says: without them the recogniser would take any noise for one of a few.
const DISTRACTORS: [&str; 12] = [
    "the weather in the mountains is lovely today",
    "my brother bought a very old bicycle",
    "could you turn the music down please",
    "she sells flowers near the railway station",
    "we painted the kitchen green last summer",
    "there is a letter for you on the table",
    "nobody remembers the name of that village",
    "put the heavy boxes under the stairs",
    "his train arrives from london every morning",
    "they were looking for a different answer",
    "five hundred sheep crossed the narrow bridge",
    "never mind the dog behind the garden gate",
];

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

/// The sentences that can be heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Grammar {
    sentences: Vec<Sentence>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sentence {
    written: String,
    words: Vec<String>,
}

impl Grammar {
    /// Takes one sentence a line.
    pub(super) fn from_lines(lines: &str) -> Self {
        Self::new(lines.lines())
    }

    /// Takes sentences as they are to be written.
    pub(super) fn new<S: AsRef<str>>(sentences: impl IntoIterator<Item = S>) -> Self {
        let sentences = sentences.into_iter().map(|sentence| Sentence::new(sentence.as_ref()));
        Self { sentences: sentences.filter(|sentence| !sentence.words.is_empty()).collect() }
    }

    /// Restricts every sentence to words that the recogniser can pronounce: one unknown word would have it refuse
    /// the whole grammar.
    pub(super) fn pronounceable(&self, dictionary: &HashSet<String>) -> Self {
        let distractors = DISTRACTORS.iter().map(|written| Sentence::new(written));
        let sentences = self.sentences.iter().cloned().chain(distractors).map(|mut sentence| {
            sentence.words.retain(|word| dictionary.contains(word));
            sentence
        });
        Self { sentences: sentences.filter(|sentence| !sentence.words.is_empty()).collect() }
    }

    /// The grammar in the recogniser's own form: one or several sentences.
    pub(super) fn to_jsgf(&self) -> String {
        let spoken: Vec<String> = self.sentences.iter().map(|sentence| sentence.words.join(" ")).collect();
        format!(
            "#JSGF V1.0;\ngrammar calls;\n<sentence> = {} ;\npublic <calls> = <sentence>+ ;\n",
            spoken.join(" | ")
        )
    }

    /// Turns recognised words back into sentences as they are written.
    pub(super) fn written(&self, recognised: &str) -> String {
        let words: Vec<&str> = recognised.split_whitespace().collect();
        let mut rest = &words[..];
        let mut written = Vec::new();
        while !rest.is_empty() {
            let fits = |sentence: &&Sentence| {
                rest.len() >= sentence.words.len() && sentence.words.iter().zip(rest).all(|(a, b)| a == b)
            };
            // The recogniser only gives whole sentences; a word that begins none would be a bug worth seeing.
            let (text, len) =
                match self.sentences.iter().filter(fits).max_by_key(|sentence| sentence.words.len()) {
                    Some(sentence) => (sentence.written.as_str(), sentence.words.len()),
                    None => (rest[0], 1),
                };
            written.push(text);
            rest = &rest[len..];
        }
        written.join(" ")
    }
}

impl Sentence {
    fn new(written: &str) -> Self {
        Self { written: written.trim().to_owned(), words: normalise(written) }
    }
}

/// The words of a text as they are spoken: lower case, no punctuation, numbers below 10,000 spelled out.
pub(super) fn normalise(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '\'';
    let mut words = Vec::new();
    for word in
        lower.split(|c| !is_part(c)).map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty())
    {
        match word.parse::<usize>() {
            Ok(number) if number < 10_000 => spell(number, &mut words),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn spell(number: usize, words: &mut Vec<String>) {
    let mut rest = number;
    for (unit, name) in [(1000, "thousand"), (100, "hundred")] {
        if rest >= unit {
            words.extend([ONES[rest / unit].to_owned(), name.to_owned()]);
            rest %= unit;
        }
    }
    if rest >= 20 {
        words.push(TENS[rest / 10].to_owned());
        rest %= 10;
    }
    let is_round = number > 0 && rest == 0;
    if !is_round {
        words.push(ONES[rest].to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_spoken_without_case_punctuation_and_digits() {
        assert_eq!(
            normalise("What’s on at 7:30, for 'them'?").join(" "),
            "what's on at seven thirty for them"
        );
        assert_eq!(
            normalise("0 10 20 42 300 1999").join(" "),
            "zero ten twenty forty two three hundred one thousand nine hundred ninety nine"
        );
    }

    #[test]
    fn recognised_words_become_the_known_sentences_again() {
        let grammar = Grammar::from_lines("Are you open?\n\nAre you open on Sunday?\nBye!");
        assert_eq!(grammar.written("are you open on sunday bye"), "Are you open on Sunday? Bye!");
        assert_eq!(grammar.written("are you open are you open"), "Are you open? Are you open?");
        assert_eq!(grammar.written(""), "");
    }

    #[test]
    fn words_that_cannot_be_pronounced_are_left_out_of_the_grammar_only() {
        let dictionary = HashSet::from(["call", "me"].map(str::to_owned));
        let grammar = Grammar::from_lines("Call me, Xyzzy!\nXyzzy").pronounceable(&dictionary);
        assert!(grammar.to_jsgf().contains("<sentence> = call me ;"), "{}", grammar.to_jsgf());
        assert_eq!(grammar.written("call me"), "Call me, Xyzzy!");
    }
}
