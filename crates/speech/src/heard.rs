//! What had been heard when a playback stopped.
//!
//! A voice spends its time on syllables and on pauses at punctuation, so each word is weighed by its vowel groups, its
//! letters a little, and the pause behind it; a clip's time is shared out by weight.

use std::time::Duration;

/// A comma's pause, in syllables.
const SHORT_PAUSE: f64 = 1.2;
/// A full stop's pause.
const LONG_PAUSE: f64 = 2.2;

/// The words of consecutive clips (text and playing time) that had been heard in full at `position`.
pub fn heard(clips: &[(&str, Duration)], position: Duration) -> String {
    let mut left = position;
    let mut words: Vec<&str> = Vec::new();
    for (text, duration) in clips {
        if let Some(rest) = left.checked_sub(*duration) {
            words.extend(text.split_whitespace());
            left = rest;
            continue;
        }
        let share = left.as_secs_f64() / duration.as_secs_f64().max(f64::EPSILON);
        words.extend(prefix(text, share));
        break;
    }
    words.join(" ")
}

fn prefix(text: &str, share: f64) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let total: f64 = words.iter().map(|word| weight(word) + pause(word)).sum();
    let mut passed = 0.0;
    let mut heard = Vec::new();
    for word in words {
        passed += weight(word);
        if passed > share * total {
            break;
        }
        heard.push(word);
        passed += pause(word);
    }
    heard
}

fn weight(word: &str) -> f64 {
    let lower = word.to_lowercase();
    let mut syllables = 0.0_f64;
    let mut was_vowel = false;
    for c in lower.chars() {
        let is_vowel = "aeiouy\u{e4}\u{f6}\u{fc}\u{e9}\u{e8}".contains(c);
        if is_vowel && !was_vowel {
            syllables += 1.0;
        }
        // A digit is a word of its own.
        if c.is_ascii_digit() {
            syllables += 1.3;
        }
        was_vowel = is_vowel;
    }
    let is_mute = lower.len() > 3
        && lower.trim_end_matches(|c: char| !c.is_alphabetic()).ends_with('e')
        && syllables > 1.0;
    let letters = lower.chars().filter(|c| c.is_alphabetic()).count() as f64;
    (syllables - if is_mute { 0.8 } else { 0.0 }).max(0.6) + 0.12 * letters
}

fn pause(word: &str) -> f64 {
    match word.chars().last() {
        Some('.' | '!' | '?' | '\u{2026}') => LONG_PAUSE,
        Some(',' | ';' | ':' | '\u{2014}') => SHORT_PAUSE,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn whole_words_up_to_the_position_and_never_beyond() {
        let clips = [("One two three.", 2 * S), ("Four five six.", 2 * S)];
        assert_eq!(heard(&clips, Duration::ZERO), "");
        assert_eq!(heard(&clips, 2 * S), "One two three.");
        assert_eq!(heard(&clips, 9 * S), "One two three. Four five six.");
        let middle = heard(&clips, 3 * S);
        assert!(
            middle.starts_with("One two three. Four") && middle.split_whitespace().count() <= 5,
            "{middle}"
        );
    }

    #[test]
    fn more_time_never_means_fewer_words() {
        let clips = [("The house was built by a family of bakers, many years ago.", 4 * S)];
        let counts: Vec<usize> =
            (0..=40).map(|n| heard(&clips, n * S / 10).split_whitespace().count()).collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.last(), Some(&12));
    }
}
