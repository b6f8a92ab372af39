//! Texts cut to an engine's limit.

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
