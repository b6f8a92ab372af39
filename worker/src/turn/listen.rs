//! Recordings → words.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
use voice_audio::{Audio, resample::resample, vad::find_speech, wav};
use voice_jobs::Progress;
use voice_transcode::TranscodeError;

use super::{Listener, Ports};
use crate::{
    error::TurnError,
    phantoms,
    recogniser::{LEAST_VOICE, STT_HERTZ, Wav},
    request::Piece,
};

/// The ear notices speech a little late; what came just before belongs to it.
const LEAD: Duration = Duration::from_millis(500);
/// The longest recording that is taken.
const LONGEST: Duration = Duration::from_mins(10);

/// Recordings that are decoded at the same time: it is work of milliseconds for the processor, and each takes a thread, which
/// keeps memory of its own.
static DECODING: Semaphore = Semaphore::const_new(2);

/// Turns whose recordings are in memory: from the download until they have been sent to the recogniser. Where many come at
/// once, the others are a message each.
static LOADED: Semaphore = Semaphore::const_new(64);

/// What was said in each piece; empty where nothing was.
pub(crate) async fn to_recordings(
    ports: &Ports,
    pieces: Vec<Piece>,
    language: Option<&str>,
    deadline: Instant,
    listener: &impl Listener,
) -> Result<Vec<String>, TurnError> {
    let place = Arc::new(LOADED.acquire().await.expect("the semaphore is never closed"));
    let fetches = pieces.iter().map(|piece| ports.recordings.fetch(&piece.url, deadline));
    let fetched = futures::future::try_join_all(fetches).await?;
    let bytes = fetched.iter().map(|bytes| bytes.len() as u64).sum();
    listener.tell(Progress::Fetched { bytes }).await;
    let heard = pieces
        .iter()
        .zip(fetched)
        .map(|(piece, bytes)| transcribe(ports, piece, bytes, place.clone(), language, deadline));
    let heard = futures::future::try_join_all(heard);
    drop(place);
    heard.await
}

/// A place among the turns whose recordings are in memory.
type Place = Arc<SemaphorePermit<'static>>;

/// A WAV file, which keeps its place until it has been sent.
struct Unsent {
    wav: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.wav
    }
}

async fn transcribe(
    ports: &Ports,
    piece: &Piece,
    bytes: Bytes,
    place: Place,
    language: Option<&str>,
    deadline: Instant,
) -> Result<String, TurnError> {
    // Boxed: what waits for its words needs no room for it any more.
    let Some(wav) = Box::pin(prepared(ports, piece, bytes)).await? else { return Ok(String::new()) };
    let wav = Bytes::from_owner(Unsent { wav, _place: place });
    let again = move || async move {
        let bytes = ports.recordings.fetch(&piece.url, deadline).await?;
        let changed = || TurnError::fatal("RECORDING_NOT_AUDIO", "the recording has changed");
        prepared(ports, piece, bytes).await?.ok_or_else(changed)
    };
    let stretches = ports.recogniser.awaited(Wav::new(wav, again), language).await?;
    Ok(phantoms::spoken(&stretches))
}

/// A recording as the recogniser wants it; `None` if nobody speaks in it.
async fn prepared(ports: &Ports, piece: &Piece, bytes: Bytes) -> Result<Option<Bytes>, TurnError> {
    // Decoding and resampling take milliseconds of CPU.
    let permit = DECODING.acquire().await.expect("the semaphore is never closed");
    let not_audio = |error: TranscodeError| TurnError::fatal("RECORDING_NOT_AUDIO", error.to_string());
    let audio = ports.transcoder.decode(bytes, LONGEST).await.map_err(not_audio)?;
    let speech_start = piece.speech_start;
    let prepared = tokio::task::spawn_blocking(move || prepare(audio, speech_start)).await;
    drop(permit);
    prepared.map_err(TranscodeError::from).map_err(not_audio)
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
