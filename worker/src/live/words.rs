//! Which words of a growing utterance are settled.
//!
//! Each pass over the audio gives all of its words anew, and the newest ones tend to change. A word is *stable* once two
//! passes in a row agree on it and on all before it. What is stable is never taken back: a later pass that hears
//! it otherwise is matched to it, and only what follows counts.

/// The words so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// What is stable, without the punctuation behind its last word, which may still change.
    stable: String,
    /// Its words, as they are compared.
    settled: Vec<String>,
    /// What the newest pass heard after them, as it is compared.
    rest: Vec<String>,
    text: String,
}

/// A word as it was written, with what is written behind it.
#[derive(Debug)]
struct Word {
    written: String,
    /// Letters and digits alone, in lower case.
    plain: String,
}

impl Words {
    /// Takes what a pass has heard. `is_cut` says that the audio may have ended in the middle of a word.
    pub(super) fn hear(&mut self, heard: &str, is_cut: bool) {
        let words = split(heard);
        let known = matched(&self.settled, &words);
        let (before, after) = words.split_at(known);
        let punctuation = match (before.last(), self.settled.last()) {
            (Some(word), Some(settled)) if word.plain == *settled => word.behind(),
            _ => "",
        };
        let whole = after.len() - usize::from(is_cut && !after.is_empty());
        let agreed = after[..whole].iter().zip(&self.rest).take_while(|(a, b)| a.plain == **b).count();

        self.text = format!("{}{punctuation}", self.stable);
        for (n, word) in after.iter().enumerate() {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            if n + 1 == agreed {
                self.stable = format!("{}{}", self.text, word.without_end());
            }
            self.text.push_str(&word.written);
        }
        self.settled.extend(after[..agreed].iter().map(|word| word.plain.clone()));
        self.rest = after[agreed..].iter().map(|word| word.plain.clone()).collect();
    }

    /// All words: the stable ones, and behind them those of the newest pass.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many code points of the text are stable.
    pub(super) fn stable_length(&self) -> usize {
        self.stable.chars().count()
    }
}

// === impl Word ===

impl Word {
    /// The word without the punctuation at its end.
    fn without_end(&self) -> &str {
        self.written.trim_end_matches(|c: char| !c.is_alphanumeric())
    }

    /// The punctuation at its end.
    fn behind(&self) -> &str {
        &self.written[self.without_end().len()..]
    }
}

/// Words, with punctuation that stands alone added to the word before it, or after it at the beginning.
fn split(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for written in text.split_whitespace() {
        let plain = written.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
        match words.last_mut() {
            Some(last) if last.plain.is_empty() || !written.contains(char::is_alphanumeric) => {
                last.written.push(' ');
                last.written.push_str(written);
                last.plain.extend(plain);
            }
            Some(_) | None => words.push(Word { written: written.to_owned(), plain: plain.collect() }),
        }
    }
    words.retain(|word| !word.plain.is_empty());
    words
}

/// How many of `words` are what `settled` says: as many if they are the same, else as many as take the fewest changes.
fn matched(settled: &[String], words: &[Word]) -> usize {
    let is_same = words.len() >= settled.len()
        && settled.iter().zip(words).all(|(settled, word)| *settled == word.plain);
    if is_same {
        return settled.len();
    }
    let mut changes: Vec<usize> = (0..=words.len()).collect();
    for (n, settled) in settled.iter().enumerate() {
        let mut diagonal = n;
        changes[0] = n + 1;
        for (k, word) in words.iter().enumerate() {
            let replaced = diagonal + usize::from(word.plain != *settled);
            diagonal = changes[k + 1];
            changes[k + 1] = replaced.min(diagonal + 1).min(changes[k] + 1);
        }
    }
    let best = changes.iter().enumerate().min_by_key(|(k, changes)| (**changes, k.abs_diff(settled.len())));
    best.map_or(0, |(k, _)| k)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is stable, and the rest, after each pass.
    fn passes<'a>(heard: impl IntoIterator<Item = (&'a str, bool)>) -> Vec<(String, String)> {
        let mut words = Words::default();
        let after = heard.into_iter().map(|(text, is_cut)| {
            words.hear(text, is_cut);
            let stable: String = words.text().chars().take(words.stable_length()).collect();
            let rest = words.text().chars().skip(words.stable_length()).collect();
            (stable, rest)
        });
        after.collect()
    }

    fn last<'a>(heard: impl IntoIterator<Item = (&'a str, bool)>) -> (String, String) {
        passes(heard).pop().unwrap()
    }

    fn pair(stable: &str, rest: &str) -> (String, String) {
        (stable.to_owned(), rest.to_owned())
    }

    #[test]
    fn words_are_stable_once_two_passes_agree() {
        let seen = passes([
            ("I want", true),
            ("I want a table", true),
            ("I want a table for", true),
            ("I want a table for two.", false),
            ("I want a table for two.", false),
        ]);
        assert_eq!(
            seen,
            [
                pair("", "I want"),
                pair("I want", " a table"),
                pair("I want a table", " for"),
                pair("I want a table for", " two."),
                pair("I want a table for two", "."),
            ]
        );
    }

    #[test]
    fn the_last_word_of_audio_that_was_cut_may_be_the_beginning_of_another() {
        let cut = [("I am seven", true), ("I am seven", true)];
        assert_eq!(last(cut), pair("I am", " seven"));
        assert_eq!(last([cut[0], cut[1], ("I am seventeen", false)]), pair("I am", " seventeen"));
        assert_eq!(last([cut[0], ("I am seven", false)]), pair("I am seven", ""));
    }

    #[test]
    fn case_and_punctuation_may_change_and_what_is_stable_keeps_its_own() {
        let seen = passes([
            ("what are your hours?", true),
            ("What are your hours, please?", true),
            ("what, are your hours please", false),
            ("What are your hours: please?", false),
        ]);
        assert_eq!(seen[1], pair("What are your hours", ", please?"));
        assert_eq!(seen[2], pair("What are your hours please", ""));
        assert_eq!(seen[3], pair("What are your hours please", "?"));
    }

    #[test]
    fn a_stable_word_that_is_heard_otherwise_later_stays_and_nothing_is_said_twice() {
        let settled = [("to new delhi", false), ("to new delhi", false)];
        for (later, wanted) in [
            ("to Newt Delhi on Friday", "to new delhi on Friday"),
            ("to new deli tomorrow", "to new delhi tomorrow"),
            ("so to new delhi tomorrow", "to new delhi tomorrow"),
            ("delhi tomorrow", "to new delhi tomorrow"),
            ("", "to new delhi"),
        ] {
            let (stable, rest) = last([settled[0], settled[1], (later, false)]);
            assert_eq!(format!("{stable}{rest}"), wanted, "{later}");
            assert_eq!(stable, "to new delhi");
        }
    }

    #[test]
    fn punctuation_that_stands_alone_is_no_word() {
        assert_eq!(last([("well ... yes", false), ("well ... yes", false)]), pair("well ... yes", ""));
        assert_eq!(last([("...", false), ("- yes", false)]), pair("", "- yes"));
    }

    proptest! {
        #[test]
        fn whatever_is_heard_what_was_stable_stays(
            heard in proptest::collection::vec(("([aAbé]{1,2}[,.]? |\\. |  ){0,8}", any::<bool>()), 1..12),
        ) {
            let mut words = Words::default();
            let mut before = String::new();
            for (text, is_cut) in heard {
                words.hear(&text, is_cut);
                prop_assert!(words.text().starts_with(&before), "{before:?} is not in {:?}", words.text());
                let stable: String = words.text().chars().take(words.stable_length()).collect();
                prop_assert!(stable.starts_with(&before), "{stable:?} does not begin with {before:?}");
                prop_assert_eq!(stable.chars().count(), words.stable_length());
                before = stable;
            }
        }

        #[test]
        fn a_pass_that_hears_the_same_again_changes_nothing_and_settles_all(
            text in "([a-c]{1,2}[,.]? ){0,8}",
        ) {
            let mut words = Words::default();
            words.hear(&text, false);
            let once = words.text().to_owned();
            words.hear(&text, false);
            prop_assert_eq!(words.text(), &once);
            prop_assert_eq!(&split(&once).iter().map(|word| word.plain.clone()).collect::<Vec<_>>(), &words.settled);
        }
    }
}
