//! One turn: recording → words → reply. Stateless; whoever asks brings the history.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::{sync::Semaphore, time::Instant};
use voice_audio::{Audio, resample::resample, vad::find_speech, wav};
use voice_jobs::Progress;
use voice_transcode::{TranscodeError, Transcoder};

use crate::{
    error::TurnError,
    phantoms,
    ports::{Message, Patience, Recordings, Reply, Speaker, Transcribe},
    request::{Piece, TurnRequest, push},
};

/// Speech recognition may take this long in all.
const STT_LIMIT: Duration = Duration::from_secs(4);
/// A first attempt that fails sooner leaves time for a second one.
const STT_RETRY_WITHIN: Duration = Duration::from_millis(1_500);
/// The language model.
const PATIENCE: Patience = Patience { first: Duration::from_secs(3), between: Duration::from_millis(1_500) };
/// A provider that asks to wait longer than this is not asked again within the turn.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// The ear notices speech a little late; what came just before belongs to it.
const LEAD: Duration = Duration::from_millis(500);
/// Less voice than this is a cough.
const LEAST_VOICE: Duration = Duration::from_millis(200);
/// What the models work on.
const STT_HERTZ: u32 = 16_000;
/// The longest recording that is taken.
const LONGEST: Duration = Duration::from_mins(10);

/// Recordings that are decoded at the same time: it is work for the processor, and each takes a thread.
static DECODING: Semaphore = Semaphore::const_new(4);

/// What a turn needs.
#[derive(Clone)]
pub(crate) struct Ports {
    /// Where callers' words are.
    pub recordings: Arc<dyn Recordings>,
    /// What makes samples of them.
    pub transcoder: Transcoder,
    /// Speech to text.
    pub transcribe: Arc<dyn Transcribe>,
    /// The language model.
    pub reply: Arc<dyn Reply>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// What came of a turn. Both are empty when nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// All that the caller said.
    pub transcript: String,
    /// The reply.
    pub reply: String,
}

/// Where a turn reports how far it is.
pub(crate) trait Listener: Send + Sync {
    /// Something happened.
    fn tell(&self, progress: Progress) -> impl Future<Output = ()> + Send;
}

/// Runs a turn to its end.
///
/// # Errors
/// When it cannot be answered before `deadline`.
pub(crate) async fn run(
    ports: &Ports,
    request: TurnRequest,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let late = || TurnError::fatal("TURN_DEADLINE", "the time for the turn is up");
    tokio::time::timeout_at(deadline, answer(ports, request, deadline, listener))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn answer(
    ports: &Ports,
    request: TurnRequest,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Outcome, TurnError> {
    let TurnRequest { pieces, earlier_text, mut history, prompt, language, deadline: _, wants_bare_reply: _ } =
        request;
    let mut words = vec![earlier_text];
    words.extend(listen(ports, pieces, language.as_deref(), deadline, listener).await?);
    words.retain(|text| !text.is_empty());
    let transcript = words.join(" ");
    listener.tell(Progress::Transcript { text: transcript.clone() }).await;
    if !transcript.is_empty() {
        push(&mut history, Speaker::User, &transcript);
    }
    if history.last().is_none_or(|message| message.speaker != Speaker::User) {
        return Ok(Outcome::default());
    }
    let reply = write_reply(ports, &prompt, &history, listener).await?;
    Ok(Outcome { transcript, reply })
}

/// What was said in each piece; empty where nothing was.
async fn listen(
    ports: &Ports,
    pieces: Vec<Piece>,
    language: Option<&str>,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Vec<String>, TurnError> {
    let fetches = pieces.iter().map(|piece| ports.recordings.fetch(&piece.url, deadline));
    let fetched = futures::future::try_join_all(fetches).await?;
    let bytes = fetched.iter().map(|bytes| bytes.len() as u64).sum();
    listener.tell(Progress::Fetched { bytes }).await;
    let heard =
        pieces.into_iter().zip(fetched).map(|(piece, bytes)| transcribe(ports, piece, bytes, language));
    futures::future::try_join_all(heard).await
}

async fn transcribe(
    ports: &Ports,
    piece: Piece,
    bytes: Bytes,
    language: Option<&str>,
) -> Result<String, TurnError> {
    // Decoding and resampling take milliseconds of CPU.
    let permit = DECODING.acquire().await.expect("the semaphore is never closed");
    let not_audio = |error: TranscodeError| TurnError::fatal("RECORDING_NOT_AUDIO", error.to_string());
    let audio = ports.transcoder.decode(bytes, LONGEST).await.map_err(not_audio)?;
    let prepared = tokio::task::spawn_blocking(move || prepare(audio, piece.speech_start)).await;
    drop(permit);
    let prepared = prepared.map_err(TranscodeError::from).map_err(not_audio)?;
    let Some(wav) = prepared else { return Ok(String::new()) };
    let begun = Instant::now();
    let mut result = ports.transcribe.transcribe(wav.clone(), language, STT_LIMIT).await;
    if let Err(error) = &result
        && error.is_retryable
        && error.retry_after.unwrap_or_default() <= LONGEST_WAIT
        && begun.elapsed() <= STT_RETRY_WITHIN
    {
        tokio::time::sleep(error.retry_after.unwrap_or(Duration::from_millis(100))).await;
        let left = STT_LIMIT.saturating_sub(begun.elapsed());
        result = ports.transcribe.transcribe(wav, language, left).await;
    }
    Ok(phantoms::spoken(&result?))
}

/// Cuts a recording at the start of speech and makes it what the recogniser works on; `None` if nobody speaks in it.
fn prepare(audio: Audio, speech_start: Duration) -> Option<Bytes> {
    let Audio { samples, sample_rate_hertz } = audio;
    let cut = (speech_start.saturating_sub(LEAD).as_secs_f64() * f64::from(sample_rate_hertz)) as usize;
    // A start beyond the end is a clock that ran elsewhere; the whole recording is the better guess.
    let samples = if cut < samples.len() { &samples[cut..] } else { &samples[..] };
    let voiced = find_speech(samples, sample_rate_hertz).map_or(Duration::ZERO, |span| span.voiced);
    if voiced < LEAST_VOICE {
        return None;
    }
    // More than the recogniser works on is a waste to send; less is made up to it over there.
    let audio = if sample_rate_hertz > STT_HERTZ {
        Audio { samples: resample(samples, sample_rate_hertz, STT_HERTZ), sample_rate_hertz: STT_HERTZ }
    } else {
        Audio { samples: samples.to_vec(), sample_rate_hertz }
    };
    Some(wav::write_pcm16(&audio).into())
}

async fn write_reply(
    ports: &Ports,
    prompt: &str,
    history: &[Message],
    listener: &impl Listener,
) -> Result<String, TurnError> {
    let mut reply = String::new();
    match stream_reply(ports, prompt, history, listener, &mut reply).await {
        // Nothing has been heard of it yet, so a second attempt repeats nothing.
        Err(error)
            if reply.is_empty()
                && error.is_retryable
                && error.retry_after.unwrap_or_default() <= LONGEST_WAIT =>
        {
            tokio::time::sleep(error.retry_after.unwrap_or(Duration::from_millis(100))).await;
            stream_reply(ports, prompt, history, listener, &mut reply).await?;
        }
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    if reply.trim().is_empty() {
        return Err(TurnError::fatal("LLM_EMPTY", "the language model wrote nothing"));
    }
    Ok(reply)
}

async fn stream_reply(
    ports: &Ports,
    prompt: &str,
    history: &[Message],
    listener: &impl Listener,
    reply: &mut String,
) -> Result<(), TurnError> {
    let mut pieces = ports.reply.reply(prompt, history, PATIENCE).await?;
    while let Some(piece) = pieces.next().await {
        let mut text = piece?;
        let mut broken = None;
        // What has arrived together is told together.
        while let Some(Some(more)) = pieces.next().now_or_never() {
            match more {
                Ok(more) => text.push_str(&more),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        reply.push_str(&text);
        listener.tell(Progress::ReplyDelta { text }).await;
        if let Some(error) = broken {
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
