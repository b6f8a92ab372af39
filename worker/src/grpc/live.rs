//! `Transcribe` and `ProcessTurn`: a stream of audio in, words and replies out while it still comes.

mod convert;

use std::time::Duration;

use async_stream::try_stream;
use futures::{Stream, StreamExt as _};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Status, Streaming};
use voice_jobs::Progress;
use voice_proto::worker::v1::{
    self as pb, process_turn_request, process_turn_response::Event, transcribe_request,
};
use voice_server::Unreadable;

use self::convert::{TranscribeConfig, TurnConfig};
use super::convert::to_tool_call;
use crate::{
    error::{Error, TurnError},
    live::{Heard, Input, Listening, Partials, Transcript},
    turn::{self, Listener, Outcome, Ports},
};

/// The longest that a client may take for its first message.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a turn may have to tell before anybody takes it.
const UNTOLD: usize = 16;

/// What streams of audio need.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// The turn's.
    pub ports: Ports,
    /// What may be spent on words that nobody has to have yet.
    pub partials: Partials,
    /// How long a turn may take whose client does not say.
    pub budget: Duration,
}

/// Reads the first message.
pub(super) async fn transcribe_config(
    requests: &mut Streaming<pb::TranscribeRequest>,
) -> Result<TranscribeConfig, Status> {
    use transcribe_request::Payload;
    match first(requests).await?.and_then(|first| first.payload) {
        Some(Payload::Config(config)) => Ok(config.try_into()?),
        Some(Payload::Audio(_) | Payload::Flush(_)) | None => Err(Error::MissingConfig.into()),
    }
}

/// Reads the first message.
pub(super) async fn turn_config(
    requests: &mut Streaming<pb::ProcessTurnRequest>,
) -> Result<TurnConfig, Status> {
    use process_turn_request::Payload;
    match first(requests).await?.and_then(|first| first.payload) {
        Some(Payload::Config(config)) => Ok(config.try_into()?),
        Some(Payload::Audio(_)) | None => Err(Error::MissingConfig.into()),
    }
}

async fn first<T>(requests: &mut Streaming<T>) -> Result<Option<T>, Status> {
    tokio::time::timeout(PATIENCE, requests.message()).await.map_err(|_| Error::Idle(PATIENCE))?
}

impl Live {
    /// Recognises speech while it is spoken.
    pub(super) fn transcribe(
        &self,
        config: TranscribeConfig,
        requests: Streaming<pb::TranscribeRequest>,
    ) -> impl Stream<Item = Result<pb::TranscribeResponse, Status>> + Send + 'static {
        let TranscribeConfig { format, language, wants_partials } = config;
        let input = inputs(requests, |request| request.payload.map(transcribe_input));
        let (recogniser, partials) = (self.ports.recogniser.clone(), self.partials.clone());
        let mut listening = Listening::new(recogniser, partials, format, language, wants_partials, input);
        try_stream! {
            while let Some(heard) = listening.next().await? {
                if let Heard::Words(transcript) = heard {
                    yield pb::TranscribeResponse { transcript: Some(convert::to_transcript(transcript)) };
                }
            }
        }
    }

    /// Runs one turn on what is being said.
    pub(super) fn process(
        &self,
        config: TurnConfig,
        requests: Streaming<pb::ProcessTurnRequest>,
    ) -> impl Stream<Item = Result<pb::ProcessTurnResponse, Status>> + Send + 'static {
        let TurnConfig { call_id, format, request, timeout, wants_partials } = config;
        let input = inputs(requests, |request| request.payload.map(turn_input));
        let Self { ports, partials, budget } = self.clone();
        let language = request.language.clone();
        let recogniser = ports.recogniser.clone();
        let mut listening = Listening::new(recogniser, partials, format, language, wants_partials, input);
        let budget = timeout.unwrap_or(budget);
        try_stream! {
            while let Some(Heard::Words(words)) = listening.next().await? {
                let words = words.after(&request.earlier_text);
                yield to_response(Event::Transcript(convert::to_transcript(words)));
            }
            // The turn's time begins when the caller has finished.
            let deadline = Instant::now() + budget;
            let duration = listening.duration();
            let (teller, mut told) = mpsc::channel(UNTOLD);
            let teller = Teller(teller);
            let said = last_words(&mut listening);
            let work = turn::run(&ports, Box::new(request), said, deadline, &teller);
            tokio::pin!(work);
            let outcome = loop {
                tokio::select! {
                    biased;
                    Some(progress) = told.recv() => {
                        if let Some(event) = to_event(progress, duration) {
                            yield to_response(event);
                        }
                    }
                    outcome = &mut work => break outcome,
                }
            };
            while let Ok(progress) = told.try_recv() {
                if let Some(event) = to_event(progress, duration) {
                    yield to_response(event);
                }
            }
            let outcome = outcome.map_err(|error| failed(&call_id, error))?;
            let Outcome { transcript, reply, tool_calls } = outcome;
            let tool_calls = tool_calls.into_iter().map(to_tool_call).collect();
            yield to_response(Event::TurnCompleted(pb::TurnCompleted { transcript, reply, tool_calls }));
        }
    }
}

/// The final words of an utterance whose audio is complete.
async fn last_words<S>(listening: &mut Listening<S>) -> Result<Vec<String>, TurnError>
where
    S: Stream<Item = Result<Input, Error>> + Unpin + Send,
{
    let mut words = Vec::new();
    loop {
        match listening.next().await {
            Ok(Some(Heard::Words(transcript))) if transcript.is_final => words.push(transcript.text),
            Ok(Some(Heard::Words(_) | Heard::Complete)) => {}
            Ok(None) => return Ok(words),
            Err(Error::Turn(error)) => return Err(error),
            // No input comes any more that could be wrong.
            Err(error) => return Err(TurnError::fatal("STT_UNAVAILABLE", error.to_string())),
        }
    }
}

fn failed(call_id: &str, error: TurnError) -> Error {
    tracing::warn!(call.id = call_id, reason = error.reason, %error, "a turn has failed");
    error.into()
}

/// The messages after the first one.
fn inputs<T: Send + 'static>(
    requests: Streaming<T>,
    payload: fn(T) -> Option<Result<Input, Error>>,
) -> impl Stream<Item = Result<Input, Error>> + Unpin + Send {
    requests.map(move |request| match request {
        Ok(request) => payload(request).unwrap_or_else(|| {
            let message = "a message has to hold something".to_owned();
            Err(Error::InvalidField { field: "payload", message })
        }),
        Err(status) => Err(match Unreadable::of(&status) {
            Some(unreadable) => unreadable.into(),
            None => Error::BrokenOff(status.message().to_owned()),
        }),
    })
}

fn transcribe_input(payload: transcribe_request::Payload) -> Result<Input, Error> {
    use transcribe_request::Payload;
    match payload {
        Payload::Audio(audio) => Ok(Input::Audio(audio)),
        Payload::Flush(pb::TranscribeFlush { flush_id }) => Ok(Input::Flush(flush_id)),
        Payload::Config(_) => Err(Error::RepeatedConfig),
    }
}

fn turn_input(payload: process_turn_request::Payload) -> Result<Input, Error> {
    use process_turn_request::Payload;
    match payload {
        Payload::Audio(audio) => Ok(Input::Audio(audio)),
        Payload::Config(_) => Err(Error::RepeatedConfig),
    }
}

fn to_event(progress: Progress, duration: Duration) -> Option<Event> {
    match progress {
        Progress::Transcript { text } => {
            let words = Transcript {
                is_final: true,
                stable_length: text.chars().count(),
                flush_id: None,
                audio_duration: duration,
                text,
            };
            Some(Event::Transcript(convert::to_transcript(words)))
        }
        Progress::ReplyDelta { text } => Some(Event::ReplyDelta(pb::ReplyDelta { text })),
        // Told of jobs alone.
        Progress::Started { .. }
        | Progress::Fetched { .. }
        | Progress::Completed { .. }
        | Progress::Failed { .. }
        | Progress::Cancelled => None,
    }
}

fn to_response(event: Event) -> pb::ProcessTurnResponse {
    pb::ProcessTurnResponse { event: Some(event) }
}

struct Teller(mpsc::Sender<Progress>);

impl Listener for Teller {
    async fn tell(&self, progress: Progress) {
        // Whoever does not listen any more has dropped the turn as well.
        let _ = self.0.send(progress).await;
    }
}
