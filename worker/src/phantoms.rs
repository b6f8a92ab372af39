//! Words that whisper makes up where nobody spoke.

use crate::ports::Stretch;

/// Known phantoms, as they stand after lower-casing and without punctuation. Sources: reports of silence transcribed
/// by whisper models, Groq's among them.
const PHRASES: [&str; 16] = [
    "thank you",
    "thank you very much",
    "thank you so much",
    "thanks for watching",
    "thank you for watching",
    "thanks",
    "you",
    "bye",
    "bye bye",
    "okay",
    "oh",
    "so",
    "hmm",
    "please subscribe",
    "subtitles by the amara org community",
    "vielen dank",
];

/// On whisper-large-v3 real "thank you"s were below 0.02, made-up ones above 0.06 (about 500 clips).
const PHANTOM_NO_SPEECH: f64 = 0.06;

/// The words that somebody said.
pub(crate) fn spoken(stretches: &[Stretch]) -> String {
    let said = stretches.iter().filter(|stretch| !is_phantom(stretch)).map(|stretch| stretch.text.trim());
    said.filter(|text| text.chars().any(char::is_alphanumeric)).collect::<Vec<_>>().join(" ")
}

/// Missing numbers say nothing against a stretch: other servers leave them out.
fn is_phantom(stretch: &Stretch) -> bool {
    let Stretch { text, no_speech, log_probability, compression } = stretch;
    let above = |value: &Option<f64>, limit: f64| value.is_some_and(|value| value > limit);
    let below = |value: &Option<f64>, limit: f64| value.is_some_and(|value| value < limit);
    let is_silence = above(no_speech, 0.6) && below(log_probability, -0.5);
    let is_known = above(no_speech, PHANTOM_NO_SPEECH) && PHRASES.contains(&plain(text).as_str());
    is_silence || is_known || above(compression, 2.4) || below(log_probability, -1.0)
}

fn plain(text: &str) -> String {
    let words: String =
        text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(text: &str, no_speech: f64, log_probability: f64) -> Stretch {
        Stretch {
            text: text.into(),
            no_speech: Some(no_speech),
            log_probability: Some(log_probability),
            compression: Some(1.0),
        }
    }

    #[test]
    fn what_was_said_stays_and_what_was_made_up_goes() {
        for (text, no_speech, log_probability, wanted) in [
            (" Thank you.", 0.01, -0.2, "Thank you."),
            (" Thank you.", 0.3, -0.3, ""),
            (" Thanks for watching!", 0.2, -0.3, ""),
            (" What are your hours?", 0.3, -0.3, "What are your hours?"),
            (" What are your hours?", 0.7, -0.6, ""),
            (" Hm.", 0.01, -1.2, ""),
            (" ...", 0.01, -0.1, ""),
        ] {
            assert_eq!(spoken(&[stretch(text, no_speech, log_probability)]), wanted, "{text} {no_speech}");
        }
        assert_eq!(spoken(&[Stretch { text: "Thank you.".into(), ..Stretch::default() }]), "Thank you.");
        let mixed =
            [stretch(" I want", 0.01, -0.1), stretch(" you", 0.4, -0.4), stretch(" a table.", 0.01, -0.1)];
        assert_eq!(spoken(&mixed), "I want a table.");
    }
}
