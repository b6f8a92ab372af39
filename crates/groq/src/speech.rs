//! Text to speech.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use reqwest::Response;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::{
    Error, Groq, RateLimits, Service, Stage, StreamDeadlines,
    body::snippet,
    client::{Post, answer},
    connections::Place,
};

/// The longest text that Groq's Orpheus models speak in one request.
pub const ORPHEUS_MAX_INPUT_CHARS: usize = 200;

/// Bytes that tell audio from an error page.
const SIGNATURE_LEN: usize = 4;

/// What to say, and how. Its `Debug` hides the words.
#[derive(Clone, PartialEq, Eq)]
pub struct SpeechRequest {
    /// The model, `canopylabs/orpheus-v1-english` for instance.
    pub model: String,
    /// The voice, one of those that the model knows.
    pub voice: String,
    /// The words. Orpheus takes `[cheerful]` and the like as directions, not as words.
    pub input: String,
}

/// A WAV file as it arrives, in pieces of any size. Sizes in its header may mean nothing: take the samples up to the
/// end. It ends after the first error; dropping it cancels the request.
///
/// A server asked for WAV may still send another known audio format: tell it from the first bytes. That audio ended
/// early cannot always be seen: a stream without sizes that ends properly counts as whole.
pub struct SpeechStream {
    pieces: BoxStream<'static, Result<Bytes, Error>>,
    rate_limits: RateLimits,
}

#[derive(Serialize)]
struct Wire<'a> {
    model: &'a str,
    voice: &'a str,
    input: &'a str,
    response_format: &'static str,
}

struct Reader {
    _place: Place,
    /// `None` once the answer has been read or given up.
    bytes: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    /// Until when audio has to begin; `None` once it has.
    first_deadline: Option<Instant>,
    between: Duration,
}

impl Groq {
    /// Asks for a text to be spoken and returns once the server has begun to answer.
    ///
    /// # Errors
    /// [`Error::InputTooLong`] before anything is sent; any other [`Error`]; those that come after the answer has
    /// begun come out of the stream, as its last item.
    pub async fn speech(
        &self,
        request: &SpeechRequest,
        deadlines: StreamDeadlines,
    ) -> Result<SpeechStream, Error> {
        let SpeechRequest { model, voice, input } = request;
        let chars = input.chars().count();
        if chars > self.max_input_chars {
            return Err(Error::InputTooLong { chars, limit: self.max_input_chars });
        }
        let first_deadline = Instant::now() + deadlines.first;
        let Post { request: post, place } = self.post(Service::Tts, "audio/speech");
        let wire = Wire { model, voice, input, response_format: "wav" };
        let response = answer(post.json(&wire), first_deadline, Stage::First).await?;
        Ok(SpeechStream::new(response, place, first_deadline, deadlines.between))
    }
}

// === impl SpeechStream ===

impl SpeechStream {
    fn new(response: Response, place: Place, first_deadline: Instant, between: Duration) -> Self {
        let rate_limits = RateLimits::from_headers(response.headers());
        let reader = Reader {
            _place: place,
            bytes: Some(response.bytes_stream().boxed()),
            first_deadline: Some(first_deadline),
            between,
        };
        let pieces = stream::unfold(reader, async |mut reader| Some((reader.next().await?, reader))).boxed();
        Self { pieces, rate_limits }
    }

    /// The quota after this request, as it was when the answer began.
    pub fn rate_limits(&self) -> RateLimits {
        self.rate_limits
    }
}

impl Stream for SpeechStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for SpeechStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeechStream").field("rate_limits", &self.rate_limits).finish_non_exhaustive()
    }
}

// === impl Reader ===

impl Reader {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let piece = if let Some(deadline) = self.first_deadline.take() {
            self.first_piece(deadline).await
        } else {
            let deadline = Instant::now() + self.between;
            self.piece(deadline, Stage::Next).await
        };
        if !matches!(piece, Some(Ok(_))) {
            self.bytes = None;
        }
        piece
    }

    /// Waits until there is enough to tell that this is audio at all.
    async fn first_piece(&mut self, deadline: Instant) -> Option<Result<Bytes, Error>> {
        let mut begun = BytesMut::new();
        while begun.len() < SIGNATURE_LEN {
            match self.piece(deadline, Stage::First).await {
                Some(Ok(piece)) => begun.extend_from_slice(&piece),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        Some(match (is_audio(&begun), begun.is_empty()) {
            (true, _) => Ok(begun.freeze()),
            (false, true) => Err(Error::Truncated),
            (false, false) => Err(Error::Nonsense(snippet(&begun))),
        })
    }

    async fn piece(&mut self, deadline: Instant, stage: Stage) -> Option<Result<Bytes, Error>> {
        let bytes = self.bytes.as_mut()?;
        match timeout_at(deadline, bytes.next()).await {
            Ok(piece) => Some(piece?.map_err(Error::from_transport)),
            Err(_) => Some(Err(Error::Timeout(stage))),
        }
    }
}

/// Whether bytes begin a WAV, MP3, Ogg or FLAC file. Neither the content type nor the requested format tells.
fn is_audio(begun: &[u8]) -> bool {
    let is_mp3_frame = matches!(begun, [0xFF, second, ..] if second & 0xE0 == 0xE0);
    is_mp3_frame
        || [&b"RIFF"[..], b"ID3", b"OggS", b"fLaC"].iter().any(|signature| begun.starts_with(signature))
}

// === impl SpeechRequest ===

impl std::fmt::Debug for SpeechRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeechRequest")
            .field("model", &self.model)
            .field("voice", &self.voice)
            .field("input_chars", &self.input.chars().count())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_told_by_its_first_bytes() {
        for audio in [&b"RIFF\xFF\xFF\xFF\xFFWAVE"[..], b"ID3\x04", b"\xFF\xFB\x90\x00", b"OggS", b"fLaC"] {
            assert!(is_audio(audio), "{audio:?}");
        }
        for other in [&b"<htm"[..], b"{\"er", b"", b"\xFF", b"RIF"] {
            assert!(!is_audio(other), "{other:?}");
        }
    }
}
