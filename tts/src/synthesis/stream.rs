//! Speech as a stream. One task speaks, clause by clause, and is at most one clause ahead of whoever listens; it ends
//! with the stream, and everything that it had asked for with it.

use std::{ops::Range, time::Duration};

use async_stream::stream;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::Instrument as _;
use voice_audio::duration_of;
use voice_speech::pack;

use super::{
    Format, Speech,
    clause::{self, Clause, Clauses, Packed, Piece, rest_of},
    shape::Shaper,
};
use crate::{
    engines::{Engines, Manner, Spoken, Wish},
    error::{EngineError, Error},
    level,
};

/// Chunks that may wait for whoever listens, the rest of a clause: a slower listener holds up the engine, not memory.
const QUEUE: usize = 1_024;
/// Chunks in a second of speech that is there already: what an engine gives at once is seldom more.
const CHUNKS_PER_SECOND: u32 = 2;

/// What a stream gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// First of all.
    Started {
        /// Who speaks.
        engine: &'static str,
    },
    /// Raw audio.
    Audio(Chunk),
}

/// A piece of a stream's audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// At most half a second.
    pub audio: Bytes,
    /// Playing time before it.
    pub start: Duration,
    /// Its clause, in code points of the original text.
    pub span: Range<usize>,
    /// Who spoke it.
    pub engine: &'static str,
}

/// Who speaks, then what.
pub(crate) type Stream = BoxStream<'static, Result<Streamed, Error>>;

type Item = (usize, Result<Streamed, Error>);

/// Speaks a text as a stream.
///
/// # Errors
/// When the engine or the voice does not exist.
pub(crate) fn of_speech(engines: &Engines, speech: Speech, format: Format) -> Result<Stream, Error> {
    let Speech { original, spoken: _, wish } = speech;
    speak(engines, clause::of_text(&original, &wish.language), wish, format)
}

/// Speaks a text as it is being written.
///
/// # Errors
/// When the engine or the voice does not exist.
pub(crate) fn of_pieces(
    engines: &Engines,
    pieces: impl futures::Stream<Item = Result<Piece, Error>> + Send + 'static,
    wish: Wish,
    format: Format,
) -> Result<Stream, Error> {
    let wish = wish.complete();
    speak(engines, clause::of_pieces(pieces, &wish.language), wish, format)
}

fn speak(engines: &Engines, clauses: Clauses, wish: Wish, format: Format) -> Result<Stream, Error> {
    let order = engines.order(&wish)?;
    let (chunks, mut ready) = mpsc::channel(QUEUE);
    let (taken, progress) = watch::channel(0);
    let engines = engines.clone();
    let speaker = Speaker {
        engines,
        wish,
        format,
        order,
        place: 0,
        chunks,
        progress,
        clause: 0,
        samples: 0,
        pause: None,
    };
    let span = tracing::info_span!("speak", engine = tracing::field::Empty);
    let stream = stream! {
        let mut speaking = JoinSet::new();
        speaking.spawn(speaker.run(clauses).instrument(span));
        while let Some((clause, item)) = ready.recv().await {
            taken.send_replace(clause);
            yield item;
        }
        if let Some(Err(error)) = speaking.join_next().await {
            tracing::error!(%error, "a stream of speech ended with a panic");
            yield Err(Error::Unavailable);
        }
    };
    Ok(stream.boxed())
}

/// The listener is gone.
struct Gone;

/// What the task that speaks knows.
struct Speaker {
    engines: Engines,
    wish: Wish,
    format: Format,
    order: Vec<usize>,
    /// Whose turn it is in `order`. A stream that has moved on to another engine stays with it.
    place: usize,
    chunks: mpsc::Sender<Item>,
    /// The clause that the listener has got to.
    progress: watch::Receiver<usize>,
    /// The clause that is being spoken, from 1.
    clause: usize,
    /// Samples sent so far.
    samples: usize,
    /// The pause behind the last clause, which belongs to it, and who spoke it.
    pause: Option<(Range<usize>, &'static str, Duration)>,
}

impl Speaker {
    async fn run(mut self, clauses: Clauses) {
        let mut packed = Packed::new(clauses);
        loop {
            let most = self.order.get(self.place).map_or(usize::MAX, |n| self.engines.get(*n).max_chars());
            let Some(next) = packed.next(most).await else { return };
            let reader = self.clause;
            self.clause += 1;
            // One clause is made while another one is being sent; what lies beyond may never be wanted.
            if self.progress.wait_for(|taken| *taken >= reader).await.is_err() {
                return;
            }
            let said = match next {
                Ok(clause) => self.say(clause).await,
                Err(error) => Ok(Err(error)),
            };
            match said {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let _ = self.chunks.send((self.clause, Err(error))).await;
                    return;
                }
                Err(Gone) => return,
            }
        }
    }

    async fn say(&mut self, clause: Clause) -> Result<Result<(), Error>, Gone> {
        let Clause { mut text, span } = clause;
        while !text.is_empty() {
            let Some(&n) = self.order.get(self.place) else { return Ok(Err(Error::Unavailable)) };
            // A fallback may take less at once than the engine that the clause was cut for.
            let mut pieces = pack(&text, self.engines.get(n).max_chars());
            let piece = pieces.remove(0);
            let voice = self.engines.voice(n, &self.wish).to_owned();
            let begun = self.engines.begin(n, &piece, &voice, &self.wish.language, None).await;
            let rest = match begun {
                None => piece.clone(),
                Some(spoken) => self.send_speech(spoken, &piece, &span).await?,
            };
            if !rest.is_empty() {
                self.move_on(n);
                pieces.insert(0, rest);
            }
            text = pieces.join(" ");
        }
        Ok(Ok(()))
    }

    fn move_on(&mut self, from: usize) {
        self.place += 1;
        if let Some(to) = self.order.get(self.place) {
            let (from, to) = (self.engines.get(from).name(), self.engines.get(*to).name());
            tracing::info!(from, to, "the next engine goes on");
            metrics::counter!("tts_failovers_total", "from" => from, "to" => to).increment(1);
        }
    }

    /// Sends what an engine speaks as it comes. Gives the words that are left to another one.
    async fn send_speech(
        &mut self,
        mut spoken: Spoken,
        text: &str,
        span: &Range<usize>,
    ) -> Result<String, Gone> {
        let manner = spoken.manner();
        let mut shaper = Shaper::new(spoken.rate, self.format.rate, manner);
        let (mut out, mut sent) = (Vec::new(), 0);
        let mut is_broken = false;
        while let Some(samples) = spoken.next().await {
            let Ok(samples) = samples else {
                is_broken = true;
                break;
            };
            for part in samples.chunks((spoken.rate / CHUNKS_PER_SECOND).max(1) as usize) {
                shaper.push(part, &mut out);
                sent += self.send(&mut out, span, spoken.engine()).await?;
            }
        }
        let rms = shaper.finish(&mut out);
        sent += self.send(&mut out, span, spoken.engine()).await?;
        let sounded = duration_of(sent, self.format.rate);
        if is_broken {
            return Ok(rest_of(text, sounded, manner.seconds_per_char));
        }
        if rms.is_none() {
            spoken.failed(&EngineError::new("nothing but silence came"));
            return Ok(text.to_owned());
        }
        let seconds_per_char = Some(sounded.as_secs_f32() / text.chars().count() as f32);
        spoken.succeeded(Manner { rms, seconds_per_char });
        self.pause = Some((span.clone(), spoken.engine(), level::pause_after(text)));
        Ok(String::new())
    }

    /// Sends samples, and before them the pause behind the last clause. Gives how many they were.
    async fn send(
        &mut self,
        samples: &mut Vec<f32>,
        span: &Range<usize>,
        engine: &'static str,
    ) -> Result<usize, Gone> {
        if samples.is_empty() {
            return Ok(0);
        }
        if self.samples == 0 {
            tracing::Span::current().record("engine", engine);
            self.tell(Streamed::Started { engine }).await?;
        }
        if let Some((span, engine, pause)) = self.pause.take() {
            let silence = vec![0.0; (pause.as_secs_f64() * f64::from(self.format.rate)) as usize];
            self.send_chunks(&silence, &span, engine).await?;
        }
        self.send_chunks(samples, span, engine).await?;
        Ok(std::mem::take(samples).len())
    }

    async fn send_chunks(
        &mut self,
        samples: &[f32],
        span: &Range<usize>,
        engine: &'static str,
    ) -> Result<(), Gone> {
        for part in samples.chunks((self.format.rate / CHUNKS_PER_SECOND) as usize) {
            let chunk = Chunk {
                audio: self.format.encode(part),
                start: duration_of(self.samples, self.format.rate),
                span: span.clone(),
                engine,
            };
            self.samples += part.len();
            self.tell(Streamed::Audio(chunk)).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, item: Streamed) -> Result<(), Gone> {
        self.chunks.send((self.clause, Ok(item))).await.map_err(|_| Gone)
    }
}
