//! Texts cut to an engine's limit.

use crate::Spoken;

/// Cuts a text into pieces of at most `max_chars` characters: at ends of sentences where possible, else at pauses,
/// else between words; only a word longer than that is broken.
pub fn pack(text: &str, max_chars: usize) -> Vec<String> {
    let mut rest: Vec<char> = text.trim().chars().collect();
    let mut pieces = Vec::new();
    while rest.len() > max_chars {
        let window = &rest[..=max_chars];
        let after = |marks: &[char]| {
            (1..window.len()).rev().find(|at| window[*at].is_whitespace() && marks.contains(&window[at - 1]))
        };
        let space = window.iter().rposition(|c| c.is_whitespace()).filter(|at| *at > 0);
        let cut = after(&['.', '!', '?']).or_else(|| after(&[',', ';', ':'])).or(space).unwrap_or(max_chars);
        let piece: String = rest.drain(..cut).collect();
        pieces.push(piece.trim().to_owned());
        let blank = rest.iter().take_while(|c| c.is_whitespace()).count();
        rest.drain(..blank);
    }
    if !rest.is_empty() {
        pieces.push(rest.into_iter().collect());
    }
    pieces
}

/// As [`pack`], for a text that knows where its words come from.
pub(crate) fn pack_spoken(spoken: &[Spoken], max_chars: usize) -> Vec<Spoken> {
    let texts: Vec<&str> = spoken.iter().map(|spoken| spoken.text.as_str()).collect();
    // Where each ends in the joined text.
    let ends: Vec<usize> = texts
        .iter()
        .scan(0, |at, text| {
            *at += text.chars().count() + 1;
            Some(*at)
        })
        .collect();
    let joined = texts.join(" ");
    let mut at = 0;
    let place = |from: usize, to: usize| {
        let first = ends.partition_point(|end| *end <= from);
        let last = ends.partition_point(|end| *end < to).min(spoken.len() - 1);
        spoken[first.min(last)].span.start..spoken[last].span.end
    };
    let pieces = pack(&joined, max_chars).into_iter().map(|text| {
        let length = text.chars().count();
        let span = place(at, at + length);
        at += length;
        at += joined.chars().skip(at).take_while(|c| c.is_whitespace()).count();
        Spoken { text, span }
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_a_speaker_would_pause() {
        assert_eq!(pack("One two. Three four five.", 12), ["One two.", "Three four", "five."]);
        assert_eq!(pack("First, second third", 12), ["First,", "second third"]);
        assert_eq!(pack(&"x".repeat(25), 10), ["x".repeat(10), "x".repeat(10), "x".repeat(5)]);
        assert_eq!(pack("  ", 10), Vec::<String>::new());
        let text = "A sentence of some words, and more of them. ".repeat(30);
        assert!(pack(&text, 200).iter().all(|piece| piece.chars().count() <= 200));
        assert_eq!(pack(&text, 200).join(" "), text.trim());
    }
}
