use super::{Completeness::*, *};

#[test]
fn words_that_want_more_sound_hesitant_whatever_mark_the_recogniser_puts() {
    for text in [
        "My number is",
        "My number is.",
        "I'd like a table for two and",
        "I would like to book a,",
        "Well, I was thinking...",
        "It is for my",
        "Um",
        "I want, uh.",
        "Can you tell me if",
        "Hello, I'm",
    ] {
        assert_eq!(completeness(text, "en-US"), Hesitant, "{text}");
    }
}

#[test]
fn whole_sentences_do_not() {
    for text in [
        "What are your opening hours?",
        "Where are you from?",
        "I'd like to book a table for tomorrow.",
        "Yes, please.",
        "I think so.",
        "Can you help me, please.",
        "No, thank you!",
        "What is it for?",
    ] {
        assert_eq!(completeness(text, "en"), Finished, "{text}");
    }
    assert_eq!(completeness("tell me about tomorrow", "en"), Unclear);
    assert_eq!(completeness("", "en"), Unclear);
}

#[test]
fn dictated_numbers_are_waited_for_and_times_are_not() {
    for text in [
        "555",
        "five five",
        "My phone number is 5.",
        "It's 555-12.",
        "the code is four",
        "zip code 90",
        "S M I",
        "The number is 0 4 4, 2 3.",
    ] {
        assert_eq!(completeness(text, "en"), Hesitant, "{text}");
    }
    for text in [
        "A table for 4.",
        "At 7:30.",
        "Tomorrow at 7.",
        "It was $120.",
        "a table for four.",
        "My number is 555 123 4567.",
        "five five five one two three four five six seven.",
    ] {
        assert_ne!(completeness(text, "en"), Hesitant, "{text}");
    }
}

#[test]
fn backchannels_are_told_from_speech() {
    for text in [
        "Mhm.",
        "mm-hmm",
        "Uh-huh.",
        "Okay.",
        "Yeah, okay.",
        "Right, I see.",
        "Thank you.",
        "Oh, got it!",
        "Hmm",
    ] {
        assert_eq!(remark(text, "en-GB"), Remark::Backchannel, "{text}");
    }
    for text in ["No.", "Okay, stop.", "Wait", "Yes but", "What?", "I see a problem", "right now", "Hello?"] {
        assert_eq!(remark(text, "en"), Remark::Speech, "{text}");
    }
    for text in ["", " . ", "[coughs]", "(clears throat)", "*cough*", "..."] {
        assert_eq!(remark(text, "en"), Remark::Nothing, "{text}");
    }
}

#[test]
fn words_are_the_same_however_they_are_written() {
    assert!(are_same_words("what are your opening hours", "What are your opening hours?", "en"));
    assert!(are_same_words("um a table for 2", "A table for two.", "en"));
    assert!(!are_same_words("what are your opening hours", "What are their opening hours?", "en"));
    assert!(!are_same_words("", "Hello.", "en"));
}

#[test]
fn each_language_has_its_own_words() {
    for (language, hesitant, finished, backchannel) in [
        ("de-DE", "Meine Nummer ist", "Ich komme morgen.", "Ja, genau."),
        ("es", "Mi n\u{fa}mero es", "Quiero una mesa ma\u{f1}ana.", "S\u{ed}, claro."),
        ("fr", "Mon num\u{e9}ro est", "Je viens demain.", "D'accord, je vois."),
        ("it", "Il mio numero \u{e8}", "Vengo domani.", "S\u{ec}, va bene."),
        ("nl", "Mijn nummer is", "Ik kom morgen.", "Ja, precies."),
        ("pt-BR", "Meu n\u{fa}mero \u{e9}", "Eu venho amanh\u{e3}.", "T\u{e1} bom, entendi."),
    ] {
        assert_eq!(completeness(hesitant, language), Hesitant, "{language}");
        assert_eq!(completeness(finished, language), Finished, "{language}");
        assert_eq!(remark(backchannel, language), Remark::Backchannel, "{language}");
        assert_eq!(remark(finished, language), Remark::Speech, "{language}");
    }
    assert_eq!(remark("Ja, genau.", "en"), Remark::Speech);
    assert_eq!(completeness("My number is", "tlh"), Hesitant, "English where nothing is known");
}
