//! Some models write their reasoning into the reply, between `<think>` and `</think>`. It must not be spoken.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Takes reasoning out of a text that arrives in pieces, wherever the pieces are cut.
#[derive(Debug, Default)]
pub(super) struct ThinkFilter {
    inside: bool,
    /// Reasoning has just ended: the white space after it goes with it.
    trimming: bool,
    /// The end of what came so far, as long as it may be the beginning of a tag.
    held: String,
}

impl ThinkFilter {
    /// Takes a piece and gives what can be spoken by now.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let mut spoken = String::new();
        let mut rest = std::mem::take(&mut self.held) + piece;
        loop {
            if self.trimming {
                rest = rest.trim_start().to_owned();
                self.trimming = rest.is_empty();
            }
            let tag = if self.inside { CLOSE } else { OPEN };
            let Some((before, after)) = rest.split_once(tag) else { break };
            if !self.inside {
                spoken.push_str(before);
            }
            self.trimming = self.inside;
            self.inside = !self.inside;
            rest = after.to_owned();
        }
        let tag = if self.inside { CLOSE } else { OPEN };
        self.held = rest.split_off(rest.len() - begun_tag_len(&rest, tag));
        if !self.inside {
            spoken.push_str(&rest);
        }
        spoken
    }

    /// Gives what was held back: the reply is over.
    pub(super) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.inside { String::new() } else { held }
    }
}

/// How many bytes at the end of `text` may be the beginning of `tag`.
fn begun_tag_len(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|len| text.ends_with(&tag[..*len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(pieces: &[&str]) -> String {
        let mut filter = ThinkFilter::default();
        let mut spoken: String = pieces.iter().map(|piece| filter.push(piece)).collect();
        spoken.push_str(&filter.finish());
        spoken
    }

    #[test]
    fn reasoning_is_taken_out_wherever_the_text_is_cut() {
        let text = "<think>He asks. 1 < 2?</think>\n\nYes, we are <b>open</b>. <think>ok</think> Bye <3";
        for chunk in 1..text.len() {
            let pieces: Vec<&str> =
                text.as_bytes().chunks(chunk).map(|b| std::str::from_utf8(b).unwrap()).collect();
            assert_eq!(spoken(&pieces), "Yes, we are <b>open</b>. Bye <3", "pieces of {chunk}");
        }
    }

    #[test]
    fn reasoning_that_never_ends_is_never_spoken() {
        assert_eq!(spoken(&["Well. <think>hmm", " </thin"]), "Well. ");
    }

    #[test]
    fn ordinary_text_passes_at_once() {
        let mut filter = ThinkFilter::default();
        assert_eq!(filter.push("Good "), "Good ");
        assert_eq!(filter.push("day. <"), "day. ");
        assert_eq!(filter.push("3"), "<3");
        assert_eq!(filter.push(" <th"), " ");
        assert_eq!(filter.finish(), "<th");
    }
}
