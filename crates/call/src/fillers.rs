//! What bridges a wait: short enough (1.2 s at most, by every engine) to be played to its end, and varied enough not
//! to become a mannerism.

/// Fillers by primary language.
const SETS: [(&str, &[&str]); 7] = [
    (
        "en",
        &[
            "One moment.",
            "Just a second.",
            "Let me see.",
            "Still with you.",
            "Bear with me.",
            "Let me check.",
            "One second.",
        ],
    ),
    ("de", &["Einen Moment.", "Augenblick.", "Mal sehen.", "Ich schaue nach.", "Gleich da.", "Sekunde."]),
    ("es", &["Un momento.", "A ver.", "Un segundo.", "Ya casi está.", "Lo miro.", "Ahora mismo."]),
    (
        "fr",
        &["Un instant.", "Voyons voir.", "Une seconde.", "Je regarde.", "J'y suis presque.", "Un moment."],
    ),
    ("it", &["Un momento.", "Un attimo.", "Vediamo.", "Un secondo.", "Controllo.", "Ci sono quasi."]),
    ("nl", &["Een moment.", "Even kijken.", "Momentje.", "Bijna klaar.", "Ik kijk even.", "Een seconde."]),
    ("pt", &["Um momento.", "Só um segundo.", "Deixe-me ver.", "Já vejo.", "Quase lá.", "Um instante."]),
];

/// The languages that have fillers of their own, as primary subtags.
pub fn languages() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(language, _)| *language)
}

/// The fillers of a language, given as a BCP 47 tag; English ones where a language has none.
pub fn fillers(tag: &str) -> Vec<String> {
    let primary = tag.split('-').next().unwrap_or_default();
    let known = SETS.iter().find(|(language, _)| language.eq_ignore_ascii_case(primary));
    let (_, set) = known.unwrap_or(&SETS[0]);
    set.iter().map(|text| (*text).to_owned()).collect()
}

/// Which of `count` fillers comes next: never the one before it, otherwise as `state` has it.
pub(crate) fn next(count: usize, before: Option<usize>, state: u64) -> Option<usize> {
    // A finaliser of splitmix64: neighbouring states give unrelated choices.
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let among = |count: usize| (mixed % count as u64) as usize;
    match (count, before) {
        (0, _) => None,
        (1, _) => Some(0),
        (_, Some(before)) if before < count => {
            let choice = among(count - 1);
            Some(if choice >= before { choice + 1 } else { choice })
        }
        (_, Some(_) | None) => Some(among(count)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn fillers_vary_and_none_follows_itself() {
        let mut before = None;
        let mut seen = BTreeSet::new();
        for state in 0..200 {
            let choice = next(7, before, state).unwrap();
            assert!(choice < 7 && Some(choice) != before);
            assert_eq!(next(7, before, state), Some(choice), "the same state gives the same choice");
            seen.insert(choice);
            before = Some(choice);
        }
        assert_eq!(seen.len(), 7, "all are used");
        assert_eq!((next(0, None, 1), next(1, Some(0), 1), next(2, Some(1), 5)), (None, Some(0), Some(0)));
    }

    #[test]
    fn a_language_has_its_own_fillers_and_the_others_have_english_ones() {
        assert_eq!(fillers("de-AT"), fillers("DE"));
        assert_ne!(fillers("de"), fillers("en-US"));
        assert_eq!(fillers("tlh"), fillers("en"));
        for language in languages() {
            let set = fillers(language);
            assert!(set.len() >= 5 && set.iter().collect::<BTreeSet<_>>().len() == set.len(), "{language}");
        }
    }
}
