//! Clauses out of a text, or out of pieces of a text that is still being written.

use std::{ops::Range, time::Duration};

use async_stream::stream;
use futures::{
    FutureExt as _, Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use voice_speech::{ClauseSplitter, Clip, Spoken};

use super::check_length;
use crate::error::Error;

/// What one request to an engine holds at most; the limit of the preferred one.
const LONGEST: usize = 200;
/// The longest text that comes in pieces.
const MOST_CHARS_IN_PIECES: usize = 40_000;
/// How fast a voice speaks of which nothing is known, in seconds a character.
const USUAL_PACE: f32 = 0.065;

/// Something to be spoken in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    /// As a person would say it.
    pub(super) text: String,
    /// Where it stands in the original text, in code points.
    pub(super) span: Range<usize>,
}

/// A part of a text that is still being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// More words.
    Text(String),
    /// What has come is to be spoken now.
    Flush,
}

/// Clauses as they become known.
pub(super) type Clauses = BoxStream<'static, Result<Clause, Error>>;

/// The clauses of a whole text.
pub(super) fn of_text(text: &str, language: &str) -> Clauses {
    let mut splitter = ClauseSplitter::new(LONGEST);
    let mut clauses = splitter.push(text);
    clauses.extend(splitter.finish());
    stream::iter(speakable(&clauses, 0, language).into_iter().map(Ok)).boxed()
}

/// The clauses of a text that comes in pieces, each as soon as it is complete.
pub(super) fn of_pieces(
    pieces: impl Stream<Item = Result<Piece, Error>> + Send + 'static,
    language: &str,
) -> Clauses {
    let mut growing = Growing::new(language.to_owned());
    let clauses = stream! {
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            let complete = match piece.and_then(|piece| growing.take(piece)) {
                Ok(complete) => complete,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            for clause in complete {
                yield Ok(clause);
            }
        }
        for clause in growing.flush() {
            yield Ok(clause);
        }
    };
    clauses.boxed()
}

/// A text that is still being written.
struct Growing {
    language: String,
    splitter: ClauseSplitter,
    /// Code points before the splitter's own.
    base: usize,
    /// Code points so far.
    chars: usize,
}

impl Growing {
    fn new(language: String) -> Self {
        Self { language, splitter: ClauseSplitter::new(LONGEST), base: 0, chars: 0 }
    }

    fn take(&mut self, piece: Piece) -> Result<Vec<Clause>, Error> {
        let Piece::Text(text) = piece else { return Ok(self.flush()) };
        check_length(&text)?;
        self.chars += text.chars().count();
        if self.chars > MOST_CHARS_IN_PIECES {
            let message =
                format!("is longer than {MOST_CHARS_IN_PIECES} characters in all; open another stream");
            return Err(Error::InvalidField { field: "text", message });
        }
        Ok(speakable(&self.splitter.push(&text), self.base, &self.language))
    }

    fn flush(&mut self) -> Vec<Clause> {
        let splitter = std::mem::replace(&mut self.splitter, ClauseSplitter::new(LONGEST));
        let base = std::mem::replace(&mut self.base, self.chars);
        speakable(&splitter.finish(), base, &self.language)
    }
}

/// As a person would say them, in pieces that fit into one request.
fn speakable(clauses: &[voice_speech::Clause], base: usize, language: &str) -> Vec<Clause> {
    let spoken = clauses.iter().flat_map(|clause| clause.spoken(language, LONGEST));
    let clauses =
        spoken.map(|Spoken { text, span }| Clause { text, span: base + span.start..base + span.end });
    clauses.collect()
}

/// Packs clauses into requests: the first one alone, so that something is heard soon; behind it as many as are known
/// and fit, since providers count requests.
pub(super) struct Packed {
    clauses: futures::stream::Fuse<Clauses>,
    waiting: Option<Result<Clause, Error>>,
    is_first: bool,
}

impl Packed {
    pub(super) fn new(clauses: Clauses) -> Self {
        Self { clauses: clauses.fuse(), waiting: None, is_first: true }
    }

    /// What is to be said next, in at most `most` characters unless a single clause has more.
    pub(super) async fn next(&mut self, most: usize) -> Option<Result<Clause, Error>> {
        let next = match self.waiting.take() {
            Some(waiting) => waiting,
            None => self.clauses.next().await?,
        };
        let Ok(mut clause) = next else { return Some(next) };
        if std::mem::replace(&mut self.is_first, false) {
            return Some(Ok(clause));
        }
        let most = most.min(LONGEST);
        while let Some(Some(more)) = self.clauses.next().now_or_never() {
            match more {
                Ok(more) if clause.text.chars().count() + 1 + more.text.chars().count() <= most => {
                    clause.text = format!("{} {}", clause.text, more.text);
                    clause.span.end = more.span.end;
                }
                more => {
                    self.waiting = Some(more);
                    break;
                }
            }
        }
        Some(Ok(clause))
    }
}

/// The words of a text that had not sounded in full when its engine broke off after `sounded`; at least the last one,
/// since the text was not complete.
pub(super) fn rest_of(text: &str, sounded: Duration, seconds_per_char: Option<f32>) -> String {
    let seconds = seconds_per_char.unwrap_or(USUAL_PACE) * text.chars().count() as f32;
    let whole = Duration::from_secs_f32(seconds).max(sounded);
    let words: Vec<&str> = text.split_whitespace().collect();
    let clip = Clip { text, duration: whole, silences: &[] };
    let count = clip.heard(sounded).split_whitespace().count();
    words[count.min(words.len().saturating_sub(1))..].join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    async fn all(clauses: Clauses) -> Vec<(String, Range<usize>)> {
        let all: Vec<_> = clauses.map(Result::unwrap).collect().await;
        all.into_iter().map(|clause| (clause.text, clause.span)).collect()
    }

    #[tokio::test]
    async fn spans_count_code_points_of_the_original_over_all_pieces() {
        let text = "Gr\u{fc}\u{df} Gott! It costs **$5** today. \u{1F600} Bye now, my old friend.";
        let whole = all(of_text(text, "en-US")).await;
        let chars: Vec<char> = text.chars().collect();
        let part = |span: &Range<usize>| chars[span.clone()].iter().collect::<String>();
        assert_eq!(whole[0].1, 0..10);
        assert_eq!(part(&whole[1].1).trim(), "It costs **$5** today.");
        assert_eq!(whole[1].0, "It costs five dollars today.");
        for size in 1..9 {
            let pieces: Vec<_> =
                chars.chunks(size).map(|piece| Ok(Piece::Text(piece.iter().collect()))).collect();
            assert_eq!(all(of_pieces(stream::iter(pieces), "en-US")).await, whole, "{size}");
        }
    }

    #[tokio::test]
    async fn a_flush_gives_what_is_held_back_and_spans_go_on_behind_it() {
        let pieces =
            [Piece::Text("One moment".into()), Piece::Flush, Piece::Flush, Piece::Text(" please. ".into())];
        let clauses = all(of_pieces(stream::iter(pieces.map(Ok)), "en-US")).await;
        assert_eq!(clauses, [("One moment.".to_owned(), 0..10), ("please.".to_owned(), 11..18)]);
        assert_eq!(
            all(of_pieces(stream::iter([Ok(Piece::Text("*** \u{1F600}".into()))]), "en-US")).await,
            []
        );
    }

    #[tokio::test]
    async fn texts_in_pieces_have_an_end_too() {
        let piece = || Ok(Piece::Text("word ".repeat(800)));
        let pieces = std::iter::repeat_with(piece).take(11);
        let mut clauses = of_pieces(stream::iter(pieces.collect::<Vec<_>>()), "en-US");
        let error = loop {
            if let Err(error) = clauses.next().await.unwrap() {
                break error;
            }
        };
        assert!(matches!(error, Error::InvalidField { field: "text", .. }));
        assert!(clauses.next().await.is_none());
    }

    #[tokio::test]
    async fn the_first_clause_is_said_alone_and_the_others_are_packed() {
        let text = "Hello. This is the second sentence of it. And this is the third one of it. And one more is here.";
        let mut packed = Packed::new(of_text(text, "en-US"));
        let mut said = Vec::new();
        while let Some(clause) = packed.next(80).await {
            said.push(clause.unwrap().text);
        }
        assert_eq!(
            said,
            [
                "Hello.",
                "This is the second sentence of it.",
                "And this is the third one of it. And one more is here."
            ]
        );
    }

    #[test]
    fn the_rest_begins_with_the_first_word_that_had_not_sounded() {
        let text = "The house was built by a family of bakers.";
        assert_eq!(rest_of(text, Duration::ZERO, None), text);
        assert_eq!(rest_of(text, 100 * S, None), "bakers.");
        let counts: Vec<usize> =
            (0..60).map(|n| rest_of(text, n * S / 20, Some(0.06)).split_whitespace().count()).collect();
        assert!(counts.is_sorted_by(|one, two| one >= two), "{counts:?}");
        assert!((3..=6).contains(&counts[26]), "about half of it after half of its time: {counts:?}");
    }
}
